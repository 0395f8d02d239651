"""What averages over data sets say exactly of the gap, on models of one weight where all integrals can be done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdnet.experiments.results import Check
from trajectories.sgd import Values

Array = NDArray[Any]
GAP, WITHIN = 0.2, 0.02  # of the Gaussian model, and how near it is claimed to be found
ROWS = 5  # of a data set of the Gaussian model: the gap is 1/rows
SHIFT = 0.5  # of the test rows, in the control


@dataclass(frozen=True, eq=False)
class Averages:
    """The laws of one weight that many data sets lead to, on a grid of equal steps, with their energies.

    `grid` (points,); `log_density` ln rho_S and `train` U_S (sets, points), the mean loss over the n `rows` of a set;
    `loss` and `spread` (points,): mean and standard deviation of the loss of a row over all rows there could be.
    ln rho_S may be given but for a constant of each set.
    """

    grid: Array
    log_density: Array
    train: Array
    loss: Array
    spread: Array
    rows: int

    def __post_init__(self) -> None:
        log = self.log_density - self.log_density.max(axis=1, keepdims=True)
        norm = np.log(np.exp(log).sum(axis=1, keepdims=True) * self.step)
        object.__setattr__(self, "log_density", log - norm)

    @property
    def step(self) -> float:
        """The step of the grid."""
        return float(self.grid[1] - self.grid[0])

    @property
    def density(self) -> Array:
        """The laws rho_S (sets, points)."""
        return np.asarray(np.exp(self.log_density))

    def covariance(self, values: Array | None = None) -> Values:
        """Return -int Cov_S(rho_S, U_S) d theta, the gap, and its standard error over data sets.

        `values`: another function of weight and data (sets, points) in place of U_S.
        """
        each = self.train if values is None else values
        centred = self.density - self.density.mean(axis=0)
        by_set = -(centred * (each - each.mean(axis=0))).sum(axis=1) * self.step
        sets = len(by_set)
        return Values(by_set.sum() / (sets - 1), by_set.std(ddof=1) / np.sqrt(sets))

    def gap(self) -> Values:
        """Return the mean over data sets of int rho_S (U - U_S) d theta, U of all rows, and its standard error."""
        by_set = (self.density * (self.loss - self.train)).sum(axis=1) * self.step
        return Values(by_set.mean(), by_set.std(ddof=1) / np.sqrt(len(by_set)))

    def bound(self) -> float:
        """Return n^(-1/2) int sigma_rho sigma_l d theta >= |gap|, for U_S has the variance sigma_l^2/n."""
        spread = self.density.std(axis=0, ddof=1)
        return float((spread * self.spread).sum() * self.step / np.sqrt(self.rows))

    def divergence(self) -> float:
        """Return the mean over pairs of different data sets of KL(rho_S || rho_S') = int rho_S ln(rho_S/rho_S')."""
        own = (self.density * self.log_density).sum(axis=1).mean()
        other = (self.density.mean(axis=0) * self.log_density.mean(axis=0)).sum()
        return float((own - other) * self.step * len(self.train) / (len(self.train) - 1))


def gaussian(sets: int, seed: int, *, temperature: float = 0.1, decay: float = 0.0, points: int = 161) -> Averages:
    """Return the Gibbs laws of l = (theta - z)^2/2 with rows z ~ N(0, 1): the gap is 1/(n (1 + decay)).

        rho_S = N(mean z/(1 + decay), temperature/(1 + decay))

    whatever the temperature, for it is the covariance of the law's centre and the mean of the rows.
    """
    z = np.random.default_rng(seed).normal(size=(sets, ROWS))
    mean, square = z.mean(axis=1)[:, None], np.square(z).mean(axis=1)[:, None]
    reach = 5 / np.sqrt(ROWS) + 6 * np.sqrt(temperature)
    grid = np.linspace(-reach, reach, points)
    train = (grid**2 - 2 * grid * mean + square) / 2
    return Averages(
        grid, -(train + decay * grid**2 / 2) / temperature, train, (grid**2 + 1) / 2, np.sqrt(grid**2 + 0.5), ROWS
    )


def measured_gap(sets: int, seed: int, *, temperature: float = 0.1, shift: float = 0.0) -> Values:
    """Return test less train loss of a weight drawn from each rho_S of `gaussian`, on n test rows of its own.

    `shift`: how far the test rows are moved; the identity holds without. Also the standard error over data sets.
    """
    rng = np.random.default_rng(seed)
    train, test = (rng.normal(size=(sets, ROWS)) for _ in range(2))
    theta = train.mean(axis=1) + np.sqrt(temperature) * rng.normal(size=sets)
    gap = (np.square(theta[:, None] - test - shift) - np.square(theta[:, None] - train)).mean(axis=1) / 2
    return Values(gap.mean(), gap.std(ddof=1) / np.sqrt(sets))


def boltzmann(averages: Averages, betas: ArrayLike) -> tuple[Values, Values]:
    """Return the gap of rho_S ~ exp(-beta U_S) for each beta (betas,), and that of laws that know another data set.

    beta gap is the mean of KL(rho_S || rho_S') over pairs of data sets: mean U on the rows a law is of is never above
    that on others, at any beta. A law of another data set, the control, has no gap.
    """
    own, other = [], []
    for beta in np.asarray(betas, dtype=np.float64):
        laws = replace(averages, log_density=-beta * averages.train)
        own.append(laws.covariance())
        other.append(laws.covariance(np.roll(averages.train, 1, axis=0)))
    return _columns(own), _columns(other)


def checks(wells: Averages, betas: ArrayLike, seed: int = 0) -> list[Check]:
    """Return G1: the gap of the Gaussian model by its identity and by test rows, and Boltzmann's inequality.

    `wells`: data sets of a model whose energy has two wells, see diffusion.averages.
    """
    identity, measured = gaussian(50_000, seed).covariance(), measured_gap(1_000_000, seed + 1)
    shifted = measured_gap(1_000_000, seed + 2, shift=SHIFT)
    gap, control = boltzmann(wells, betas)
    worst, most = float(gap.z(0.0).min()), float(np.abs(control.z(0.0)).max())
    return [
        Check("G1: −∫Cov(ρ, U) dθ, Gaussian model", f"{GAP} within {WITHIN:.0%}", _told(identity), _near(identity)),
        Check("G1: test − train loss, Gaussian model", f"{GAP} within {WITHIN:.0%}", _told(measured), _near(measured)),
        Check("control: test rows shifted", f"{GAP} + {SHIFT}²/2 = {GAP + SHIFT**2 / 2:g}, not the identity's",
              _told(shifted), abs(float(shifted.z(GAP + SHIFT**2 / 2))) < 5 and not _near(shifted)),
        Check(f"G1: train ≤ test energy of exp(−βU), {len(gap.value)} β", "at every β, by 3 standard errors",
              f"gap {gap.value.min():.2g} to {gap.value.max():.2g}, by {worst:.1f} or more", worst > 3),
        Check("control: laws of another data set", "no gap, within 5 standard errors", f"{most:.1f} at most", most < 5),
    ]  # fmt: skip


def _near(found: Values) -> bool:
    return bool(abs(found.value / GAP - 1) <= WITHIN)


def _told(found: Values) -> str:
    return f"{found.value:.4f} ± {found.error:.4f}"


def _columns(values: list[Values]) -> Values:
    return Values(np.array([one.value for one in values]), np.array([one.error for one in values]))
