"""Numbers from correlated samples, with honest error bars; how the weights move, and what shape they fill."""

from trajectories.statistics.alignment import Alignment, aligned_rmsd
from trajectories.statistics.averages import (
    autocorrelation,
    decorrelate,
    effective_samples,
    equilibrated,
    inefficiencies,
    inefficiency,
    mean,
    slope,
)
from trajectories.statistics.blocking import Blocks, blocks
from trajectories.statistics.components import Components, principal_components
from trajectories.statistics.convergence import Convergence, convergence, rhat
from trajectories.statistics.estimate import Estimate, as_series
from trajectories.statistics.geometry import Radial, pair_distances, radial_distribution
from trajectories.statistics.manifold import DiffusionMap, diffusion_map
from trajectories.statistics.motion import (
    Displacement,
    VelocityCorrelation,
    Vibrations,
    diffusion,
    mean_squared_displacement,
    velocity_autocorrelation,
    vibrational_density,
)
from trajectories.statistics.overlaps import Overlap, SelfOverlap, overlap, self_overlap
from trajectories.statistics.spectra import Spectrum, autocovariance, spectral_density

__all__ = [
    "Alignment",
    "Blocks",
    "Components",
    "Convergence",
    "DiffusionMap",
    "Displacement",
    "Estimate",
    "Overlap",
    "Radial",
    "SelfOverlap",
    "Spectrum",
    "VelocityCorrelation",
    "Vibrations",
    "aligned_rmsd",
    "as_series",
    "autocorrelation",
    "autocovariance",
    "blocks",
    "convergence",
    "decorrelate",
    "diffusion",
    "diffusion_map",
    "effective_samples",
    "equilibrated",
    "inefficiencies",
    "inefficiency",
    "mean",
    "mean_squared_displacement",
    "overlap",
    "pair_distances",
    "principal_components",
    "radial_distribution",
    "rhat",
    "self_overlap",
    "slope",
    "spectral_density",
    "velocity_autocorrelation",
    "vibrational_density",
]
