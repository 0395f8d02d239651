"""SGD of one weight in two wells beside the steady state of its diffusion, whose noise grows with the weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid
from torch import Tensor

from integrators import SGD
from mdnet.experiments.data_averaging.identities import Averages
from mdnet.experiments.results import Check
from mdnet.randomness import Stream
from trajectories.sgd import Values, jackknife

Array = NDArray[Any]
A, B = 2.0, 3.0  # of the rows' losses
TEMPERATURE, DECAY, NOISE = 0.02, 0.1, 0.5
RATES = (0.02, 0.04, 0.08, 0.16, 0.32)  # at one temperature, so that the batch grows with the rate
NEAR = 0.02  # the largest Kolmogorov-Smirnov distance that is claimed at small rates
CORNERS = np.array([[[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]])  # rows of one data set: the mean is 0
GRID = np.linspace(-4.0, 4.0, 2001)
_PARTS = 16  # of the replicas, for errors


@dataclass(frozen=True, eq=False)
class Wells:
    """One weight theta whose mean loss over all rows (xi, zeta), of mean 0 and variance 1, has its wells at -1 and 1:

        l = theta^4/4 - (1 + A xi) theta^2/2 + B zeta theta

    The gradients of its rows vary with A^2 theta^2 + B^2, more in the wells than between. `rows` (sets, n, 2): data
    sets.
    """

    rows: Array

    def energy(self, theta: Array) -> Array:
        """Return the mean loss U_S(theta) of each data set (sets, points) at theta (points,)."""
        xi, zeta = self.rows.mean(axis=1).T[:, :, None]
        return np.asarray(theta**4 / 4 - (1 + A * xi) * theta**2 / 2 + B * zeta * theta)

    def slope(self, theta: Array) -> Array:
        """Return its derivative (sets, points)."""
        xi, zeta = self.rows.mean(axis=1).T[:, :, None]
        return np.asarray(theta**3 - (1 + A * xi) * theta + B * zeta)

    def covariance(self, theta: Array) -> Array:
        """Return the variance D of the rows' gradients (sets, points)."""
        spread = self.rows - self.rows.mean(axis=1, keepdims=True)
        xx, zz, xz = (np.mean(spread[..., i] * spread[..., j], axis=1)[:, None] for i, j in ((0, 0), (1, 1), (0, 1)))
        return np.asarray(A**2 * xx * theta**2 + B**2 * zz - 2 * A * B * xz * theta)

    def potential(
        self, theta: Array, temperature: float, *, decay: float = 0.0, noise: float = 0.0, drift: bool = True
    ) -> Array:
        """Return the effective potential (sets, points) of SGD, -ln rho but for a constant of each data set:

            (2/T) v + a,     v' = (U' + decay theta)/(D + noise^2),     a' = D'/(D + noise^2),  so a = ln(D + noise^2)

        T is the rate over the batch. `drift=False` leaves out a, which noise that grows with the weight brings.
        """
        spread = self.covariance(theta) + noise**2
        v = cumulative_trapezoid((self.slope(theta) + decay * theta) / spread, theta, axis=1, initial=0.0)
        return np.asarray(2 / temperature * v + (np.log(spread) if drift else 0.0))


