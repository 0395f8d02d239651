"""`mdnet reproduce data-averaging`: a model by one variant of SGD on many data sets, or all laws."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import torch
import typer

from mdnet.console import errors_told, say
from mdnet.experiments.data_averaging import reproduction
from mdnet.experiments.data_averaging.models import VARIANTS
from mdnet.experiments.data_averaging.reproduction import NAMES, Sampled
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

Sampling = Literal["split", "random"]


def data_averaging(
    model: Annotated[
        str, typer.Option(help=f"Of {', '.join(NAMES)}; without one and with --check: all laws G1 to G7.")
    ] = "",
    variant: Annotated[str, typer.Option(help=f"Of {', '.join(VARIANTS)}.")] = "sgd",
    sampling: Annotated[
        Sampling, typer.Option(help="All rows divided anew, or training rows drawn from all with replacement.")
    ] = "split",
    rate: Annotated[
        list[float] | None,
        typer.Option(help="A learning rate; give four or more, T ascending. By default the model's."),
    ] = None,
    splits: Annotated[int | None, typer.Option(min=2, help="Data sets, by default the model's.")] = None,
    seed: Seed = 0,
    published: Published = False,
    out: Out = Path("runs/data-averaging"),
    check: Check = False,
    force: Force = False,
    resume: Resume = False,
    device: Device = "cpu",
    threads: Threads = 2,
) -> None:
    """How SGD generalises, by its temperature lr/B, averaged over data sets (Gomez-Uribe 2022)."""
    torch.set_num_threads(threads)
    setting = Sampled(out, seed, device, force, resume, sampling=sampling)

    with errors_told(), stops_told(f"{out} keeps what was run"):
        refuse_both(force, resume)
        refuse_device(device)
        if model:
            wanted = reproduction.chosen(model, published=published).with_(rate, splits)
            say(f"{wanted.title}. {wanted.note}".rstrip())
            folders = [reproduction.reproduce(wanted, variant, setting, tell=tell).folder]
        elif not check:
            raise ValueError(f"give --model, of {', '.join(NAMES)}, or --check for all laws")
        elif rate or splits or published or variant != "sgd" or sampling != "split":
            raise ValueError(
                "the laws have rates, data sets, variants and sampling of their own; give --model with yours"
            )
        else:
            folders = reproduction.laws(setting, tell=tell)
        shown = [show(folder) for folder in folders]
    if check and not all(shown):
        raise typer.Exit(1)
