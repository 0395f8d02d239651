"""One run of a pair on a system, from which all equilibrium laws are read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from integrators import Phase, Splitting, kinetic_energy
from mdnet.progress import Bar
from mdnet.validation.pairs import Pair, Witness, start
from mdnet.validation.subjects import Subject

_EACH = 64  # parameters up to which each is looked at by itself


@dataclass(frozen=True, eq=False)
class Sample:
    """What was seen in equilibrium, float64; momenta are those that the bath left last."""

    kinetic: Tensor  # (frames, replicas) K
    potential: Tensor  # (frames, replicas) U
    layers: Tensor  # (frames, replicas, layers) mean p^2/m
    squared: Tensor  # (frames, replicas) |grad U|^2
    q: Tensor  # (replicas, dof) at the end
    each: Tensor | None = None  # (frames, replicas, dof) p^2/m of small systems
    laplacian: Tensor | None = None  # (frames, replicas)
    coordinates: Tensor | None = None  # (frames, replicas, n) whose moments are known exactly

    @property
    def finite(self) -> bool:
        """Whether nothing diverged."""
        return all(bool(torch.isfinite(x).all()) for x in (self.kinetic, self.potential, self.q))


def sample(pair: Pair, subject: Subject, *, temperature: float, dt: float, replicas: int, show: bool = False) -> Sample:
    """Run a pair at a temperature, and look at it now and then after it has equilibrated.

    Raises ValueError for a pair without a thermostat.
    """
    made = pair.thermostat(temperature, subject)
    if made is None:
        raise ValueError(f"{pair.name} has no thermostat, so there is no equilibrium to sample")
    q = subject.start(replicas, temperature).to(subject.dtype)
    witness = Witness(made, q.device)
    engine, phase = start(pair.scheme, witness, subject, q, subject.warmth * temperature, dt)
    burn, every = round(subject.burn / dt), max(1, round(subject.spacing / dt))
    steps = burn + subject.frames * every
    kept = []
    with Bar(steps, show=show, title=f"{pair.name} on {subject.name}") as bar:
        for step in range(1, steps + 1):
            engine(phase)
            if step > burn and (step - burn) % every == 0:
                kept.append(_look(engine, phase, witness.p, subject))
            if step % every == 0:
                bar.update(step, {})
    seen = {name: torch.stack([frame[name] for frame in kept]) for name in kept[0]}
    return Sample(**seen, q=phase.q.double())


def _look(engine: Splitting, phase: Phase, p: Tensor, subject: Subject) -> dict[str, Tensor]:
    """One frame, by the names of a Sample."""
    engine.sync(phase)
    doubled = p.double().square() / phase.m  # (replicas, dof), each of mean T
    layers = torch.split(doubled, list(subject.sizes), -1)
    seen = {
        "kinetic": kinetic_energy(p, phase.m),
        "potential": phase.u.clone(),
        "layers": torch.stack([layer.mean(-1) for layer in layers], -1),
        "squared": phase.f.double().square().sum(-1),
    }
    if subject.dof <= _EACH:
        seen["each"] = doubled
    if subject.laplacian is not None:
        seen["laplacian"] = subject.laplacian(phase.q).double()
    if subject.exact is not None:
        seen["coordinates"] = subject.exact.coordinates(phase.q.double())
    return seen
