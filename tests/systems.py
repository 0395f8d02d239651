"""Systems with exact answers, the schemes and thermostats that every law is tested over, and its gates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import e, pi, sqrt
from typing import ClassVar, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from integrators import (
    ABOBA,
    BAOAB,
    BLANES_MOAN,
    OABAO,
    OBABO,
    OMELYAN,
    POSITION_VERLET,
    SUZUKI4,
    VERLET,
    YOSHIDA4,
    YOSHIDA6,
    Scheme,
    Splitting,
    middle,
    outer,
)
from mdnet.priors import GaussianPrior
from mdnet.system import ParticleSystem
from thermostats import (
    GJF,
    AdaptiveLangevin,
    Andersen,
    Bussi,
    Langevin,
    NoseHooverChain,
    NoseHooverLangevin,
    Several,
    optimal_sampling,
)

Z = 5.0  # the gate, in standard errors from independent replicas
SIZES = (1, 2, 3)  # parameters of each "layer"
NVE = {s.name: s for s in (VERLET, POSITION_VERLET, OMELYAN, YOSHIDA4, SUZUKI4, BLANES_MOAN, YOSHIDA6)}
SCHEMES = {s.name: s for s in (BAOAB, OBABO, ABOBA, OABAO, outer(OMELYAN), outer(YOSHIDA4), middle(YOSHIDA4))}


def _chain(tau=1.0, order=3, **group):
    return lambda temperature, sizes: NoseHooverChain(temperature, tau, links=3, order=order, **group)


def _adaptive(group):
    return lambda temperature, sizes: AdaptiveLangevin(temperature, friction=1.0, tau=1.0, group=group)


def _mixed(temperature, sizes):
    """The three layers in three baths; where there is one parameter, one bath."""
    baths = Langevin(temperature, friction=1.0), GJF(temperature, friction=1.0), Andersen(temperature, rate=1.0)
    return Several(baths[: len(sizes)], sizes)


KEEPING = {  # baths that reach every parameter by itself, and keep Maxwell's law exactly at any dt
    "Langevin": lambda temperature, sizes: Langevin(temperature, friction=1.0),
    "Andersen": lambda temperature, sizes: Andersen(temperature, rate=1.0),
    "Andersen all": lambda temperature, sizes: Andersen(temperature, rate=1.0, group="all"),
    "GJF": lambda temperature, sizes: GJF(temperature, friction=1.0),
    "coloured": lambda temperature, sizes: optimal_sampling(temperature, slowest=0.3, fastest=3.0),
    "Several": _mixed,
}
ADAPTIVE = {  # keep it as dt goes to zero
    "adaptive global": _adaptive("global"),
    "adaptive massive": _adaptive("massive"),
    "NHL massive": lambda temperature, sizes: NoseHooverLangevin(temperature, 1.0, friction=1.0, group="massive"),
}
LOCAL = KEEPING | ADAPTIVE | {"massive": _chain(group="massive")}
STOCHASTIC = KEEPING | {"Bussi": lambda temperature, sizes: Bussi(temperature, tau=0.5)}
CHAINS = {
    "global": _chain(tau=0.5, order=5),  # one slow chain would leave the modes apart for long
    "layer": lambda temperature, sizes: _chain(group="layer", sizes=sizes)(temperature, sizes),
    "massive": LOCAL["massive"],
}
COLLECTIVE = {  # leave it to the motion to mix the modes
    "NHL global": lambda temperature, sizes: NoseHooverLangevin(temperature, 0.5, friction=1.0),
    "NHL layer": lambda temperature, sizes: NoseHooverLangevin(temperature, 0.5, 1.0, group="layer", sizes=sizes),
}
THERMOSTATS = STOCHASTIC | CHAINS | ADAPTIVE | COLLECTIVE


def thinned(schemes, baths, every_scheme=("Langevin", "massive"), every_bath=("BAOAB", "OBABO")):
    """All pairs of names; slow are those where neither the bath nor the scheme is one that goes with all."""
    return [
        pytest.param(s, b, marks=() if b in every_scheme or s in every_bath else pytest.mark.slow, id=f"{s}-{b}")
        for b in baths
        for s in schemes
    ]


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Lattice:
    """U = sum_i k_i x_i^2/2 + c_i x_i^4/4 + sum_i b (x_{i+1} - x_i)^2/2 + g x_i^2 x_{i+1}^2/2, masses m_i.

    Without b and g the modes are uncoupled, with c = 0 harmonic; k < 0 < c is a double well; k = c = 0 is free.
    """

    k: Tensor  # (dof,)
    c: Tensor  # (dof,)
    m: Tensor  # (dof,)
    b: float = 0.0
    g: float = 0.0

    @property
    def dof(self) -> int:
        return len(self.m)

    def __call__(self, q: Tensor) -> tuple[Tensor, Tensor]:
        k, c, x2 = self.k.to(q.dtype), self.c.to(q.dtype), q * q
        u = (x2 * (k / 2 + c / 4 * x2)).sum(-1, dtype=torch.float64)
        f = -q * (k + c * x2)
        if self.b or self.g:
            bond, left, right = q[:, 1:] - q[:, :-1], x2[:, :-1], x2[:, 1:]
            u += (self.b / 2 * bond**2 + self.g / 2 * left * right).sum(-1, dtype=torch.float64)
            f[:, 1:] -= self.b * bond + self.g * q[:, 1:] * left
            f[:, :-1] += self.b * bond - self.g * q[:, :-1] * right
        return u, f

    def laplacian(self, q: Tensor) -> Tensor:
        """sum_i d^2U/dx_i^2 at q (..., dof): (...,)."""
        x2 = q * q
        bonds = 2 * self.b * (self.dof - 1) + self.g * (x2[..., 1:] + x2[..., :-1]).sum(-1)
        return (self.k + 3 * self.c * x2).sum(-1) + bonds

    @cache  # noqa: B019
    def density(self, temperature: float) -> tuple[Tensor, Tensor]:
        """The exact density of each x_i by transfer matrices: grid (n,), density (dof, n)."""
        x = torch.linspace(-9.0, 9.0, 1201, dtype=torch.float64)
        site = torch.exp(-(x**2 * (self.k[:, None] / 2 + self.c[:, None] / 4 * x**2)) / temperature)
        y = x[:, None]
        bond = torch.exp(-(self.b / 2 * (x - y) ** 2 + self.g / 2 * x**2 * y**2) / temperature)
        left, right = [torch.ones_like(x)], [torch.ones_like(x)]
        for i in range(self.dof - 1):
            left.append(_unit(bond @ (left[-1] * site[i])))
            right.insert(0, _unit(bond @ (right[0] * site[-1 - i])))
        density = site * torch.stack(left) * torch.stack(right)
        return x, density / (density.sum(-1, keepdim=True) * (x[1] - x[0]))

    def moment(self, power: int, temperature: float) -> Tensor:
        """<x_i^power>, (dof,)."""
        x, density = self.density(temperature)
        return (x**power * density).sum(-1) * (x[1] - x[0])

    def cumulative(self, i: int, temperature: float):
        """The distribution function of x_i as scipy's kstest wants it."""
        x, density = (t.numpy() for t in self.density(temperature))
        below = np.cumsum((density[i, 1:] + density[i, :-1]) / 2 * (x[1] - x[0]))
        return lambda values: np.interp(values, x, np.concatenate([[0.0], below]))

    def sample(self, replicas: int, temperature: float) -> tuple[Tensor, Tensor]:
        """Exact canonical positions and momenta (replicas, dof); exact for uncoupled modes only."""
        x = self.density(temperature)[0].numpy()
        uniform = torch.rand(self.dof, replicas, dtype=torch.float64).numpy()
        rows = [np.interp(uniform[i], self.cumulative(i, temperature)(x), x) for i in range(self.dof)]
        q = torch.as_tensor(np.stack(rows, -1))
        return q, torch.randn_like(q) * torch.sqrt(temperature * self.m)


