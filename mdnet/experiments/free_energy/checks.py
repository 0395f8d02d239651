"""The laws F1 to F4 of stationary SGD: each a function that returns its checks, with the control beside the claim."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr
from scipy.stats import spearmanr

from mdnet.experiments.free_energy import toy
from mdnet.experiments.free_energy.analysis import Found
from mdnet.experiments.results import Check
from trajectories.entropy import knn_graph
from trajectories.sgd import HeldOut, Potentials, Values, over_seeds, power_law
from trajectories.statistics import Estimate

Floats = NDArray[np.float64]

SPHERE = (24_408, 1000, 50, 103_784.7)  # dimension, samples, neighbours and published S of the uniform sphere
JUMP = (0.01, 0.03)  # rates between which the loss of OP jumps
_RISE = 10.0  # by how much at least
_OWN = 0.8  # share of the states whose F is to be least at their own rate
_RARE = 0.05
_LEVEL = 0.001  # of the several tests of a check together
_RANK = 0.95  # of SNR and rate: it levels off where the rate is large
_SMALL = 0.0101  # a rate at which SNR is close to its limit
_BOTTOM = 1e-16
_FLOW = 1e-200  # below, squares of the gradient have no digits left


def f1() -> list[Check]:
    """Return the checks of the entropy's estimator: exact scaling, and the published value of the uniform sphere."""
    d, n, k, published = SPHERE
    points = np.random.default_rng(0).normal(size=(n, d))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = knn_graph(points, k, d - 1)
    scaled = knn_graph(3 * points, k, d - 1).value - found.value
    off = abs(scaled / ((d - 1) * math.log(3)) - 1)
    return [
        Check("F1: S(3 X) − S(X)", "(D − 1) ln 3 to 1e-9", f"off by {off:.1e} of it", off < 1e-9),
        Check(f"F1: S of the uniform sphere, D = {d}", f"{published} ± 3", f"{found.value:.1f}",
              abs(found.value - published) <= 3),
    ]  # fmt: skip


def f2(up: Found, op: Found, random: Found) -> list[Check]:
    """Return the laws of the toy: UP stationary with U − U_min ~ eta and SNR ~ eta^1/2, OP at zero loss.

    `random`: UP from random starts.
    """
    return [*toy_up(up, random), *toy_op(op)]


def toy_up(up: Found, random: Found) -> list[Check]:
    """Return the laws of UP, `random` being the same from random starts."""
    above, error = up.U.value - toy.LEAST, up.U.error
    law = power_law(up.rates, above, error, ends=True)
    least = float(up.energy.min())
    return [
        *_above(up.rates, above, error),
        _near("F2, UP: the exponent of U − U_min", law.b, 1.0, 0.08),
        _near("F2, UP: the exponent of the signal-to-noise ratio", up.snr_law.b, 0.5, 0.05),
        Check("F2, UP: U at all looks", f"never below {toy.LEAST:.5f}", f"least {least:.7f}", least >= toy.LEAST),
        same("F2, UP: U from random starts", up, random),
    ]  # fmt: skip


def _above(rates: Floats, above: Floats, error: Floats) -> list[Check]:
    """How far U lies above its minimum by rate; nothing where no rate is in the range."""
    inside = (rates >= 0.0099) & (rates <= 0.1101)
    if not inside.any():
        return []
    ratio = (above / rates)[inside]
    return [
        Check("F2, UP: (U − U_min)/η, η from .01 to .11", ".034 to .045",
              f"{ratio.min():.4f} to {ratio.max():.4f}, ± {(error / rates)[inside].max():.4f} at most",
              bool(ratio.min() >= 0.034 and ratio.max() <= 0.045)),
    ]  # fmt: skip


