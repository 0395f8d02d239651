"""The laws W1 to W6 and W8 of the entropy landscape, one after the other, in one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

import trajectories
from mdnet.experiments import results
from mdnet.experiments.landscape import network_laws
from mdnet.experiments.landscape.checks.binary import w3
from mdnet.experiments.landscape.checks.harmonic import w1
from mdnet.experiments.landscape.checks.mechanics import w8
from mdnet.experiments.landscape.checks.monte_carlo import w2
from mdnet.experiments.landscape.checks.plane import w4
from mdnet.experiments.results import Check, Study, Table
from mdnet.experiments.stages import Stages, Tell
from mdnet.recording import refuse_existing
from mdnet.spelling import unknown

Law = Callable[[Path, bool], Study]
"""(folder, whether runs in it may be replaced) -> what was found."""


def listed(name: str, title: str, checks: Sequence[Check]) -> Study:
    """Return checks that need no picture as a study."""
    rows = [[each.name, each.expectation, each.measured] for each in checks]
    return Study(name, title, ["what", "wanted", "found"], rows, "", checks=checks)


LAWS: dict[str, Law] = {
    "W1": lambda out, force: w1(),
    "W2": lambda out, force: listed("w2", "Monte Carlo on the same potential", w2()),
    "W3": lambda out, force: listed("w3", "A binary network whose states can all be counted", w3()),
    "W4": lambda out, force: w4(),
    "W5": lambda out, force: network_laws.w5(out, overwrite=force),
    "W6": lambda out, force: network_laws.w6(out, overwrite=force),
    "W8": lambda out, force: w8(),
}


def run(
    out: Path,
    laws: Sequence[str] = tuple(LAWS),
    *,
    overwrite: bool = False,
    tell: Tell = lambda stage, seconds: None,
) -> Path:
    """Run laws, by default all, and write results.json and report.html in `out`; the table has what each took.

    Raises, before anything runs, ValueError for a law there is not and OutputExistsError where the run of one is in
    `out` and may not be replaced.
    """
    _refuse(out, laws, overwrite)
    stages, studies, threads = Stages(tell), list[Study](), torch.get_num_threads()
    try:
        for name in laws:
            torch.set_num_threads(threads if name in network_laws.RUNS else 1)  # the others are too small for several
            with stages(name):
                studies.append(LAWS[name](out, overwrite))
    finally:
        torch.set_num_threads(threads)
    rows = []
    for name, study in zip(laws, studies, strict=True):
        holding = sum(check.holds for check in study.checks)
        rows.append([name, study.title, f"{holding} of {len(study.checks)}", f"{stages.seconds[name]:.0f}"])
    table = Table(["law", "what it is about", "checks that hold", "seconds"], rows)
    results.write(out, "Entropy landscape: the laws", table, [], [], studies, seconds=stages.seconds)
    trajectories.report.write([out], out)
    return out


def _refuse(out: Path, laws: Sequence[str], overwrite: bool) -> None:
    for name in laws:
        if name not in LAWS:
            raise ValueError(unknown("law", name, LAWS))
        for run in network_laws.RUNS.get(name, ()):
            if not overwrite:
                refuse_existing(out / run)
