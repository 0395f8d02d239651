"""The tables of a run file that say what is written, how often and how."""

from __future__ import annotations

from mdnet.config.options import Section, default
from mdnet.config.values import Cadence, Count, Steps
from mdnet.projections import PrincipalComponents, RandomProjection
from mdnet.reporters import Evaluate, Frames, Predictions, Scalars
from trajectories.storage.options import Compression, Storage


class Output(Section):
    """[output]: how the trajectory is stored; live for reading while it grows, compression, mantissa bits kept."""

    live: bool = default(Storage, "live")
    compression: Compression = default(Storage, "compression")
    bits: Count | None = default(Storage, "bits")

    def make(self) -> Storage:
        """Return the options."""
        return Storage(live=self.live, compression=self.compression, bits=self.bits)


class Projection(Section):
    """[report.projection]: a random projection of the weights."""

    dimension: Count = default(RandomProjection, "dimension")
    every: Count = default(RandomProjection, "every")
    seed: int = default(RandomProjection, "seed")

    def make(self) -> RandomProjection:
        """Return the reporter."""
        return RandomProjection(self.dimension, self.every, seed=self.seed)


class Principal(Section):
    """[report.principal]: principal components, learnt from the first reports and then projected on."""

    dimension: Count = default(PrincipalComponents, "dimension")
    every: Count = default(PrincipalComponents, "every")
    learn: Count = default(PrincipalComponents, "learn")

    def make(self) -> PrincipalComponents:
        """Return the reporter."""
        return PrincipalComponents(self.dimension, self.every, learn=self.learn)


class Report(Section):
    """[report]: steps between reports, 0 switches one off; what the frames hold, and projections of the weights.

    `configurational`: the temperature by gradient and Hessian, off unless asked for. `velocity` and `force`: true, or
    steps of their own. `tensors`: names or patterns of those that frames keep. `tensorboard`: energies and metrics also
    go to the run's folder tensorboard.
    """

    scalars: Cadence = default(Scalars, "every")
    frames: Cadence = default(Frames, "every")
    evaluate: Cadence = default(Evaluate, "every")
    predictions: Cadence = default(Predictions, "every")
    configurational: Cadence = 0
    velocity: Steps = default(Frames, "velocity")
    force: Steps = default(Frames, "force")
    tensors: list[str] | None = default(Frames, "tensors")
    projection: Projection | None = None
    principal: Principal | None = None
    tensorboard: bool = False
