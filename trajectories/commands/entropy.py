"""`entropy`: all entropies of a run that apply, side by side."""

import json
from pathlib import Path
from typing import Annotated

import typer

from trajectories.console import busy, errors_told, say


def entropy(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a trajectory.h5 file.")],
    tensor: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Of this tensor alone; repeatable.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the replicas at this set temperature.")] = None,
    projection: Annotated[int | None, typer.Option(help="Of so many principal components alone.")] = None,
    at_most: Annotated[int, typer.Option(min=2, help="Samples to take, of all replicas together.")] = 2000,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Estimate the entropy of the weights in every way that applies, with errors, and tell where these disagree."""
    from trajectories.entropy import compare
    from trajectories.storage.reader import Trajectory

    with errors_told(), Trajectory(run) as opened:
        with busy(f"estimating the entropy of {run}"):
            found = compare(
                opened, tensors=tensor or (), temperature=temperature, projection=projection, at_most=at_most
            )
        say(json.dumps(found.as_dict(), indent=2) if as_json else str(found))
