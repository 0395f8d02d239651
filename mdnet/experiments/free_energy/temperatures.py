"""The temperature of SGD by several routes, beside true Langevin dynamics at each: do they sample the same law?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdnet.experiments.free_energy import temperature_figures as figures
from mdnet.experiments.free_energy.temperature_checks import PARTING, controls
from mdnet.experiments.free_energy.temperature_comparison import (
    CONFIGURATION,
    DISSIPATION,
    ENTROPY,
    MATCHING,
    SAME,
    WEIGHTED,
    Comparison,
    compare,
)
from mdnet.experiments.free_energy.temperature_measures import distance
from mdnet.experiments.free_energy.temperature_problems import PROBLEMS, Floats
from mdnet.experiments.free_energy.temperature_runs import Where
from mdnet.experiments.results import Study
from mdnet.recording import refuse_existing
from mdnet.spelling import unknown
from trajectories.sgd import Values
from trajectories.statistics import Estimate

RUNS = "temperatures"  # the folder of the runs, in that of the page
_ROUTES = (ENTROPY, DISSIPATION, CONFIGURATION, WEIGHTED, MATCHING, SAME)
_FEWEST = 4  # seeds


def study(
    kind: str, *, folder: Path, seeds: int | None = None, seed: int = 0, overwrite: bool = False, progress: bool = True
) -> Study:
    """Measure the temperature of SGD on the sphere by every route, run Langevin dynamics at each, and compare U.

    `kind`: "toy" or "mlp". The runs are written below `folder`/temperatures. `seeds` of each rate, four or more.
    Raises ValueError for another kind and too few seeds, OutputExistsError where runs are there and may not be
    replaced, KeyboardInterrupt where a signal has stopped one.
    """
    if kind not in PROBLEMS:
        raise ValueError(unknown("kind", kind, PROBLEMS))
    problem = PROBLEMS[kind]
    seeds = problem.model.seeds if seeds is None else seeds
    if seeds < _FEWEST:
        raise ValueError(f"seeds = {seeds}: errors over seeds need {_FEWEST} or more")
    place = folder / RUNS / kind
    if not overwrite:
        refuse_existing(place / "sgd")
    found = compare(problem, seeds, Where(place, seed, overwrite, progress))
    plots = [figures.temperatures(found), figures.energies(found)]
    if len(problem.ranks) > 2:
        plots.append(figures.equipartition(found))
    return Study(
        "temperatures", "The temperature of SGD, beside Langevin dynamics", _COLUMNS, rows(found), _CAPTION,
        [*controls(found), *PARTING[kind](found)], plots, _numbers(found),
    )  # fmt: skip


_COLUMNS = (
    "rate η",
    "⟨U⟩",
    f"T/η by {MATCHING}",
    *(f"{name}, over that" for name in _ROUTES if name != MATCHING),
    "KS of U to Langevin at T by matching (p)",
    "at T of the same mean (p)",
    "isotropic noise to Langevin (p)",
)
_CAPTION = (
    f"Five routes to T, those after the first over T = η Tr Σ/2(D − 1) of {MATCHING}: {ENTROPY} over rates; "
    f"{DISSIPATION}, (η/2)⟨g_B·H g_B⟩/⟨ΔU⟩; {CONFIGURATION}, ⟨|∇U|²⟩/⟨ΔU⟩; {WEIGHTED}, (η/2) Tr ΣH/⟨ΔU⟩; and the T at "
    "which Langevin dynamics on all data has SGD's mean energy. On the sphere w·∇U = 0, so stationarity says nothing "
    "by ⟨w·g⟩; of the energy it says η⟨∇U·g_B⟩ = (η²/2)⟨g_B·H g_B⟩ to second order, and the canonical state has "
    "⟨|∇U|²⟩ = T⟨ΔU⟩, the Laplacian on the sphere being the flat one for a U that does not change along w. Were SGD "
    "canonical, all would be one number. KS: the largest distance of distribution functions, p on decorrelated ones. "
    "± over seeds; a dash where a route tells nothing, as dU/dS at the first and last rate."
)


def rows(found: Comparison) -> list[list[str]]:
    """Return the table, a row for each rate."""
    base = found.routes[MATCHING]
    table = []
    for k, rate in enumerate(found.rates):
        row = [f"{rate:g}", f"{found.states.U.value[k]:.4g}", _told(base.value[k] / rate, base.error[k] / rate)]
        for name in _ROUTES:
            if name != MATCHING:
                route = found.routes[name]
                row.append(_told(route.value[k] / base.value[k], route.error[k] / base.value[k]))
        for one, other in ((found.energy, MATCHING), (found.energy, SAME), (found.isotropic, MATCHING)):
            apart, p = distance(one[:, k], found.canonical[other][:, k])
            row.append(f"{apart:.3f} ({p:.2g})")
        table.append(row)
    return table


def _told(value: float, error: float) -> str:
    return str(Estimate(float(value), float(error))) if np.isfinite(value) else "–"


def _numbers(found: Comparison) -> dict[str, Any]:
    """What results.json keeps."""
    modes = found.modes
    return {
        "rates": found.rates.tolist(),
        "temperatures": {name: _pair(route) for name, route in found.routes.items()},
        "order": _pair(found.order),
        "thermometer": _pair(found.thermometer),
        "isotropic_temperature": _pair(found.isotropic_temperature),
        "share": {name: _pair(share) for name, share in found.shares.items()},
        "modes": {
            "rate": modes.rate,
            "T": modes.set,
            "ranks": list(modes.ranks),
            **{name: _pair(getattr(modes, name)) for name in ("curvature", "descent", "noise", "langevin")},
        },
    }


def _pair(values: Values) -> dict[str, Sequence[float | None]]:
    return {"value": _plain(values.value), "error": _plain(values.error)}


def _plain(values: Floats) -> list[float | None]:
    """Numbers as JSON holds them: none where there is none."""
    return [float(x) if np.isfinite(x) else None for x in values]
