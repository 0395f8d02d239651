"""Molecular dynamics whose particles are the weights of a neural network.

The names follow the data path: a network and data become a ParticleSystem; an integrator with a thermostat
moves it in a Simulation; reporters fill the file that the package `trajectories` analyses offline.
"""

from mdnet import covariance, curvature, data, networks, reduction
from mdnet.adaptation import AdaptStep
from mdnet.cadence import At, log_spaced
from mdnet.cautions import NonCanonicalWarning, UnboundedWarning
from mdnet.checkpoint import ResumeError
from mdnet.frames import load_frame
from mdnet.noise_level import NoiseLevel
from mdnet.optimizer import Simmer
from mdnet.priors import Box, GaussianPrior
from mdnet.projections import PrincipalComponents, RandomProjection
from mdnet.recording import OutputExistsError
from mdnet.reporters import (
    ConfigurationalTemperature,
    Evaluate,
    Frames,
    Predictions,
    Scalars,
    accuracy,
    r2,
)
from mdnet.schedules import Constant, Cosine, Cyclical, Linear, Staircase, Table
from mdnet.simulation import Simulation
from mdnet.snapshots import GraphEntropy
from mdnet.stability import DivergenceError
from mdnet.steering import SteerTemperature
from mdnet.system import ParticleSystem
from mdnet.tangent_noise import TangentNoise
from mdnet.tempering import PopulationAnnealing, ReplicaExchange, SimulatedTempering, from_pilot, geometric
from mdnet.tensorboard import TensorBoard
from mdnet.training import minimise
from trajectories import Storage

__all__ = [
    "AdaptStep",
    "At",
    "Box",
    "ConfigurationalTemperature",
    "Constant",
    "Cosine",
    "Cyclical",
    "DivergenceError",
    "Evaluate",
    "Frames",
    "GaussianPrior",
    "GraphEntropy",
    "Linear",
    "NoiseLevel",
    "NonCanonicalWarning",
    "OutputExistsError",
    "ParticleSystem",
    "PopulationAnnealing",
    "Predictions",
    "PrincipalComponents",
    "RandomProjection",
    "ReplicaExchange",
    "ResumeError",
    "Scalars",
    "Simmer",
    "SimulatedTempering",
    "Simulation",
    "Staircase",
    "SteerTemperature",
    "Storage",
    "Table",
    "TangentNoise",
    "TensorBoard",
    "UnboundedWarning",
    "accuracy",
    "covariance",
    "curvature",
    "data",
    "from_pilot",
    "geometric",
    "load_frame",
    "log_spaced",
    "minimise",
    "networks",
    "r2",
    "reduction",
]