def toy_op(op: Found) -> list[Check]:
    """Return the laws of OP: the bottom of its loss, and the signal-to-noise ratio on the way there at a small rate."""
    claimed = op.rates <= toy.STABLE * (1 + 1e-9)
    found = []
    if claimed.any():
        worst = float(op.energy[-1][claimed].max())
        found.append(
            Check(f"F2, OP: U at the end, η ≤ {toy.STABLE:g}, all seeds", f"below {_BOTTOM:g}; UP stays above "
                  f"{toy.LEAST:.4f}", f"{worst:.1e} at most", worst < _BOTTOM),
        )  # fmt: skip
    if op.rates[0] <= _SMALL:
        ratio = falling_snr(op)
        limit = math.sqrt(np.polynomial.polynomial.polyfit(op.rates[:3], ratio.value[:3] ** 2, 1)[0])
        first = Estimate(float(ratio.value[0]), float(ratio.error[0]))
        found.append(
            Check(f"F2, OP: SNR/tan 30° at η = {op.rates[0]:g}", "1 within 2 %",
                  f"{first}; {limit:.4f} in the limit of small η", abs(first.value - 1) < 0.02),
        )  # fmt: skip
    return found


def falling_snr(op: Found) -> Values:
    """Return SNR/tan 30° of each rate (rates,) of the toy's OP while its loss is below 1e-16 and has digits left."""
    falls = (op.energy < _BOTTOM) & (op.energy > _FLOW)
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = np.where(falls, op.gradient / op.noise, 0.0).sum(axis=0) / falls.sum(axis=0)
    return over_seeds(np.sqrt(squares) / toy.SNR_LIMIT)


def f3(up: Found) -> list[Check]:
    """Return the laws of the toy's temperature, for a sweep with many independent iterates; S permuted as control."""
    found, law = up.thermodynamics, up.thermodynamics.power_law
    known = found.temperature.value / (toy.NOISE / 2 * up.rates)
    errors = found.temperature.error / (toy.NOISE / 2 * up.rates)
    inside = (up.rates <= 0.1) & (np.arange(len(known)) > 0)
    ratio = known[inside]
    return [
        Check("F3: the exponent of T(η)", "1.0 to 1.15", f"{law.b}", 1.0 <= law.b.value <= 1.15),
        Check("F3: T/(.037 η), η ≤ .1", "1.0 to 1.3",
              f"{ratio.min():.3f} to {ratio.max():.3f}, ± {np.max(errors[inside]):.3f} at most",
              bool(ratio.min() >= 1.0 and ratio.max() <= 1.3)),
        *thermal("F3", up),
    ]  # fmt: skip


def f4(up: Found, op: Found, random: Found) -> list[Check]:
    """Return the laws of the digits: UP a thermodynamic system at every rate, OP only above a threshold.

    `random`: UP from other starts.
    """
    return [*thermal("F4", up), *stationary("F4", up), same("F4: U from other starts", up, random), *jump(op, up)]


def thermal(law: str, found: Found) -> list[Check]:
    """Return what a sweep of stationary states must show: T rises, U(S) is convex, F is least at a state's own rate.

    The last with T of half of the seeds and F of the others; also for all seeds, where T is of smoothed states and F of
    the measured ones, so that it is not so by construction.
    """
    told = found.thermodynamics
    heat, free, bent = told.temperature, told.free_energy, told.convexity
    inner = len(found.rates) - 2
    return [
        Check(f"{law}: T rises with the rate", f"monotone, at all {inner} inner rates",
              f"{'monotone' if heat.monotone else 'not monotone'} at {free.told} of {inner}, and in "
              f"{heat.monotone_share:.0%} of resampled sweeps", heat.monotone and free.told == inner),
        Check(f"{law}: U(S) is convex", "no state above its neighbours' chord (level .01)",
              f"{bent.clear} of {inner} below it by two standard errors; smallest p {bent.p.min():.2g}",
              bent.convex is True),
        *([] if told.by_construction else [_own(law, free, inner)]),
        _held_out(law, told.held_out),
    ]  # fmt: skip


