"""What is told of a gas: its table, and a study for each law with pictures, numbers and claims."""

from __future__ import annotations

import numpy as np

from mdnet.experiments.ideal_gas import checks, figures
from mdnet.experiments.ideal_gas.measured import Measured
from mdnet.experiments.ideal_gas.method import PROTOCOLS, Array
from mdnet.experiments.ideal_gas.sweeps import Sweeps
from mdnet.experiments.results import Check, Study, Table
from trajectories import sgd


def table(found: Sweeps) -> Table:
    """Return a line for each protocol: the ranges of its ratios over the states, and how many states drifted."""
    columns = ["protocol", "states × seeds", "p V / (R T)", "r / r ideal", "r / r one step", "Maxwell slope / ideal",
               "states that drifted"]  # fmt: skip
    return Table(columns, [_row(one) for one in found.measured.values()])


def studies(found: Sweeps) -> list[Study]:
    """Return the studies of the protocols that were run."""
    told = [_state(found), _maxwell(found), _gibbs(found)]
    if "elr" in found.measured or "lr" in found.measured:
        told.insert(1, _radius(found))
    if found.gas.noise is not None:
        told.append(_thermal(found))
    elif "lr" in found.measured:
        told.append(_products(found.measured["lr"]))
    return told


def _row(one: Measured) -> list[str]:
    free = one.protocol != "sphere"
    slope = one.maxwell.deviation
    return [
        PROTOCOLS[one.protocol],
        f"{len(one.energy)} × {one.energy.shape[1]}",
        _range(one.state.value),
        _range(one.radius(discrete=False).value) if free else "held",
        _range(one.radius(discrete=True).value) if free else "held",
        f"{1 + slope.value:.3f} ± {slope.error:.3f}",
        f"{int(one.moved.sum())}",
    ]


def _state(found: Sweeps) -> Study:
    """The equation of state by rate: the exact toy must be ideal; a network is as far as its noise outweighs slopes."""
    rows, columns = [], ["effective rate e", *(PROTOCOLS[name] for name in found.measured), "|grad L|² / Tr Σ"]
    ratios = [
        sgd.over_seeds(checks.by_rate(one, one.pressure * one.square / (one.dimension - 1) / one.temperature))
        for one in found.measured.values()
    ]
    first = next(iter(found.measured.values()))
    share = (checks.by_rate(first, first.gradient) / checks.by_rate(first, first.noise)).mean(axis=1)
    for i, rate in enumerate(found.gas.effective):
        told = [f"{ratio.value[i]:.3f} ± {ratio.error[i]:.3f}" for ratio in ratios]
        rows.append([f"{rate:g}", *told, f"{share[i]:.3f}"])
    return Study(
        "state", "Equation of state: p V / (R T)", columns, rows,
        "Means over radii. To first order p V/(R T) = 1 + |grad L|²/Tr Σ, the square root of it at a fixed rate.",
        checks=[checks.state(one) for one in found.measured.values()] if found.gas.noise is not None else (),
        plots=[figures.state(found.measured)],
    )  # fmt: skip


def _radius(found: Sweeps) -> Study:
    """The radius by state, beside those of the ideal gas, of one step, and foretold from the sphere's noise."""
    free = [one for name, one in found.measured.items() if name != "sphere"]
    columns = ["protocol", "rate", "decay", "r", "r / r ideal", "r / r one step", *_if(found, "r / foretold by sphere")]
    rows = []
    for one in free:
        size, ideal, step = sgd.over_seeds(np.sqrt(one.square)), one.radius(discrete=False), one.radius(discrete=True)
        early = _foretold(found, one)
        for i in range(len(one.energy)):
            numbers = [ideal, step, *([] if early is None else [early])]
            told = [f"{x.value[i]:.4f} ± {x.error[i]:.4f}" for x in (size, *numbers)]
            rows.append([PROTOCOLS[one.protocol], f"{one.rate[i, 0]:.4g}", f"{one.decay[i, 0]:.4g}", *told])
    return Study(
        "radius", "Stationary radius", columns, rows,
        "Ideal: r² = T (D − 1)/λ. One step: E|w'|² = |w|² with Tr Σ + |grad L|², as measured in the run itself"
        + (", or, foretold, on the sphere." if found.foretold is not None else "."),
        checks=[*(checks.radius(one) for one in free), *_foretellings(found, free)],
        plots=[figures.radius(found.measured)],
    )  # fmt: skip


