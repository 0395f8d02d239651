"""What a comparison leaves: a table on the screen, JSON with every number, pictures, and one HTML page."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import trajectories
from mdnet.comparison import figures
from mdnet.comparison.compare import Comparison, Step
from mdnet.comparison.measures import Row
from mdnet.figures import save
from trajectories.statistics import Estimate

COLUMNS = (
    "method", "canonical", "T kinetic", "sd(K)", "worst layer", "T config.", "p(U)", "bias <U>", "drift",
    "tau", "ESS/1000", "ESS/s", "R-hat", "cost",
)  # fmt: skip
STEP_COLUMNS = ("scheme", "forces a step", "largest stable dt a force", "bias <U> at dt")
_MEANING = (
    "Temperatures are over the set one, sd(K) over its canonical value T sqrt(N_f/2): all exactly 1. T kinetic and "
    "sd(K) are of the momenta as the bath left them; worst layer is the parameter tensor whose temperature is off by "
    "most standard errors; T config. is <|grad U|^2>/<laplacian U>. ± is one standard error from replicas.",
    "p(U): Kolmogorov-Smirnov test of decorrelated U against its law. bias: (<U> - reference)/(N_f T/2). drift: of "
    "U + K - heat over N_f T per unit time. tau: integrated autocorrelation time of U in force evaluations. ESS: "
    "effective samples of U (arviz-stats), for 1000 force evaluations of a replica, and a second for all replicas. "
    "cost: time of a force evaluation with all that a step does around it, over the bare force.",
)


def write(result: Comparison, folder: Path) -> Path:
    """Write comparison.json, results.json, the pictures and report.html into a folder; return the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comparison.json").write_text(json.dumps(document(result), indent=2, allow_nan=False) + "\n")
    pictures = []
    for name, title, draw in (
        ("overview", "Right, and how fast", figures.overview),
        ("bias", "Bias of <U> against the step", figures.bias),
    ):
        figure = draw(result)
        save(figure, folder / f"{name}.png")
        save(figure, folder / f"{name}.svg")
        pictures.append({"title": title, "file": f"{name}.svg", "caption": _CAPTIONS[name]})
    steps = [", ".join(row) for row in step_rows(result)]
    shown = {
        "title": title_of(result), "columns": list(COLUMNS), "rows": rows(result), "figures": pictures,
        "notes": [*_MEANING, f"U is compared with: {result.reference}.",
                  f"Steps ({', '.join(STEP_COLUMNS)}): {'; '.join(steps)}."],
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(shown, indent=2) + "\n")
    return trajectories.report.write([folder], folder)


_CAPTIONS = {
    "overview": "One line a method. Filled circles call themselves canonical, open squares do not. Bars are one "
    "standard error; the grey line is the exact value.",
    "bias": "Absolute bias with one standard error; points at the height of their bar are zero within it. A scheme "
    "with n forces a step takes steps n times as long.",
}


def document(result: Comparison) -> dict[str, Any]:
    """Return everything as JSON holds it, an Estimate as [value, error]."""
    return {
        "mdnet": version("mdnet"), "system": result.subject, "dof": result.dof, "setting": asdict(result.setting),
        "reference": result.reference, "seconds_of_the_bare_force": result.bare,
        "rows": [row.entry() for row in result.rows],
        "steps": [
            {"scheme": s.scheme, "forces": s.forces, "largest_dt": s.largest if isfinite(s.largest) else None,
             "dt": s.dt, "bias": [[b.value, b.error] if isfinite(b.value) else None for b in s.bias]}
            for s in result.steps
        ],
    }  # fmt: skip


def title_of(result: Comparison) -> str:
    """Return one line that says what was compared."""
    s = result.setting
    return (
        f"{result.subject}: {result.dof} parameters, T = {s.temperature:g}, dt = {s.dt:.3g} a force, "
        f"{s.replicas} replicas, {s.forces} force evaluations each, seed {s.seed}"
    )


def rows(result: Comparison) -> list[list[str]]:
    """Return the table's rows as text."""
    return [_row(row) for row in result.rows]


def step_rows(result: Comparison) -> list[list[str]]:
    """Return how long the steps of each scheme may be, as text."""
    return [_step_row(step) for step in result.steps]


def _row(row: Row) -> list[str]:
    name = [f"{row.scheme} + {row.bath}", "yes" if row.canonical else "no"]
    if not row.finite:
        return [*name, "diverged", *[""] * (len(COLUMNS) - 3)]
    estimates = (row.kinetic_temperature, row.kinetic_width, row.worst_layer, row.configurational_temperature)
    return [
        *name, *map(_estimate, estimates), _number(row.energy_p, "{:.2g}"), _estimate(row.bias), _estimate(row.drift),
        _number(row.autocorrelation, "{:.0f}"), _number(row.effective, "{:.2f}"), _number(row.per_second, "{:.0f}"),
        _number(row.r_hat, "{:.3f}"), _number(row.cost, "{:.2f}"),
    ]  # fmt: skip


def _step_row(step: Step) -> list[str]:
    bias = ", ".join(f"{dt:.3g}: {_estimate(b)}" for dt, b in zip(step.dt, step.bias, strict=True))
    largest = f"{step.largest:.3g}" if isfinite(step.largest) else "any: what is unstable is rejected"
    return [step.scheme, str(step.forces), largest, bias]


def _estimate(value: Estimate) -> str:
    return str(value) if isfinite(value.value) else "-"


def _number(value: float, form: str) -> str:
    return form.format(value) if isfinite(value) else "-"
