"""The claims of the ideal gas, each with its control beside it: the equation of state, radii, entropy, energy."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from scipy.special import stdtr
from scipy.stats import f_oneway

from mdnet.experiments.ideal_gas import toy
from mdnet.experiments.ideal_gas.measured import Measured
from mdnet.experiments.ideal_gas.method import PROTOCOLS, Array, Gas
from mdnet.experiments.results import Check
from mdnet.experiments.stages import Stages
from trajectories import sgd

STATE, MAXWELL, RADIUS = 0.06, 0.05, 0.03  # what F5 allows
LEVEL = 0.01  # of a test over all states together


def state(found: Measured) -> Check:
    """Return whether p V = R T in every state."""
    ratio = found.state
    worst = int(np.argmax(np.abs(ratio.value - 1)))
    return Check(
        f"{PROTOCOLS[found.protocol]}: p V / (R T)", f"1 within {STATE:.0%} in all {len(ratio.value)} states",
        f"{ratio.value.min():.3f} to {ratio.value.max():.3f}, the farthest ± {ratio.error[worst]:.3f}",
        bool(np.abs(ratio.value - 1).max() <= STATE),
    )  # fmt: skip


def radius(found: Measured) -> Check:
    """Return whether r is that at which one step keeps |w|^2, beside that of p V = R T."""
    ratio, ideal = found.radius(discrete=True), found.radius(discrete=False)
    return Check(
        f"{PROTOCOLS[found.protocol]}: r / r at which a step keeps |w|²", f"1 within {RADIUS:.0%}",
        f"{ratio.value.min():.3f} to {ratio.value.max():.3f} (± {ratio.error.max():.3f}); "
        f"over that of the ideal gas {ideal.value.min():.3f} to {ideal.value.max():.3f}",
        bool(np.abs(ratio.value - 1).max() <= RADIUS),
    )  # fmt: skip


def maxwell(found: Measured) -> Check:
    """Return whether the entropy's slope at one temperature is that of an ideal gas."""
    relation = found.maxwell
    return Check(
        f"{PROTOCOLS[found.protocol]}: {relation.name}", f"{relation.expected:g} within {MAXWELL:.0%}",
        f"{relation.slope}, off by {relation.deviation.value:+.1%}", abs(relation.deviation.value) <= MAXWELL,
    )  # fmt: skip


def thermal(found: Measured) -> Check:
    """Return whether the mean energy of the toy is the canonical one at the temperature of the noise."""
    ratio = thermometer(found)
    return Check(
        f"{PROTOCOLS[found.protocol]}: T of exp(−L/T) from ⟨L⟩ / T of the noise", f"1 within {STATE:.0%} at every rate",
        ", ".join(f"{value:.3f} ± {error:.3f}" for value, error in zip(*ratio, strict=True)),
        bool(np.abs(ratio.value - 1).max() <= STATE),
    )  # fmt: skip


def thermometer(found: Measured) -> sgd.Values:
    """Return the temperature of the toy's mean energy over that of its noise, by rate (rates,)."""
    by_seed = by_rate(found, found.energy)
    expected = by_rate(found, found.temperature).mean(axis=1)
    value = toy.thermometer(by_seed.mean(axis=1))
    slope = (toy.energy(expected * 1.01) - toy.energy(expected * 0.99)) / (0.02 * expected)
    return sgd.Values(value / expected, sgd.over_seeds(by_seed).error / slope / expected)


def by_rate(found: Measured, values: Array) -> Array:
    """Return means over radii: (states, seeds) -> (rates, seeds)."""
    rates = len(np.unique(found.grid.effective))
    mean: Array = values.reshape(rates, -1, values.shape[1]).mean(axis=1)
    return mean


def products(found: Measured) -> list[Check]:
    """Return whether U at a fixed rate knows eta lambda only: analysis of variance over seeds, with its control."""
    rates = len(np.unique(found.grid.effective))
    table = found.energy.reshape(rates, -1, found.energy.shape[1])  # (products, decays, seeds)
    same = np.array([f_oneway(*row).pvalue for row in table])
    other = np.array([f_oneway(*column).pvalue for column in table.swapaxes(0, 1)])
    mean = table.mean(axis=2)
    within = float((np.ptp(mean, axis=1) / mean.mean(axis=1)).max())
    beyond = float((np.abs(np.diff(mean, axis=0)) / mean[1:]).min())
    spread = found.grid.decay.reshape(rates, -1)
    factor = float((spread.max(axis=1) / spread.min(axis=1)).max())
    return [
        Check(
            "fixed rate: U at equal ηλ, λ apart by a factor", f"the same: least p ≥ {LEVEL:g}/{rates} of {rates} tests",
            f"factor {factor:.0f}: p ≥ {same.min():.3f}; U differs by {within:.1%} at most",
            bool(same.min() >= LEVEL / rates),
        ),
        Check(
            "control: U at other ηλ", f"differs: p < {LEVEL:g}/{len(other)} in each test",
            f"p ≤ {other.max():.1e}; U differs by {beyond:.1%} at least from one product to the next",
            bool(other.max() < LEVEL / len(other)),
        ),
    ]  # fmt: skip


def gibbs(found: Measured) -> sgd.Potentials:
    """Return G_i(j) = U_j - T_i S_j + p_i V_j of all states at the temperature and pressure of each."""
    pressure = np.broadcast_to(found.pressure, found.energy.shape).mean(axis=1)
    return sgd.gibbs(found.energy, found.entropy, found.square / 2, found.temperature.mean(axis=1), pressure)


def least(found: Measured) -> Check:
    """Return whether no state has less G than a state of its own, at its own temperature and pressure."""
    potentials, n = gibbs(found), len(found.energy)
    pairs = n * (n - 1)
    z = potentials.excess.value / np.where(potentials.excess.error > 0, potentials.excess.error, np.inf)
    p = float(stdtr(found.energy.shape[1] - 1, z).min())
    return Check(
        f"{PROTOCOLS[found.protocol]}: G of another state below the own",
        f"none of {pairs} pairs (level {LEVEL:g} for all)",
        f"least p {p:.2g}; least at the own state in {potentials.at_own} of {n}, with "
        f"entropies permuted in {potentials.shuffled.mean():.1f} (p = {potentials.p:.3f})",
        bool(p >= LEVEL / pairs and potentials.p <= LEVEL),
    )  # fmt: skip


def f5(seed: int = 0, *, progress: bool = True) -> list[Check]:
    """Return all claims on the toy and on digits, from runs in a folder that is removed."""
    from mdnet.experiments.ideal_gas.reproduction import GASES
    from mdnet.experiments.ideal_gas.sweeps import sweeps
    from mdnet.experiments.ideal_gas.telling import studies

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the systems are small
    try:
        with tempfile.TemporaryDirectory() as folder:
            stages = Stages(lambda stage, seconds: None)
            told = [
                (gas, studies(sweeps(gas, Path(folder) / name, stages=stages, seed=seed, progress=progress)))
                for name, gas in GASES.items()
            ]
    finally:
        torch.set_num_threads(threads)
    return [_named(gas, check) for gas, found in told for study in found for check in study.checks]


def _named(gas: Gas, check: Check) -> Check:
    return Check(f"{gas.name}, {check.name}", check.expectation, check.measured, check.holds)