def _own(law: str, free: Potentials, inner: int) -> Check:
    share = free.told and free.at_own / free.told
    return Check(
        f"{law}: F is least at its own rate", f"at {_OWN:.0%} or more of {inner}; by chance where S is permuted",
        f"{free.at_own} of {free.told}; S permuted {free.shuffled.mean():.1f}, p = {free.p:.2g}",
        free.told == inner and share >= _OWN and free.p < _RARE,
    )  # fmt: skip


def _held_out(law: str, found: HeldOut) -> Check:
    return Check(
        f"{law}: F of half of the seeds is least at the rate whose T the others have", "more often than with S "
        f"permuted, p < {_RARE}",
        f"{found.at_own} of {found.told}; S permuted {found.shuffled.mean():.1f}, p = {found.p:.2g}", found.p < _RARE,
    )  # fmt: skip


def stationary(law: str, found: Found) -> list[Check]:
    """Return what a stationary sweep of a network must show: no drift, and a signal that grows with the rate."""
    moved, snr = found.stationary.drift.moved, found.snr
    p = _student(np.diff(snr.value), np.hypot(snr.error[1:], snr.error[:-1]), 2 * found.model.seeds - 2)
    rank = float(spearmanr(found.rates, snr.value).statistic)
    rates = ", ".join(f"{rate:.3g}" for rate in found.rates[moved])
    return [
        Check(f"{law}: U does not drift", "at any rate (level .01 for all)", f"drifts at {rates or 'none'}",
              not moved.any()),
        Check(f"{law}: SNR rises with the rate", f"rank correlation {_RANK} or more, no step down (level {_LEVEL})",
              f"{snr.value[0]:.3f} to {snr.value[-1]:.3f}, rank correlation {rank:.3f}; least p of {len(p)} steps "
              f"{p.min():.2g}, exponent {found.snr_law.b}", rank >= _RANK and bool(p.min() >= _LEVEL / len(p))),
    ]  # fmt: skip


def jump(op: Found, up: Found) -> list[Check]:
    """Return whether U of OP jumps between two rates that the sweep reaches, in every seed, and what UP does there."""
    if op.rates[0] > 1.05 * JUMP[0] or op.rates[-1] < JUMP[1] / 1.05:
        return []
    below, above = (int(np.abs(np.log(op.rates / rate)).argmin()) for rate in JUMP)
    rise = op.stationary["potential_energy"][above] / op.stationary["potential_energy"][below]
    near = [float(np.interp(np.log(rate), np.log(up.rates), up.U.value)) for rate in JUMP]
    return [
        Check(f"F4, OP: U at η = {op.rates[above]:.3g} over U at {op.rates[below]:.3g}", f"above {_RISE:g}; UP about 1",
              f"{rise.min():.3g} or more in each of {len(rise)} seeds; UP {near[1] / near[0]:.2f}",
              bool(rise.min() > _RISE)),
    ]  # fmt: skip


def _near(name: str, found: Estimate, wanted: float, within: float) -> Check:
    return Check(name, f"{wanted:g} ± {within:g}", f"{found}", abs(found.value - wanted) <= within)


def same(name: str, found: Found, random: Found) -> Check:
    """Whether the energies of a sweep are those of another, where it has the same rates."""
    at = [int(np.abs(found.rates - rate).argmin()) for rate in random.rates]
    apart, error = found.U.value[at] - random.U.value, np.hypot(found.U.error[at], random.U.error)
    p = 2 * _student(-np.abs(apart), error, found.model.seeds + random.model.seeds - 2)
    rates = ", ".join(f"{rate:.3g}" for rate in random.rates)
    return Check(name, f"the same (level {_LEVEL} for all)", f"least p {p.min():.2g}, η = {rates}",
                 bool(p.min() >= _LEVEL / len(p)))  # fmt: skip


def _student(apart: Floats, error: Floats, freedom: int) -> Floats:
    """The chance (n,) of differences so low or lower where there is none, by Student's t."""
    return np.asarray(stdtr(freedom, apart / error))