def _unit(v: Tensor) -> Tensor:
    return v / v.max()


_K, _M = vector(0.4, 0.9, 1.3, 2.4, 0.7, 1.8), vector(1.0, 2.0, 0.7, 1.0, 0.5, 1.5)
HARMONIC = Lattice(_K, torch.zeros(6, dtype=torch.float64), _M)
MODES = Lattice(vector(0.4, 1.8, 0.5, 1.0, -1.0, -2.0), vector(0.0, 0.0, 0.5, 1.0, 1.0, 2.0), _M)
COUPLED = Lattice(_K / 2, torch.full((6,), 0.2, dtype=torch.float64), _M, b=0.5, g=3.0)
FREE = Lattice(torch.zeros(6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64), _M)
SYSTEMS = {"harmonic": HARMONIC, "modes": MODES, "coupled": COUPLED}


@dataclass(frozen=True, eq=False)
class Noisy:
    """The force of a system with normal noise of the standard deviation s (dof,), drawn afresh at each call."""

    system: Lattice
    s: Tensor
    stochastic: ClassVar[bool] = True

    def __call__(self, q: Tensor) -> tuple[Tensor, Tensor]:
        u, f = self.system(q)
        return u, f + self.s * torch.randn_like(f)


def discrete_variance(scheme: Scheme, k: Tensor, m: Tensor, dt: float, temperature: float) -> tuple[Tensor, Tensor]:
    """<x^2> and <p^2> that a scheme with any canonical bath samples from U = k x^2/2, at the end of a step.

    Between two O the scheme is one linear map with equal diagonal, so it conserves -c x^2 + b p^2 of its
    matrix ((a, b), (c, a)). O makes <p^2> = m T there, and the rest of the step carries both to its end.
    """
    word = [letter for letter, _ in scheme.steps]
    first, last = word.index("O"), len(word) - 1 - word[::-1].index("O")
    inside, tail = list(scheme.steps[first + 1 : last]), list(scheme.steps[last + 1 :])
    turn = _matrix(inside + tail + list(scheme.steps[:first]), k, m, dt)
    p2 = m * temperature
    x2 = -turn[..., 0, 1] / turn[..., 1, 0] * p2
    end = _matrix(tail, k, m, dt) ** 2
    return end[..., 0, 0] * x2 + end[..., 0, 1] * p2, end[..., 1, 0] * x2 + end[..., 1, 1] * p2


