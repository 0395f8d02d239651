"""The signal and the noise of a stochastic force along a run: the mean gradient beside its fluctuations."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from integrators import Integrator, Phase
from mdnet.cadence import Cadence, cadence
from mdnet.randomness import Stream
from mdnet.system import ParticleSystem


class NoiseLevel:
    """The squares of the mean force and of a stochastic force's noise, each (replicas,) float64:

        gradient_squared |f|^2,     noise_squared E|f_B - f|^2;     SNR = sqrt(gradient_squared/noise_squared)

    f is the force's own mean (the full data, for a minibatch's), the expectation the mean over `batches` draws: right
    in the mean, with a relative error of about sqrt(2/batches) where one direction dominates. Draws come from a stream
    of their own, seeded by the step, so that looking does not change the run. `every`: steps between reports.

    Raises ValueError at the start for a force that is not stochastic.
    """

    def __init__(self, every: Cadence = 100, *, batches: int = 8, seed: int = 0) -> None:
        if batches < 1:
            raise ValueError(f"batches = {batches} must be one or more")
        self.every, self.batches, self.seed = cadence(every), batches, seed

    def start(self, system: ParticleSystem, integrator: Integrator) -> None:
        """Remember the force."""
        if not integrator.stochastic:
            raise ValueError(
                f"the force of {type(integrator).__name__} has no noise to measure; give it a minibatch's, "
                "system.minibatch(size)"
            )
        self.force = integrator.force  # type: ignore[attr-defined]
        self.device = system.device

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Return both squares."""
        mean = self.force.mean(phase.q)[1].double()
        noise = torch.zeros(len(mean), dtype=torch.float64, device=mean.device)
        with Stream(self.seed + 1_000_003 * step, self.device).active():
            for _ in range(self.batches):
                noise += (self.force(phase.q)[1].double() - mean).square().sum(-1)
        return {"gradient_squared": mean.square().sum(-1), "noise_squared": noise / self.batches}
