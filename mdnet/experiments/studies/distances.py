"""What temperature does to distances: the metric beta <d_i d_j L> along stiff and sloppy modes as T falls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

import trajectories
from mdnet import curvature
from mdnet.data import Stack
from mdnet.experiments import simmering
from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array, Check, Plot, Study
from mdnet.experiments.studies.finished import Finished
from mdnet.experiments.studies.fisher import rank_of, spread, told
from mdnet.figures import Line, curves

LADDER = (1e-5, 1e-4, 1e-3, 3e-3, 0.01, 0.03)  # temperatures
COLD = 3  # of them, from which it is seen what happens as T -> 0
SEEDS, STEPS, FRAMES = 4, 3_000, 5  # of a run at each temperature; the frames are from its second half


def distances(finished: Finished) -> Study:
    """Return the length of a unit step along modes of the thermal Fisher metric at several temperatures.

    The paper: distances diverge as T -> 0, except along sloppy modes.
    """
    task = finished.task
    lengths, rank = lengths_of(finished), rank_of(task)
    modes = {"stiffest": 1, "stiff": rank // 8, "middle": rank // 2, "last of the rank": rank, "beyond": 2 * rank}
    powers = {name: exponents(lengths[:, :, k - 1]) for name, k in modes.items()}
    rows = [
        [f"{name}, k = {k}", *(told(lengths[:, t, k - 1]) for t in range(len(LADDER))), told(powers[name])]
        for name, k in modes.items()
    ]
    checks = [_stays(lengths[:, 0, modes["beyond"] - 1], modes["beyond"])]
    if not task.classes:  # where labels are fitted cross-entropy flattens with T: the table tells by which power
        checks.insert(0, _diverges(powers["stiffest"]))
    return Study(
        "distances",
        "Distances against T",
        ("mode", *(f"T = {t:g}" for t in LADDER), f"power of T up to {LADDER[COLD - 1]:g}"),
        rows,
        _caption(task, rank),
        checks,
        [_plot(lengths, modes)],
        {"temperatures": list(LADDER), "lengths": {name: lengths[:, :, k - 1].tolist() for name, k in modes.items()}},
    )


def lengths_of(finished: Finished) -> Array:
    """Return sqrt(lambda_k/T) (seeds, temperatures, dof) of the thermal mean of G, weights in units of the prior's s.

    The temperatures are replicas of one restrained run from Adam's minimum.
    """
    seeds, grid = min(SEEDS, finished.task.seeds), torch.tensor(LADDER)
    train, test = ((x[:seeds], y[:seeds]) for x, y in (finished.task.data.train, finished.task.data.test))
    half = STEPS // 2
    problem = replace(finished.task.problem, stages=1, stage_steps=half, sample_steps=half, sample_every=half)
    task = replace(finished.task, data=Stack(train, test), problem=problem)
    temperature = grid.repeat(seeds)[:, None]
    run = simmering.Ensemble("ladder", simmering.chain(temperature), temperature)
    folder, start = finished.folder / "distances", finished.overfit[:seeds].repeat_interleave(len(grid), 0)
    simmering.simmer(
        task, run, folder, start=start, heating="at-once", copies=len(grid),
        overwrite=finished.overwrite, progress=finished.progress,
    )  # fmt: skip
    with trajectories.open(folder) as file:
        chosen = np.linspace(0, len(file.positions) - 1, 2 * FRAMES + 1).round().astype(int)[-FRAMES:]
        frames = torch.as_tensor(np.stack([file.positions[int(i)] for i in chosen]))
    system, s = task.particles(copies=len(grid)), spread(task)
    by_frame = [list(curvature.factors(system, q)) for q in frames]
    means = [torch.cat(each) * s / FRAMES**0.5 for each in zip(*by_frame, strict=True)]
    values = torch.stack([curvature.spectrum(mean) for mean in means]).reshape(seeds, len(grid), -1)
    return np.asarray((values / grid[:, None]).sqrt())


def exponents(lengths: Array) -> Array:
    """Return the power of T with which lengths (seeds, temperatures) go where it is cold, (seeds,)."""
    logs = np.log(np.maximum(lengths[:, :COLD], 1e-30))
    powers: Array = np.polyfit(np.log(LADDER[:COLD]), logs.T, 1)[0]
    return powers


def _diverges(powers: Array) -> Check:
    middle, error = powers.mean(), powers.std(ddof=1) / len(powers) ** 0.5
    return Check(
        "distances diverge along the stiffest mode as T falls",
        "√(λ/T) ~ T^a, a below 0 by 3 standard errors",
        f"a = {middle:.2f} ± {error:.2f}",
        bool(middle < -3 * error),
    )


def _stays(lengths: Array, k: int) -> Check:
    return Check(
        f"they do not along mode {k}, beyond the rank of G",
        f"√(λ/T) < 1/s at T = {LADDER[0]:g}, mean over seeds",
        f"{lengths.mean():.2g}/s",
        bool(lengths.mean() < 1),
    )


def _caption(task: Task, rank: int) -> str:
    return (
        "Length √(λ_k/T), in units of 1/s, of a unit step along mode k in the metric β<∂∂L>, with the Gauss-Newton "
        f"matrix for ∂∂L: its mean over {FRAMES} frames of {STEPS} restrained steps at each T from Adam's minimum. "
        f"Modes count from the stiffest. Locally the rank of G is {rank} at most, of {task.particles().dof}; modes "
        "beyond are stiffened by thermal motion alone. The power is that of T in the coldest "
        f"{COLD}: -1/2 where λ does not change. Squared error bends alike at every output, so λ stays and distances "
        "diverge; cross-entropy bends less the surer the network is, and where it fits its labels λ vanishes with T. "
        "Below 1, the prior's own length at every T, the prior bounds a mode and not the loss. ± over seeds."
    )


def _plot(lengths: Array, modes: Mapping[str, int]) -> Plot:
    lines = []
    for name, k in modes.items():
        values = lengths[:, :, k - 1]
        error = values.std(0, ddof=1) / len(values) ** 0.5
        lines.append(Line(f"{name}, k = {k}", LADDER, values.mean(0), error))
    return Plot(
        "Distances against T",
        curves(lines, x="temperature T", y="length √(λ/T) of a unit step (1/s)", log="xy", levels={"the prior's": 1}),
        f"Length of a unit step along modes of the thermal metric; mean and standard error over {len(lengths)} seeds.",
    )