class WellsForce:
    """The force of `batch` rows (n, 2) drawn with replacement, and isotropic noise of N(0, noise^2/batch)."""

    stochastic: ClassVar[bool] = True

    def __init__(self, rows: Tensor, batch: int, noise: float) -> None:
        self.rows, self.batch, self.noise = rows, batch, noise

    def __call__(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return u (replicas,) and f (replicas, 1) of each replica's own batch at q (replicas, 1)."""
        drawn = self.rows[torch.randint(len(self.rows), (len(q), self.batch))].mean(1)
        xi, zeta = drawn[:, :1], drawn[:, 1:]
        u = q**4 / 4 - (1 + A * xi) * q**2 / 2 + B * zeta * q
        f = (1 + A * xi) * q - q**3 - B * zeta
        if self.noise:
            f = f + self.noise / self.batch**0.5 * torch.randn_like(q)
        return u[:, 0], f


def simulate(
    wells: Wells,
    rate: float,
    batch: int,
    *,
    decay: float = DECAY,
    noise: float = NOISE,
    seed: int = 0,
    replicas: int = 4096,
    settle: float = 60.0,
    looks: int = 30,
    apart: float = 2.0,
) -> Array:
    """Return the weights (looks, replicas) of stationary SGD on the first data set, starting between the wells.

    `settle` and `apart`: times before the first look and between looks, in steps times `rate`.
    """
    sgd = SGD(WellsForce(torch.as_tensor(wells.rows[0]), batch, noise), rate, weight_decay=decay)
    kept = []
    with Stream(seed, torch.device("cpu")).active():
        q = 0.5 * torch.randn(replicas, 1, dtype=torch.float64)
        phase = sgd.start(q, torch.zeros_like(q), torch.ones(1, dtype=torch.float64))
        for look in range(looks):
            for _ in range(round((apart if look else settle) / rate)):
                sgd(phase)
            kept.append(phase.q[:, 0].clone())
    return torch.stack(kept).numpy()


class Steady(NamedTuple):
    """SGD at one temperature by rate, and what its diffusion foretells."""

    rates: Sequence[float]
    batches: Sequence[int]
    samples: list[Array]
    density: Array  # (points,) on GRID, the same at all rates
    distance: Values  # (rates,) Kolmogorov-Smirnov, from the density; errors over parts of the replicas
    without: Values  # () from the density without a, at the lowest rate
    between: Values  # () of the two lowest rates


def steady(seed: int = 0, rates: Sequence[float] = RATES, replicas: int = 4096) -> Steady:
    """Simulate SGD at one temperature, each rate with the batch rate/T, and compare it with the diffusion."""
    wells, batches = Wells(CORNERS), [round(rate / TEMPERATURE) for rate in rates]
    samples = [
        simulate(wells, rate, batch, seed=seed + i, replicas=replicas)
        for i, (rate, batch) in enumerate(zip(rates, batches, strict=True))
    ]
    whole, bare = (
        density(wells.potential(GRID, TEMPERATURE, decay=DECAY, noise=NOISE, drift=drift)[0]) for drift in (True, False)
    )
    below = [_below(one) for one in samples]
    apart = [_distance(one, _integral(whole)[:, None]) for one in below]
    errors = Values(np.array([one.value for one in apart]), np.array([one.error for one in apart]))
    without, between = _distance(below[0], _integral(bare)[:, None]), _distance(below[0], below[1])
    return Steady(rates, batches, samples, whole, errors, without, between)


def averages(sets: int, rows: int, seed: int = 0) -> tuple[Wells, Averages]:
    """Return data sets of normal rows with their energies; their laws are uniform until others are put in place."""
    wells = Wells(np.random.default_rng(seed).normal(size=(sets, rows, 2)))
    grid = GRID[::2]
    train, loss = wells.energy(grid), grid**4 / 4 - grid**2 / 2
    spread = np.sqrt(A**2 * grid**4 / 4 + B**2 * grid**2)
    return wells, Averages(grid, np.zeros_like(train), train, loss, spread, rows)


def checks(found: Steady) -> list[Check]:
    """Return G2: the diffusion's density at small rates, worse at large ones, and one at two rates of one T."""
    near, without, between = found.distance, found.without, found.between
    told = ", ".join(f"{rate:g}: {value:.4f}" for rate, value in zip(found.rates, near.value, strict=True))
    return [
        Check(f"G2: distance (KS) of SGD from its diffusion, rate {found.rates[0]:g}", f"{NEAR} or less",
              f"{near.value[0]:.4f} ± {near.error[0]:.4f}", bool(near.value[0] <= NEAR)),
        Check("G2: the same at larger rates", "grows with the rate, from the second on",
              f"{told}; ± {near.error.max():.4f} at most", bool(np.all(np.diff(near.value[1:]) > 0))),
        Check(f"G2: T = {TEMPERATURE:g} alone sets the density, rates {found.rates[0]:g} and {found.rates[1]:g}",
              f"distance {NEAR} or less", f"{between.value:.4f} ± {between.error:.4f}", bool(between.value <= NEAR)),
        Check("control: the density without a", f"more than {NEAR} away", f"{without.value:.4f} ± {without.error:.4f}",
              bool(without.value > NEAR)),
    ]  # fmt: skip


def density(potential: Array) -> Array:
    """Return exp(-potential) on GRID with integral one, from a potential (points,)."""
    weight = np.exp(potential.min() - potential)
    return np.asarray(weight / (weight.sum() * (GRID[1] - GRID[0])))


def _integral(values: Array) -> Array:
    below = cumulative_trapezoid(values, GRID, initial=0.0)
    return np.asarray(below / below[-1])


def _below(samples: Array) -> Array:
    """The share of samples (looks, replicas) below each point of GRID in parts of the replicas (points, parts)."""
    parts = np.array_split(samples, _PARTS, axis=1)
    return np.stack([np.searchsorted(np.sort(part.ravel()), GRID) / part.size for part in parts], axis=-1)


def _distance(below: Array, other: Array) -> Values:
    """The largest difference of two distribution functions (points, parts), the second perhaps exact (points, 1)."""

    def largest(difference: Array) -> Array:
        return np.asarray(np.abs(difference).max())

    return jackknife(largest, below - other)
