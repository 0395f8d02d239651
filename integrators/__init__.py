"""Equations of motion: splitting schemes as data with one engine, and overdamped Langevin dynamics."""

from integrators.brownian import Brownian
from integrators.phase import Force, Integrator, Phase, Thermostat, kinetic_energy
from integrators.schemes import (
    BAOAB,
    OBABO,
    OMELYAN,
    VERLET,
    YOSHIDA4,
    Scheme,
    compose,
    middle,
    outer,
    scheme,
)
from integrators.splitting import Splitting

__all__ = [
    "BAOAB",
    "OBABO",
    "OMELYAN",
    "VERLET",
    "YOSHIDA4",
    "Brownian",
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
