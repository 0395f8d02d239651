"""The options that the commands of `mdnet reproduce` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from mdnet.spelling import unknown

_DEVICES = ("cpu", "cuda")

Seed = Annotated[int, typer.Option(min=0, help="The first of them.")]
Out = Annotated[Path, typer.Option(help="A folder for each model: its runs, results.json, report.html.")]
Published = Annotated[
    bool, typer.Option("--published", help="Of images: the paper's own network, rates and length; wants a GPU.")
]
Check = Annotated[bool, typer.Option("--check", help="Exit with 1 where a check fails.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the runs that are in the folder.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with runs that were stopped or killed.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]


def refuse_both(force: bool, resume: bool) -> None:
    """Raise ValueError where runs are to be replaced and gone on with at once."""
    if force and resume:
        raise ValueError("--resume goes on with the runs in the folder, --force replaces them; give one of the two")


def refuse_device(device: str) -> None:
    """Raise ValueError where a device is unknown or not there."""
    if device not in _DEVICES:
        raise ValueError(unknown("device", device, _DEVICES))
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no CUDA device here; take --device cpu")
