"""The systems that pairs of scheme and thermostat are tested on, with whatever is known of them exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log10

import torch
from torch import Tensor

from integrators import Force
from mdnet.validation.gaussian import Gaussian, linear_network
from mdnet.validation.lattice import Lattice


@dataclass(frozen=True, eq=False)
class Exact:
    """What is known exactly: numbers made of the positions, with their moments, and the law of the energy."""

    coordinates: Callable[[Tensor], Tensor]  # q (..., dof) -> (..., n)
    moment: Callable[[int, float], Tensor]  # power 1 to 4, T -> (n,)
    energy: Callable[[float], tuple[float, float]]  # T -> <U>, var U = T^2 C
    quadratic: bool = False  # whether U - min U ~ Gamma(N_f/2, T)


@dataclass(frozen=True, eq=False)
class Subject:
    """A system to be tested: its force and masses, where to start, and the times of its motion.

    `force(dtype)` is the force in this precision; `start(replicas, temperature)` gives positions (replicas, dof)
    in float64. `replicas`: how many a test takes unless told, and where `fixed` the only number there is.
    `time`: a typical time of its motion, in which baths are given their parameters; `burn` and `spacing`: times
    to equilibrate, and between two frames. `warmth`: the momenta start at so many temperatures; 1 where the
    start is the canonical law already, so that the law has to be kept. `laplacian(q)`: exact or an unbiased
    estimate. `smooth`: whether the force is differentiable.
    """

    name: str
    masses: Tensor  # (dof,) float64
    layers: Mapping[str, int]  # name and size of each parameter tensor
    force: Callable[[torch.dtype], Force]
    start: Callable[[int, float], Tensor]
    temperature: float
    dt: float
    time: float
    burn: float
    spacing: float
    replicas: int
    warmth: float = 1.5
    frames: int = 12
    dtype: torch.dtype = torch.float64
    fixed: bool = False
    smooth: bool = True
    laplacian: Callable[[Tensor], Tensor] | None = None
    exact: Exact | None = None

    @property
    def dof(self) -> int:
        """The number of degrees of freedom."""
        return len(self.masses)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of parameters of each layer."""
        return tuple(self.layers.values())

    def rows(self, wanted: int) -> int:
        """How many replicas a test may take that would like so many."""
        return self.replicas if self.fixed else wanted


def _vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


_MASSES = _vector(1.0, 2.0, 0.7, 1.0, 0.5, 1.5)
_LAYERS = {"first": 1, "second": 2, "third": 3}


def lattice() -> Subject:
    """Six coupled anharmonic oscillators, whose motion mixes by itself, from a start that is uneven."""
    k = _vector(0.4, 0.9, 1.3, 2.4, 0.7, 1.8) / 2
    return _of_lattice(
        "lattice", Lattice(k, torch.full_like(k, 0.2), _MASSES, b=0.5, g=3.0), torch.linspace(0.1, 1.0, 6).double()
    )


def double_well() -> Subject:
    """Uncoupled modes of spread frequencies, harmonic, quartic, and with two wells."""
    k, c = _vector(0.4, 1.8, 0.5, 1.0, -1.0, -2.0), _vector(0.0, 0.0, 0.5, 1.0, 1.0, 2.0)
    return _of_lattice("double-well", Lattice(k, c, _MASSES), _vector(2.0, 2.0, 0.3, 0.3, 0.3, 0.3))


def _of_lattice(name: str, made: Lattice, spread: Tensor) -> Subject:
    """A lattice whose positions start with standard deviations `spread` (dof,): its law has to be found."""

    def start(replicas: int, temperature: float) -> Tensor:
        return spread * torch.randn(replicas, len(made.m), dtype=torch.float64)

    return Subject(
        name, made.m, _LAYERS, lambda dtype: made, start, laplacian=made.laplacian,
        temperature=1.0, dt=0.05, time=1.0, burn=45.0, spacing=3.0, replicas=1024,
        exact=Exact(lambda q: q, made.moment, made.energy),
    )  # fmt: skip


def harmonic(low: float = 0.1, high: float = 10.0, modes: int = 12) -> Subject:
    """Uncoupled harmonic modes with frequencies spread evenly in their logarithm from `low` to `high`."""
    w = torch.logspace(log10(low), log10(high), modes, dtype=torch.float64)
    made = Gaussian(torch.zeros_like(w), torch.diag(w**2), torch.ones_like(w))
    halves = {"slow": modes // 2, "fast": modes - modes // 2}
    return _of_gaussian("harmonic", made, lambda dtype: made, halves, time=1 / (low * high) ** 0.5, replicas=1024)


def linear(replicas: int = 1024) -> Subject:
    """The linear network, whose posterior is Gaussian: from network to force by backpropagation."""
    system, made = linear_network(replicas)
    layers = {entry.name: entry.size for entry in system.table.entries}
    return _of_gaussian("linear", made, lambda dtype: system.force, layers, time=0.5, replicas=replicas)


def _of_gaussian(
    name: str,
    made: Gaussian,
    force: Callable[[torch.dtype], Force],
    layers: Mapping[str, int],
    *,
    time: float,
    replicas: int,
) -> Subject:
    """A quadratic system that starts in its canonical law: its modes do not mix, so a bath is asked to keep it."""
    return Subject(
        name, made.m, layers, force, made.sample, laplacian=made.laplacian,
        temperature=1.0, dt=0.2 / float(made.frequencies[-1]), time=time, burn=20 * time, spacing=2 * time,
        replicas=replicas, warmth=1.0,
        exact=Exact(made.coordinates, made.moment, made.energy, quadratic=True),
    )  # fmt: skip
