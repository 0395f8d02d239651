"""Reproduces the ideal gas: the runs of a gas by protocols, its table, its studies, and one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import trajectories
from mdnet.experiments import results
from mdnet.experiments.ideal_gas.digits import DIGITS
from mdnet.experiments.ideal_gas.method import PROTOCOLS, Gas
from mdnet.experiments.ideal_gas.sweeps import Sweeps, planned, sweeps
from mdnet.experiments.ideal_gas.telling import studies, table
from mdnet.experiments.ideal_gas.toy import TOY
from mdnet.experiments.stages import Stages, Tell

GASES = {gas.name: gas for gas in (TOY, DIGITS)}


def reproduce(
    gas: Gas,
    folder: Path,
    protocols: Sequence[str] = tuple(PROTOCOLS),
    *,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    tell: Tell = lambda stage, seconds: None,
) -> Sweeps:
    """Run a gas by protocols and write trajectories, results.json and report.html in `folder`.

    `seed`: of the first direction and of all noise. Raises, before anything runs, ValueError for an unknown protocol
    and OutputExistsError where a run is there and may not be replaced; KeyboardInterrupt where a signal has stopped it.
    """
    stages = Stages(tell)
    found = sweeps(
        gas, folder, protocols, stages=stages, seed=seed, overwrite=overwrite, resume=resume, progress=progress
    )
    with stages("page"):
        title = f"SGD as an ideal gas: {gas.title}"
        results.write(
            folder, title, table(found), [], notes(gas, protocols), studies(found), found.runs, stages.seconds
        )
        trajectories.report.write([folder], folder)
    return found


def notes(gas: Gas, protocols: Sequence[str]) -> list[str]:
    """Return what a reader must know."""
    more = [name for name in planned(gas, protocols) if name not in protocols]
    told = [
        "After arXiv:2511.07308: p = λ, V = r²/2, R = (D − 1)/2, and p V = R T.",
        f"{len(gas.effective)} effective rates × {len(gas.radii)} radii × {gas.seeds} seeds are the replicas of one "
        "run for each protocol; the protocols set out for the same states, each in its own variables. Runs begin at "
        "the radius foretold; it relaxes in 1/(4ηλ) steps at a fixed rate, in twice as many at a fixed effective rate. "
        f"The first {gas.burn} steps are left out, the next {gas.looks * gas.stride} are looked at every {gas.stride}.",
        "A state has drifted where U, or r², of one of its replicas moves along a line in ln t at a level of .01 of "
        "all replicas together; one false alarm in a hundred sweeps is expected for each of the two, and more "
        "where samples are correlated.",
        "On a sphere no decay is set: p is the one at which the forces that moved the particles would keep the radius.",
    ]
    if gas.noise is None:
        told.append(
            f"Tr Σ is measured on the sphere first, after {gas.settle} steps more; the decays of the other protocols "
            "are chosen by it, and they begin where the sphere has ended."
        )
    if more:
        told.append(f"{', '.join(PROTOCOLS[name] for name in more)} was not asked for, but is needed for this.")
    return told
