"""`mdnet reproduce free-energy`: a model in one regime, or all laws of stationary SGD."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import torch
import typer

from mdnet.console import errors_told, say
from mdnet.experiments.free_energy import reproduction
from mdnet.experiments.free_energy.reproduction import NAMES
from mdnet.experiments.options import (
    Check,
    Device,
    Force,
    Out,
    Published,
    Resume,
    Seed,
    Threads,
    refuse_both,
    refuse_device,
)
from mdnet.experiments.showing import show, stops_told, tell
from mdnet.experiments.stages import Setting

Regime = Literal["up", "op"]


def free_energy(
    model: Annotated[
        str, typer.Option(help=f"Of {', '.join(NAMES)}; without one and with --check: all laws F1 to F5.")
    ] = "",
    regime: Annotated[
        Regime | None, typer.Option(help="Too few parameters for zero loss (up, the default), or enough (op).")
    ] = None,
    rate: Annotated[
        list[float] | None, typer.Option(help="A learning rate; give three or more, ascending. By default the model's.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of SGD, by default the model's; some controls have their own.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=2, help="Runs of each rate, by default the model's.")] = None,
    seed: Seed = 0,
    published: Published = False,
    out: Out = Path("runs/free-energy"),
    check: Check = False,
    force: Force = False,
    resume: Resume = False,
    device: Device = "cpu",
    threads: Threads = 2,
) -> None:
    """Stationary SGD minimises U - T S (Sadrtdinov, Klimov, Lobacheva, Vetrov 2025)."""
    torch.set_num_threads(threads)
    setting = Setting(out, seed, device, force, resume)

    with errors_told(), stops_told(f"{out} keeps what was run"):
        refuse_both(force, resume)
        refuse_device(device)
        if model:
            wanted = reproduction.chosen(model, regime or "up", published=published).with_(rate, steps, seeds)
            say(f"{wanted.title}. {wanted.note}")
            folders = [reproduction.reproduce(wanted, setting, tell=tell).folder]
        elif not check:
            raise ValueError(f"give --model, of {', '.join(NAMES)}, or --check for all laws")
        elif rate or steps or seeds or regime or published:
            raise ValueError("the laws have regimes, rates, steps and seeds of their own; give --model with yours")
        else:
            folders = reproduction.laws(setting, tell=tell)
        shown = [show(folder) for folder in folders]
    if check and not all(shown):
        raise typer.Exit(1)
