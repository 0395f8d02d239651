"""The commands that work on finished or growing runs; none needs torch. `mdnet` has them too."""

import typer

from trajectories.commands.averaging import averaging
from trajectories.commands.check import check
from trajectories.commands.entropy import entropy
from trajectories.commands.export import export
from trajectories.commands.landscape import landscape
from trajectories.commands.look import info, report
from trajectories.commands.recover import recover
from trajectories.commands.sgd import sgd
from trajectories.commands.watch import watch

COMMANDS = (info, report, watch, check, entropy, landscape, sgd, averaging, export, recover)


def add_to(app: typer.Typer) -> None:
    """Give a command line all of them."""
    for command in COMMANDS:
        app.command()(command)
