"""The command line: run a file, look at a run, report on runs, reproduce a published system."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import torch
import typer

import trajectories
from mdnet import config, distributed
from mdnet.commands.bench import bench
from mdnet.commands.compare import compare
from mdnet.commands.report import report
from mdnet.commands.sweep import sweep
from mdnet.commands.validate import validate
from mdnet.console import errors_told, say
from mdnet.experiments import commands
from mdnet.simulation import Simulation
from trajectories.commands import add_to

INTERRUPTED = 130  # the exit code of a soft stop, as a shell gives for Ctrl-C

app = typer.Typer(
    name="mdnet",
    help="Molecular dynamics whose particles are the weights of a neural network.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(commands.app, name="reproduce")
app.command()(validate)
app.command()(compare)
app.command()(bench)
app.command()(sweep)
add_to(app)
app.command()(report)  # in place of the one that knows no studies

Overrides = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Replace a value: run.steps=1000.")]


@app.callback(invoke_without_command=True)
def main(show: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    """Molecular dynamics whose particles are the weights of a neural network."""
    if show:
        say(f"mdnet {version('mdnet')}")
        raise typer.Exit


@app.command()
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A run file (TOML), or the folder of an earlier run.")],
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default runs/NAME, for NAME.toml.")] = None,
    overrides: Overrides = [],  # noqa: B006
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the run that is in the folder.")] = False,
    data_ranks: Annotated[int, typer.Option(min=1, help="Under torchrun: ranks that share the data of a replica.")] = 1,
) -> None:
    """Run what a file describes; Ctrl-C or SIGTERM stop it softly, and --resume goes on.

    Under torchrun the replicas are divided over the ranks: torchrun --nproc-per-node 4 -m mdnet run FILE.
    """
    if resume and force:
        raise typer.BadParameter(
            "--resume goes on with the run in the folder, --force replaces it; give one of the two"
        )
    path, folder = (file / config.FILE_NAME, file) if file.is_dir() else (file, Path("runs") / file.stem)
    folder = out or folder
    with errors_told(), distributed.world(data_ranks) as world:
        runfile = config.load(path, overrides)
        torch.set_num_threads(runfile.run.threads)
        simulation = config.build(runfile, folder, overwrite=force, resume=resume, world=world)
        if world.is_writer:
            config.store(runfile, folder)
        _advance(simulation, folder, runfile.run.steps, runfile.run.wall_clock)


def _advance(simulation: Simulation, folder: Path, steps: int, wall_clock: float | None) -> None:
    """Run the steps that are left, and say where the trajectory lies or how to go on."""
    left = steps - simulation.step
    if left <= 0:
        if simulation.world.is_writer:
            trajectories.recover(folder)  # killed after its last step, it may bear the mark of a writer
        say(f"{folder} has its {simulation.step} steps already; for more: {_command(folder)} --set run.steps=NUMBER")
        return
    outcome = simulation.run(left, wall_clock=wall_clock)
    say(f"trajectory: {folder / 'trajectory.h5'}")
    if outcome == "finished":
        say(f"next: mdnet report {folder}")
        return
    say(f"{outcome} at step {simulation.step} of {steps}; to go on: {_command(folder)}")
    if outcome == "interrupted":
        raise typer.Exit(INTERRUPTED)


def _command(folder: Path) -> str:
    return f"mdnet run {folder} --resume"
