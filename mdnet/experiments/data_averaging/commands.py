"""`mdnet reproduce data-averaging`: a model by one variant of SGD on many data sets, or all laws."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import torch
import typer

from mdnet.console import errors_told, say
from mdnet.experiments.data_averaging import reproduction
from mdnet.experiments.data_averaging.models import VARIANTS
from mdnet.experiments.data_averaging.reproduction import NAMES, Setting
from mdnet.experiments.showing import show

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
        typer.Option(help="A learning rate; give three or more, T ascending. By default the model's."),
    ] = None,
    splits: Annotated[int | None, typer.Option(min=2, help="Data sets, by default the model's.")] = None,
    seed: Annotated[int, typer.Option(help="The first of them.")] = 0,
    published: Annotated[
        bool, typer.Option("--published", help="Of resnet: the paper's own network, rates and epochs; wants a GPU.")
    ] = False,
    out: Annotated[Path, typer.Option(help="A folder for each model: its runs, results.json, report.html.")] = Path(
        "runs/data-averaging"
    ),
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 where a check fails.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the runs that are in the folder.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """How SGD generalises, by its temperature lr/B, averaged over data sets (Gomez-Uribe 2022)."""
    torch.set_num_threads(threads)
    setting = Setting(out, sampling, seed, device, force)

    def tell(stage: str, seconds: float) -> None:
        say(f"{stage}, {seconds:.0f} s")

    with errors_told():
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
