"""Equations of motion: splitting schemes as data with one engine, and overdamped Langevin dynamics."""

from integrators.brownian import Brownian
from integrators.catalogue import (
    ABOBA,
    BAOAB,
    BLANES_MOAN,
    LEAPFROG,
    OABAO,
    OBABO,
    OMELYAN,
    POSITION_VERLET,
    SCHEMES,
    SUZUKI4,
    VERLET,
    YOSHIDA4,
    YOSHIDA6,
)
from integrators.dynamics import Dynamics
from integrators.phase import Force, Integrator, Phase, Thermostat, kinetic_energy
from integrators.schemes import Scheme, compose, middle, outer, scheme
from integrators.splitting import Splitting

__all__ = [
    "ABOBA",
    "BAOAB",
    "BLANES_MOAN",
    "LEAPFROG",
    "OABAO",
    "OBABO",
    "OMELYAN",
    "POSITION_VERLET",
    "SCHEMES",
    "SUZUKI4",
    "VERLET",
    "YOSHIDA4",
    "YOSHIDA6",
    "Brownian",
    "Dynamics",
    "Force",
    "Integrator",
    "Phase",
    "Scheme",
    "Splitting",
    "Thermostat",
    "compose",
    "kinetic_energy",
    "middle",
    "outer",
    "scheme",
]
