"""The commands that work on finished or growing runs; none needs torch. `mdnet` has them too."""

import typer

from trajectories.commands.look import info, report

COMMANDS = (info, report)


def add_to(app: typer.Typer) -> None:
    """Give a command line all of them."""
    for command in COMMANDS:
        app.command()(command)
