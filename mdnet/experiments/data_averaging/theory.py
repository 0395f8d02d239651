"""The theory of data averaging measured: exact identities, bounds, the diffusion of SGD, and its dissipation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdnet.experiments.data_averaging import bounds, diffusion, dissipation, identities, theory_figures
from mdnet.experiments.data_averaging.bounds import Bounded
from mdnet.experiments.data_averaging.diffusion import Steady
from mdnet.experiments.data_averaging.dissipation import Dissipation
from mdnet.experiments.results import Check, Study
from mdnet.experiments.stages import Stages, Tell

BETAS = np.geomspace(0.01, 1000, 16)
NETWORK_RATES = (0.02, 0.05, 0.2)  # of the network with a hidden layer


@dataclass(frozen=True, eq=False)
class Theory:
    """What was measured of the theory, and which claims hold."""

    bounds: list[Bounded]
    steady: Steady
    softmax: Dissipation
    network: Dissipation
    checks: list[Check]


def evaluate(seed: int = 0, *, tell: Tell = lambda stage, seconds: None) -> Theory:
    """Measure all of it, in about half a minute; `tell` is called with name and seconds of every stage."""
    stages = Stages(tell)
    with stages("identities and bounds"):
        found = bounds.evaluate(seed)
        claims = identities.checks(diffusion.averages(bounds.SETS, bounds.ROWS, seed)[1], BETAS, seed)
        claims += bounds.checks(found)
    with stages("diffusion"):
        steady = diffusion.steady(seed)
    with stages("dissipation"):
        softmax = dissipation.measure(seed=seed)
        network = dissipation.measure(dissipation.perceptron, seed=seed, rates=NETWORK_RATES)
    claims += [*diffusion.checks(steady), *dissipation.checks(softmax), dissipation.of_network(network)]
    return Theory(found, steady, softmax, network, claims)


def checks(seed: int = 0) -> list[Check]:
    """Return the claims G1, G2 and G3, the bounds, and the control of each."""
    return evaluate(seed).checks


def study(seed: int = 0, *, tell: Tell = lambda stage, seconds: None) -> Study:
    """Return the theory as a page tells it: a table of what was foretold and measured, pictures, and the claims."""
    found = evaluate(seed, tell=tell)
    return Study(
        "theory", "Theory of data averaging", ("law", "at", "foretold", "measured"),
        [*_of_bounds(found.bounds), *_of_steady(found.steady), *_of_dissipation("softmax", found.softmax),
         *_of_dissipation("64-16-10", found.network)],
        "T = rate/batch. Gap: test − train loss, ± over data sets; its bound is n^(−1/2) ∫σ_ρ σ_l dθ, from Var U_S = "
        "σ_l²/n. The gap of an effective potential, βU of a Gibbs law and (2/T)v + a of SGD, is the mean divergence of "
        "the laws of two data sets, so it is not negative; that of the loss is, for SGD, an observation. The bounds "
        "are derived here; which of the published (7), (11) and (24) they are is not claimed. Distances are those "
        "of Kolmogorov and Smirnov. Dissipation: 2⟨θ·f⟩ over T⟨Tr D⟩ + rate ⟨|f|²⟩, f = ∇U + αθ, "
        f"α = {dissipation.DECAY:g}, batch {dissipation.BATCH}, ± over {dissipation.SEEDS} starts.",
        checks=found.checks, plots=theory_figures.plots(found.bounds, found.steady, found.softmax, found.network),
        numbers=_numbers(found),
    )  # fmt: skip


def _of_bounds(found: Sequence[Bounded]) -> list[list[str]]:
    return [
        [f"gap, {one.law}", f"T = {one.setting:g}", f"± {one.above:.3f} at most; effective ≥ 0",
         f"{one.gap:.4f} ± {one.error:.4f}; effective {one.potential:.3g}"]
        for one in found
    ]  # fmt: skip


def _of_steady(found: Steady) -> list[list[str]]:
    return [
        ["distance of SGD from its diffusion", f"rate {rate:g}, batch {batch}", "0 at small rates",
         f"{found.distance.value[i]:.4f} ± {found.distance.error[i]:.4f}"]
        for i, (rate, batch) in enumerate(zip(found.rates, found.batches, strict=True))
    ]  # fmt: skip


def _of_dissipation(name: str, found: Dissipation) -> list[list[str]]:
    whole, bare = found.ratio(discrete=True), found.ratio(discrete=False)
    return [
        [f"dissipation, {name}", f"rate {rate:g}", "1",
         f"{whole.value[i]:.3f} ± {whole.error[i]:.3f}; without rate ⟨|f|²⟩ {bare.value[i]:.3f} ± {bare.error[i]:.3f}"]
        for i, rate in enumerate(found.rates)
    ]  # fmt: skip


def _numbers(found: Theory) -> dict[str, object]:
    return {
        "bounds": [one._asdict() for one in found.bounds],
        "rates": list(found.steady.rates),
        "distance": found.steady.distance.value.tolist(),
        "dissipation": {
            name: {"rates": one.rates.tolist(), "ratio": one.ratio(discrete=True).value.tolist()}
            for name, one in (("softmax", found.softmax), ("64-16-10", found.network))
        },
    }
