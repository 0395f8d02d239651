"""Equations of motion: splitting schemes as data with one engine, and the methods beyond splitting."""

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
from integrators.euler_maruyama import EulerMaruyama
from integrators.isokinetic import Isokinetic
from integrators.metropolis import HMC, MALA
from integrators.multistep import MultipleTimeSteps
from integrators.phase import Force, Integrator, Phase, Thermostat, kinetic_energy
from integrators.schemes import Scheme, compose, middle, outer, scheme
from integrators.sgd import SGD
from integrators.splitting import Splitting

__all__ = [
    "ABOBA",
    "BAOAB",
    "BLANES_MOAN",
    "HMC",
    "LEAPFROG",
    "MALA",
    "OABAO",
    "OBABO",
    "OMELYAN",
    "POSITION_VERLET",
    "SCHEMES",
    "SGD",
    "SUZUKI4",
    "VERLET",
    "YOSHIDA4",
    "YOSHIDA6",
    "Brownian",
    "Dynamics",
    "EulerMaruyama",
    "Force",
    "Integrator",
    "Isokinetic",
    "MultipleTimeSteps",
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
