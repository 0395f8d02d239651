"""`averaging`: losses, gap and accuracy of runs over temperatures and data sets, and what holds of them."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trajectories.console import busy, errors_told, say

if TYPE_CHECKING:
    from trajectories.averaging import Averaged, Collapse


def averaging(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a trajectory.h5 file.")],
    last: Annotated[
        int | None,
        typer.Option(min=8, help="Looks, from each run's end, that are averaged; by default what the run says, or 50."),
    ] = None,
    by: Annotated[str, typer.Option(metavar="KEY", help="A swept key, such as batch, that tells curves apart.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Tell train and test loss, gap and optimal temperature of runs over data sets, with errors over these."""
    from trajectories.averaging import Summary, averaged
    from trajectories.storage.reader import Trajectory

    with errors_told(), Trajectory(run) as opened:
        with busy(f"averaging the data sets of {run}"):
            found = averaged(opened, last, by)
            summaries = {key: Summary(one) for key, one in found.items()}
            agreement = _agreement(found)
        if as_json:
            told = {key: _plain(one) | summaries[key].told() for key, one in found.items()}
            say(json.dumps(_finite(told if by else told[""]), indent=2))
            return
        for key, one in found.items():
            say(f"{by} = {key}" if by else f"{len(one.rates)} temperatures of {one.curve.splits} data sets")
            say(f"\n{_table(one)}\n")
            say("\n".join(summaries[key].lines()) + "\n")
        if agreement is not None:
            say(_apart(agreement))


def _agreement(found: "dict[str, Averaged]") -> "Collapse | None":
    """How far the curves lie apart, where they are of the same temperatures."""
    from trajectories.averaging import collapse

    curves = [one.curve for one in found.values()]
    try:
        return collapse(curves)
    except ValueError:  # one curve, other temperatures, or one data set: nothing to compare
        return None


def _table(found: "Averaged") -> str:
    from trajectories.averaging import columns
    from trajectories.thermodynamics.printing import aligned

    shown = {name: ["-" if math.isnan(x) else f"{x:.4g}" for x in column] for name, column in columns(found).items()}
    return aligned(shown | {"stationary": ["no" if flag else "yes" for flag in found.stationarity.flags]})


def _apart(found: "Collapse") -> str:
    low, high = found.interval
    return (
        f"test losses at equal T lie {100 * found.spread:.1f} % [{100 * low:.1f}, {100 * high:.1f}] apart; from the "
        f"first curve to the last {100 * found.change.value:+.1f} ± {100 * found.change.error:.1f} %, p = "
        f"{found.trend.p:.2g}"
    )


def _plain(found: "Averaged") -> dict[str, Any]:
    from trajectories.averaging import columns

    rows: dict[str, Any] = {_key(name): column.tolist() for name, column in columns(found).items()}
    rows["stationary"] = [not flag for flag in found.stationarity.flags.tolist()]
    return {"splits": found.curve.splits, "points": rows}


def _key(name: str) -> str:
    plain = f"{name.removeprefix('± ')}_error" if name.startswith("± ") else name
    return plain.replace(" ", "_")


def _finite(value: Any) -> Any:
    """The value, with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
