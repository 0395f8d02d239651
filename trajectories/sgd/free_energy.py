"""The free energy of every state at every temperature, and whether each state has the least at its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.sgd.table import Floats, States, Values, over_seeds
from trajectories.sgd.temperature import Temperatures, temperature

_PERMUTATIONS = 200


@dataclass(frozen=True, eq=False)
class Potentials:
    """Row i: the potential of all states j at the temperature of state i; rows of states that have none are nan.

    `value` (n, n); `error` (n, n) over seeds; `excess`: above the state's own, X_i(j) - X_i(i), with its own error, in
    which what seeds have in common cancels; `star` (n,): the state of the least in each row, -1 where there is none;
    `shuffled` (permutations,): how many rows have their least at their own state when S is permuted over the states.
    """

    value: Floats
    error: Floats
    excess: Values
    star: NDArray[np.intp]
    shuffled: NDArray[np.intp]

    @property
    def told(self) -> int:
        """How many states have a temperature, and so a row."""
        return int((self.star >= 0).sum())

    @property
    def at_own(self) -> int:
        """How many of the rows have their least at their own state."""
        return int((self.star == np.arange(len(self.star))).sum())

    @property
    def p(self) -> float:
        """The chance of at least so many under permuted entropies, (1 + those that reach it)/(1 + permutations)."""
        return _chance(self.at_own, self.shuffled)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Rows of F with T from half of the seeds and U and S from the others, both halves in turn.

    `told`: rows whose state has a temperature; `at_own`: those whose least is at their own state; `shuffled`
    (permutations,): how many are when S is permuted over the states, alike in both halves. All zero of one seed.
    """

    told: int
    at_own: int
    shuffled: NDArray[np.intp]

    @property
    def p(self) -> float:
        """The chance of at least so many under permuted entropies, (1 + those that reach it)/(1 + permutations)."""
        return _chance(self.at_own, self.shuffled)


def free_energy(states: States, temperatures: Temperatures, *, permutations: int = _PERMUTATIONS) -> Potentials:
    """Return F_i(eta_j) = U_j - T_i S_j (n, n), where it is least, and a control in which S is permuted over rates.

    Where T was taken from these very tables (`smooth(states)`, or rates that the kernel does not join), that the least
    is at its own rate is automatic for T_min <= T_max and eps = 0; `held_out` has no such bias.

    Raises ValueError where the temperatures are not those of these rates.
    """
    if not np.array_equal(states.rates, temperatures.rates):
        raise ValueError(
            f"temperatures of rates {temperatures.rates.tolist()} do not go with states of {states.rates.tolist()}"
        )
    return _potentials(states.energy, states.entropy, temperatures.value, None, permutations)


def held_out(states: States, *, eps: float = 0.0, width: float = 0.3, permutations: int = _PERMUTATIONS) -> HeldOut:
    """Return how often F of half of the seeds is least at the state whose T, from the other half, it is taken at.

    `eps`, `width`: as in `temperature`. Even and odd seeds are the halves. What is counted can fail for each row.
    """
    if states.seeds < 2:
        return HeldOut(0, 0, np.zeros(permutations, dtype=np.intp))
    halves = [States(states.rates, states.energy[:, k::2], states.entropy[:, k::2], states.dimension) for k in range(2)]
    found = [
        free_energy(one, temperature(other, eps=eps, width=width, resamples=1), permutations=permutations)
        for one, other in (halves, halves[::-1])
    ]
    told, at_own = sum(each.told for each in found), sum(each.at_own for each in found)
    return HeldOut(told, at_own, np.sum([each.shuffled for each in found], axis=0))


def gibbs(
    energy: ArrayLike,
    entropy: ArrayLike,
    volume: ArrayLike,
    temperature: ArrayLike,
    pressure: ArrayLike,
    *,
    permutations: int = _PERMUTATIONS,
) -> Potentials:
    """Return G_i(j) = U_j - T_i S_j + p_i V_j (n, n) of n states on a grid of rate and decay, with the same control.

    `energy`, `entropy`, `volume` (n, seeds), the volume r^2/2 and the entropy that of the whole state, (D - 1) ln r
    included; `temperature`, `pressure` (n,): those of each state.

    Raises ValueError for shapes that do not fit.
    """
    tables = [np.asarray(table, dtype=np.float64) for table in (energy, entropy, volume)]
    levels = [np.asarray(level, dtype=np.float64) for level in (temperature, pressure)]
    shapes = [table.shape for table in tables]
    if tables[0].ndim != 2 or len(set(shapes)) > 1 or any(level.shape != shapes[0][:1] for level in levels):
        raise ValueError(
            f"energy, entropy and volume {shapes} must all be (n, seeds), temperature and pressure "
            f"{[level.shape for level in levels]} (n,)"
        )
    work = levels[1][:, None, None] * tables[2]
    return _potentials(tables[0], tables[1], levels[0], work, permutations)


def _potentials(
    energy: Floats, entropy: Floats, temperature: Floats, work: Floats | None, permutations: int
) -> Potentials:
    """U_j - T_i S_j + work_ij of tables (n, seeds), work (n, n, seeds)."""
    fixed = np.broadcast_to(energy, (len(energy), *energy.shape)) + (0.0 if work is None else work)
    each = fixed - temperature[:, None, None] * entropy
    whole, own = over_seeds(each), np.arange(len(energy))
    with np.errstate(invalid="ignore"):
        excess = over_seeds(each - each[own, own][:, None, :])
    rng, mean, s = np.random.default_rng(0), fixed.mean(axis=-1), entropy.mean(axis=-1)
    shuffled = [
        int((_stars(mean - temperature[:, None] * s[rng.permutation(len(s))]) == own).sum())
        for _ in range(permutations)
    ]
    return Potentials(whole.value, whole.error, excess, _stars(whole.value), np.array(shuffled, dtype=np.intp))


def _chance(reached: int, shuffled: NDArray[np.intp]) -> float:
    return float((1 + np.sum(shuffled >= reached)) / (1 + len(shuffled)))


def _stars(values: Floats) -> NDArray[np.intp]:
    """The column of the least finite value in each row, -1 where there is none."""
    finite = np.isfinite(values)
    return np.where(finite.any(axis=-1), np.where(finite, values, np.inf).argmin(axis=-1), -1)