def _maxwell(found: Sweeps) -> Study:
    relations = {name: one.maxwell for name, one in found.measured.items()}
    rows = [
        [PROTOCOLS[name], one.name, f"{one.expected:g}", str(one.slope), f"{one.deviation.value:+.2%}"]
        for name, one in relations.items()
    ]
    how = (
        "S is that of directions by nearest neighbours on the sphere, with (D − 1) ⟨ln r⟩."
        if found.gas.noise is not None
        else "At D = 576 no estimate from neighbours comes near the entropy. S is the graph's of all looks, which is "
        "biased for different laws of the direction, but not at one temperature, where the law is the same: there it "
        "shows (D − 1) ln r and whether the directions are the same at all radii, which is what the relation says."
    )
    return Study(
        "maxwell", "Maxwell relations", ["protocol", "slope", "ideal gas", "measured", "deviation"], rows, how,
        checks=[checks.maxwell(one) for one in found.measured.values()], plots=[figures.maxwell(found.measured)],
    )  # fmt: skip


def _gibbs(found: Sweeps) -> Study:
    potentials = {name: checks.gibbs(one) for name, one in found.measured.items()}
    rows = [
        [PROTOCOLS[name], f"{one.at_own} of {len(one.star)}", f"{one.shuffled.mean():.1f}", f"{one.p:.3f}"]
        for name, one in potentials.items()
    ]
    exact = found.gas.noise is not None
    return Study(
        "gibbs", "Gibbs potential G = U − T S + p V", ["protocol", "least at the own state", "entropies permuted", "p"],
        rows, "Of each state's temperature and pressure, over all states."
        + ("" if exact else " S of different temperatures is biased at D = 576: no claim is made of it."),
        checks=[checks.least(one) for one in found.measured.values()] if exact else (),
        plots=[figures.potential(one) for one in found.measured.values()],
    )  # fmt: skip


def _thermal(found: Sweeps) -> Study:
    rows = []
    for name, one in found.measured.items():
        ratio = checks.thermometer(one)
        told = [f"{value:.3f} ± {error:.3f}" for value, error in zip(*ratio, strict=True)]
        rows.append([PROTOCOLS[name], *told])
    return Study(
        "thermal", "Temperature of the energies over that of the noise",
        ["protocol", *(f"e = {rate:g}" for rate in found.gas.effective)], rows,
        "T of the energies is where ⟨L⟩ = 1 + T − coth(1/T); it knows nothing of rate, noise and radius.",
        checks=[checks.thermal(one) for one in found.measured.values()], plots=[figures.energies(found.measured)],
    )  # fmt: skip


def _products(one: Measured) -> Study:
    mean = sgd.over_seeds(one.energy)
    rows = [
        [f"{rate * decay:.3g}", f"{rate:.3g}", f"{decay:.3g}", f"{value:.4f} ± {error:.4f}"]
        for rate, decay, value, error in zip(one.rate[:, 0], one.decay[:, 0], *mean, strict=True)
    ]
    return Study(
        "products", "Energy at a fixed rate", ["η λ", "η", "λ", "U"], rows,
        "Tests are analyses of variance over seeds, of decays at one η λ, and of η λ at one radius.",
        checks=checks.products(one), plots=[figures.products(one)],
    )  # fmt: skip


def _foretold(found: Sweeps, one: Measured) -> sgd.Values | None:
    """R over the radius that the sphere's noise foretells (states,); None where the noise was known."""
    if found.foretold is None:
        return None
    trace: Array = np.repeat(found.foretold, len(found.gas.radii))[:, None]
    expected = sgd.discrete_radius(one.protocol, one.rate, one.decay, trace)
    return sgd.over_seeds(np.sqrt(one.square) / expected)


def _foretellings(found: Sweeps, free: list[Measured]) -> list[Check]:
    told = []
    for one in free:
        if (ratio := _foretold(found, one)) is not None:
            told.append(
                Check(
                    f"{PROTOCOLS[one.protocol]}: r / r foretold by the noise on the sphere",
                    f"1 within {checks.STATE:.0%}",
                    f"{_range(ratio.value)} (± {ratio.error.max():.3f})",
                    bool(np.abs(ratio.value - 1).max() <= checks.STATE),
                )
            )
    return told


def _if(found: Sweeps, column: str) -> list[str]:
    return [] if found.foretold is None else [column]


def _range(values: Array) -> str:
    return f"{values.min():.3f} to {values.max():.3f}"
