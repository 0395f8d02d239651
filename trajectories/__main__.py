"""`python -m trajectories`: the commands for runs, where torch is not installed."""

import typer

from trajectories.commands import add_to

app = typer.Typer(
    name="trajectories",
    help="Look at runs of mdnet, export and analyse them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
add_to(app)

if __name__ == "__main__":
    app()
