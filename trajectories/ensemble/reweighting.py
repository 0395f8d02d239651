"""The ensemble at a temperature that was not run, from runs at others: weights by MBAR, and predictions with them."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.ensemble.units import Units

Floats = NDArray[np.float64]
_LEVELS = 200  # more temperatures than this are a schedule, not a ladder
_SOLVED = 10_000  # samples that the free energies are solved from at most
LEAST = 10.0  # effective samples below which a reweighted average says nothing


class Weights:
    """Weights (samples, replicas) of members at another temperature, their sum 1.

    An array for whatever takes ``weights=``. To `assess` and `scored` it gives error bars that hold the error of the
    weights: each ensemble drawn again has free energies of its own.
    """

    def __init__(self, energies: Floats, ladder: Floats, log_states: Floats, wanted: float, units: Units) -> None:
        if not 0 < wanted < np.inf:
            raise ValueError(f"the wanted temperature is {wanted:g}: it must be positive")
        self.temperature, self.shape = wanted, energies.shape
        self.units, self.draws, self.source, self.together = units.units, units.draws, units.source, units.together
        self._again, self._energies, self._ladder, self._log_states = units, energies, ladder, log_states
        self._shift = 0.0
        logs = self._log_weights(slice(None), log_states[:1])[0]
        self._shift = float(logs.max())
        every = np.exp(logs - self._shift)
        self.values: Floats = every / every.sum()
        self.effective = float(1 / np.square(self.values).sum())  # Kish's effective number of samples

    def at(self, wanted: float, *, least: float = LEAST) -> "Weights":
        """Weights of the same samples at yet another temperature; arguments and errors are those of `weights`."""
        return _enough(
            Weights(self._energies, self._ladder, self._log_states, float(wanted), self._again), self._ladder, least
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"Weights(temperature={self.temperature:g}, shape={self.shape}, effective={self.effective:.1f})"

    def __call__(self, rows: slice) -> Floats:
        """Return weights (1 + draws, rows, replicas): of all members, then of each ensemble drawn again."""
        return np.exp(self._log_weights(rows, self._log_states) - self._shift) * self._again(rows)

    def _log_weights(self, rows: slice, log_states: Floats) -> Floats:
        """-E/T - ln sum_k N_k exp(f_k - E/T_k), (sets, rows, replicas), with ln N_k + f_k in log_states (sets, K)."""
        energies = self._energies[rows]
        exponents = log_states[0][:, None] - energies.ravel() / self._ladder[:, None]  # (K, members)
        highest = exponents.max(axis=0)
        ratios = np.exp(log_states - log_states[0])  # (sets, K)
        sums = np.log(ratios @ np.exp(exponents - highest)) + highest
        return np.asarray(-energies.ravel() / self.temperature - sums).reshape(len(log_states), *energies.shape)


def weights(
    energies: ArrayLike,
    temperatures: ArrayLike,
    wanted: float,
    *,
    together: ArrayLike | None = None,
    least: float = LEAST,
) -> Weights:
    """Weights at temperature T of samples drawn at several temperatures T_k, by MBAR:

        w_n ~ exp(-E_n/T) / sum_k N_k exp(f_k - E_n/T_k)

    The free energies f_k are solved for by pymbar from at most 10,000 samples evenly along the run. Error bars come
    from 4 or more independent groups of replicas, else from 16 blocks of time: f_k is solved for without each of
    them, and follows the ensembles drawn again to first order.

    Args:
        energies: E, that which is divided by T in the Boltzmann factor, (samples, replicas).
        temperatures: T_k at which each was drawn, (samples, replicas), or (replicas,) where they never change.
        wanted: T, best between the lowest and the highest T_k.
        together: (replicas,) which independent group each replica belongs to: the number of its ladder, where a
            ladder is one replica at each temperature.
        least: effective samples, (sum w)^2/sum w^2, that must be left.

    Raises:
        ValueError: shapes do not fit, temperatures follow a schedule, or too few effective samples are left.
        TrajectoryError: pymbar is not installed.

    Reference: Shirts, Chodera, J. Chem. Phys. 129, 124105 (2008).
    """
    values = np.asarray(energies, dtype=np.float64)
    drawn = np.asarray(temperatures, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all() or drawn.shape not in (values.shape, values.shape[1:]):
        raise ValueError(
            f"energies {values.shape} and temperatures {drawn.shape} do not fit: give finite energies (samples, "
            "replicas), and temperatures of that shape or (replicas,)"
        )
    ladder, rung = np.unique(np.broadcast_to(drawn, values.shape), return_inverse=True)
    if not ladder[0] > 0 or len(ladder) > _LEVELS:
        raise ValueError(
            f"{len(ladder)} temperatures from {ladder[0]:g} to {ladder[-1]:g}: all must be positive and at most "
            f"{_LEVELS}; of a run with a schedule, take the part at fixed temperatures"
        )
    units = Units(values.shape, together=np.zeros(values.shape[1]) if together is None else together)
    states = _solve(values, ladder, rung.reshape(values.shape), units)
    return _enough(Weights(values, ladder, states, float(wanted), units), ladder, least)


def _enough(found: Weights, ladder: Floats, least: float) -> Weights:
    """The weights, where they leave enough effective samples; ValueError where not."""
    if not found.effective >= least:
        raise ValueError(
            f"at T = {found.temperature:g} {found.values.size} samples at {ladder[0]:g} to {ladder[-1]:g} are worth "
            f"{found.effective:.1f}, fewer than {least:g}: run a rung nearer to it, or longer"
        )
    return found


def _solve(energies: Floats, ladder: Floats, rung: NDArray[np.intp], units: Units) -> Floats:
    """Return ln N_k + f_k by MBAR of all samples, and to first order of those drawn again, (1 + draws, K)."""
    every = slice(None, None, max(1, -(-energies.size // _SOLVED)))
    states = np.empty((1 + units.units, len(ladder)))  # of all samples, then without each unit
    first: Floats | None = None
    for unit in range(-1, units.units):
        kept = units.unit != unit
        picked, level = energies[kept][every], rung[kept][every]
        counts = np.bincount(level, minlength=len(ladder))
        if not counts.all():
            raise ValueError(
                f"all samples at temperature {ladder[int(np.argmin(counts))]:g} lie in one of {units.source}, so that "
                "they have no error bar: make a longer run, or leave that temperature out"
            )
        first = _free_energies(picked / ladder[:, None], counts, level, first)
        states[1 + unit] = first + np.log(counts / counts.sum())
    influence = (units.units - 1) * (states[0] - states[1:]) / units.units  # of each unit, (units, K)
    return np.asarray(states[0] + (units.counts - 1) @ influence)


def _free_energies(reduced: Floats, counts: NDArray[np.intp], level: NDArray[np.intp], first: Floats | None) -> Floats:
    """Free energies f_k (K,) of reduced energies (K, samples)."""
    if len(counts) == 1:
        return np.zeros(1)
    from trajectories.thermodynamics.pymbar_quietly import mbar_class

    order = np.argsort(level, kind="stable")  # pymbar wants the samples state by state
    solver = ({"method": "adaptive", "options": {"min_sc_iter": 0}},)
    start = {"initialize": "BAR"} if first is None else {"initial_f_k": first}
    return np.asarray(mbar_class()(reduced[:, order], counts, solver_protocol=solver, **start).f_k)