def _matrix(steps, k: Tensor, m: Tensor, dt: float) -> Tensor:
    product = torch.eye(2, dtype=k.dtype).repeat(len(k), 1, 1)
    for letter, fraction in steps:
        factor = torch.eye(2, dtype=k.dtype).repeat(len(k), 1, 1)
        if letter == "A":
            factor[:, 0, 1] = fraction * dt / m
        elif letter == "B":
            factor[:, 1, 0] = -fraction * dt * k
        product = factor @ product
    return product


class LinearNetwork:
    """Least squares with a Gaussian prior through a ParticleSystem: its posterior is exactly Gaussian.

    U(q) = U_0 + (q - mean) stiffness (q - mean)/2,   covariance = T stiffness^-1
    """

    def __init__(self, replicas: int, *, dtype=torch.float64, n: int = 24, seed: int = 5, **options):
        noise = torch.Generator().manual_seed(seed)
        x, y = (torch.randn(n, d, generator=noise, dtype=torch.float64) for d in (3, 2))
        x[:, 1] += 0.6 * x[:, 0]  # so that the parameters are correlated
        self.m = vector(*[1.0] * 6, *[2.0] * 2)  # weight (2, 3), bias (2,)
        self.system = ParticleSystem(
            torch.nn.Linear(3, 2), torch.nn.functional.mse_loss, x, y, replicas=replicas, scale=float(n), dtype=dtype,
            prior=GaussianPrior({"weight": 0.5, "bias": 2.0}), masses={"weight": 1.0, "bias": 2.0}, **options,
        )  # fmt: skip
        design = torch.zeros(n, 2, 8, dtype=torch.float64)
        for output in range(2):
            design[:, output, 3 * output : 3 * output + 3] = x
            design[:, output, 6 + output] = 1.0
        design, y = design.flatten(0, 1), y.flatten()
        prior = torch.diag(1 / vector(*[0.5] * 6, *[2.0] * 2))
        self.stiffness = design.T @ design + prior  # the mean of the squares over 2 n numbers, times n
        self.mean = torch.linalg.solve(self.stiffness, design.T @ y)
        self.u0 = 0.5 * (y @ y - self.mean @ self.stiffness @ self.mean).item()

    def covariance(self, temperature: float = 1.0) -> Tensor:
        return temperature * torch.linalg.inv(self.stiffness)

    def entropy(self, temperature: float = 1.0) -> float:
        """S = log det(2 pi e covariance)/2, of the positions alone."""
        return 0.5 * torch.logdet(2 * pi * e * self.covariance(temperature)).item()

    def log_z(self, temperature: float = 1.0) -> float:
        """log of the integral of exp(-U/T) over the positions: S - <U>/T."""
        return 0.5 * torch.logdet(2 * pi * self.covariance(temperature)).item() - self.u0 / temperature

    def mean_energy(self, temperature: float = 1.0) -> float:
        return self.u0 + len(self.m) * temperature / 2

    def obabo_covariance(self, dt: float, temperature: float = 1.0) -> Tensor:
        """T M^-1/2 [W (1 - dt^2 W/4)]^-1 M^-1/2 with W = M^-1/2 K M^-1/2."""
        root = torch.diag(self.m**-0.5)
        w = root @ self.stiffness @ root
        return temperature * root @ torch.linalg.inv(w @ (torch.eye(8) - dt**2 * w / 4)) @ root

    def largest_frequency(self) -> float:
        root = torch.diag(self.m**-0.5)
        return torch.linalg.eigvalsh(root @ self.stiffness @ root).max().sqrt().item()


