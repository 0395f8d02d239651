"""`mdnet reproduce ideal-gas`: SGD as an ideal gas on the toy and on digits, by one protocol or all three."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from mdnet.console import errors_told
from mdnet.experiments.ideal_gas.method import PROTOCOLS, shortened
from mdnet.experiments.ideal_gas.reproduction import GASES, reproduce
from mdnet.experiments.ideal_gas.sweeps import planned
from mdnet.experiments.options import Check, Force, Out, Resume, Seed, refuse_both
from mdnet.experiments.showing import show, stops_told, tell
from mdnet.recording import refuse_existing
from mdnet.spelling import unknown


def ideal_gas(
    protocol: Annotated[
        list[str] | None, typer.Option(help=f"Of {', '.join(PROTOCOLS)}; may be repeated. By default all.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help=f"Of {', '.join(GASES)}; may be repeated. By default all.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Replicas of each state, by default the model's.")] = None,
    looks: Annotated[
        int | None, typer.Option(help="Looks at a run, by default the model's; fewer are quicker.")
    ] = None,
    seed: Seed = 0,
    out: Out = Path("runs/ideal-gas"),
    check: Check = False,
    force: Force = False,
    resume: Resume = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; one is fastest for systems this small.")] = 1,
) -> None:
    """SGD of scale-invariant networks as an ideal gas (arXiv:2511.07308)."""
    torch.set_num_threads(threads)
    holds, protocols = True, protocol or list(PROTOCOLS)
    with errors_told(), stops_told(f"{out} keeps what was run"):
        refuse_both(force, resume)
        for name in model or GASES:
            if name not in GASES:
                raise ValueError(unknown("model", name, GASES))
        gases = [shortened(GASES[name], seeds=seeds, looks=looks) for name in dict.fromkeys(model or GASES)]
        for gas in gases:
            for needed in planned(gas, protocols):
                if not (force or resume):
                    refuse_existing(out / gas.name / needed)
        for gas in gases:
            folder = out / gas.name
            reproduce(gas, folder, protocols, seed=seed, overwrite=force, resume=resume, tell=tell)
            holds = show(folder) and holds
    if check and not holds:
        raise typer.Exit(1)
