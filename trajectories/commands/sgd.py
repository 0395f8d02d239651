"""`sgd`: energy, entropy, temperature and signal of a sweep of learning rates, and what holds of them."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trajectories.console import busy, errors_told, say

if TYPE_CHECKING:
    from trajectories.sgd import Stationary, Thermodynamics


def sgd(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a trajectory.h5 file.")],
    last: Annotated[int, typer.Option(min=8, help="Samples of the energy, from the end, that are averaged.")] = 50,
    eps: Annotated[float, typer.Option(min=0, help="How far above the least F a state may lie at its own T.")] = 0.0,
    width: Annotated[float, typer.Option(help="Half-width in ln rate of the kernel that smooths U and S.")] = 0.3,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Tell U, S, T = dU/dS and the signal-to-noise ratio of a sweep of learning rates, with errors over seeds."""
    from trajectories.sgd import Thermodynamics, stationary
    from trajectories.sgd.reading import ENTROPY
    from trajectories.sgd.summary import columns, thermal
    from trajectories.storage.reader import Trajectory
    from trajectories.thermodynamics.printing import aligned

    with errors_told(), Trajectory(run) as opened:
        with busy(f"averaging the sweep of {run}"):
            found = stationary(opened, last)
            rates = found.sweep.rates
            rising = len(rates) > 2 and bool((rates[1:] > rates[:-1]).all())
            heat = Thermodynamics(found, eps=eps, width=width) if rising and ENTROPY in found.values else None
        table = columns(found) | ({} if heat is None else thermal(heat.temperature))
        if as_json:
            say(json.dumps(_plain(found, heat, {name: column.tolist() for name, column in table.items()}), indent=2))
            return
        say(f"{len(rates)} points of {len(found.sweep.seeds)} seeds, means since step {found.since}\n")
        shown = {name: [_cell(value) for value in column] for name, column in table.items()}
        shown["stationary"] = ["no" if moved else "yes" for moved in found.drift.moved]
        say(aligned(shown | ({} if heat is None else {"": list(heat.temperature.reasons)})))
        say("\n" + _told(heat))


def _told(heat: "Thermodynamics | None") -> str:
    if heat is None:
        return "no temperature: that takes an entropy, and three rates or more that rise"
    law, curves, held, convexity = heat.power_law, heat.free_energy, heat.held_out, heat.convexity
    convex = {None: "one seed tells no errors", True: "nothing contradicts it", False: "no"}[convexity.convex]
    return (
        f"T = a eta^b: a = {law.a}, b = {law.b}\n"
        f"F least at its own rate: {curves.at_own} of {curves.told}; {curves.shuffled.mean():.1f} with S permuted\n"
        f"  T of half of the seeds, F of the others: {held.at_own} of {held.told}, p = {held.p:.2g}"
        f"{'; the first is so by construction, as eps = 0 and nothing was smoothed' if heat.by_construction else ''}\n"
        f"U(S) convex: {convex}; clear at {convexity.clear} of {len(convexity.p)} rates"
    )


def _plain(found: "Stationary", heat: "Thermodynamics | None", table: dict[str, list[float]]) -> dict[str, Any]:
    rows = {_key(name): [_number(value) for value in column] for name, column in table.items()}
    rows["stationary"] = [not moved for moved in found.drift.moved.tolist()]
    told: dict[str, Any] = {"seeds": len(found.sweep.seeds), "since": found.since, "points": rows}
    if heat is not None:
        told["reasons"] = list(heat.temperature.reasons)
        told |= {name: _number(value) for name, value in heat.told().items()}
    return told


def _key(name: str) -> str:
    return f"{name.removeprefix('± ')}_error" if name.startswith("± ") else name


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _number(value: Any) -> Any:
    """The value, None for a number that is not finite."""
    if isinstance(value, dict):
        return {name: _number(one) for name, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