class Frames(NamedTuple):
    """Decorrelated samples, each (frames, replicas, dof); u is (frames, replicas)."""

    q: Tensor
    p: Tensor  # at the end of the step
    o: Tensor  # p as the bath left it last: there the law of p is Maxwell's in every scheme
    f: Tensor
    u: Tensor


class Witness:
    """A bath that keeps the momenta as it left them."""

    def __init__(self, bath):
        self.inner, self.bath, self.temperature = bath, bath.bath, bath.temperature

    def __call__(self, p, m, bath, dt):
        self.inner(p, m, bath, dt)
        self.p = p.clone()


def sample(scheme, force, dt, bath, q: Tensor, p: Tensor, m: Tensor, *, burn: int, frames: int, every: int) -> Frames:
    """Run, and keep a frame now and then."""
    witness = Witness(bath)
    phase = (engine := Splitting(scheme, force, dt, witness)).start(q, p, m)
    kept = []
    for step in range(1, burn + frames * every + 1):
        engine(phase)
        if step > burn and (step - burn) % every == 0:
            engine.sync(phase)
            kept.append([x.double().clone() for x in (phase.q, phase.p, witness.p, phase.f, phase.u)])
    return Frames(*(torch.stack(x) for x in zip(*kept, strict=True)))


def simulate(
    system: Lattice, scheme: Scheme, bath, *, dt, replicas, burn, frames, every, dtype=torch.float64
) -> Frames:
    """Sample a lattice from a start that is wrong on purpose: cold positions, hot momenta."""
    q = 0.3 * torch.randn(replicas, system.dof, dtype=dtype)
    p = torch.randn_like(q) * torch.sqrt(1.5 * system.m).to(dtype)
    return sample(scheme, system, dt, bath, q, p, system.m.to(dtype), burn=burn, frames=frames, every=every)


def deviation(samples: Tensor, exact: Tensor | float) -> float:
    """The worst deviation of the mean of samples (replicas, ...) from the exact answer, in standard errors."""
    error = samples.std(0) / sqrt(len(samples))
    worst = ((samples.mean(0) - exact).abs() / error).max().item()
    assert worst == worst, "not a number: a sample is, or none of them varies"
    return worst


def slopes(errors: list[float]) -> list[float]:
    """The order seen at each halving of dt."""
    return [torch.log2(torch.tensor(a / b)).item() for a, b in pairwise(errors)]
