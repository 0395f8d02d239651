"""The Fisher spectrum along a run: how many modes the loss bounds at Adam's minimum, while heating, while sampling."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import trajectories
from mdnet import curvature
from mdnet.experiments import simmering
from mdnet.experiments.problems import Task
from mdnet.experiments.results import Array, Plot, Study
from mdnet.experiments.studies.finished import Finished
from mdnet.figures import Line, curves

RUN = "simmering, restrained"
FRAMES = 5  # of each half of the sampling
RELATIVE = 1e-3  # of the largest eigenvalue, below which a mode counts as sloppy without a prior
PROBES = 10  # of Hutchinson's trace, at each frame
FLOOR = 1e-12  # of eigenvalues, below which there is rounding
DRAWN, KEPT = 16, 100  # modes of each spectrum in the picture, and in the JSON


class Moment(NamedTuple):
    """A place of the run: its name, its temperature (0 for Adam's minimum), and frames (frames, seeds, dof)."""

    name: str
    temperature: float
    frames: Tensor


def fisher(finished: Finished) -> Study:
    """Return the spectrum of the Fisher (Gauss-Newton) matrix at Adam's minimum, after each stage, and while sampling.

    Weights are in units of their prior's spread s, so that a mode of eigenvalue lambda is sloppy where lambda < T.
    """
    task, moments = finished.task, moments_of(finished)
    spectra = [spectra_of(task, moment.frames) for moment in moments]
    return Study(
        "fisher",
        "Curvature: the Fisher spectrum along the run",
        (
            "place", "T", "trace of G", "trace of H", "largest λ", f"share λ < {RELATIVE:g} λ₁",
            "sloppy share, λ < T/s²", "effective parameters", f"the same with T = {task.problem.temperature:g}",
        ),
        [_row(task, moment, values) for moment, values in zip(moments, spectra, strict=True)],
        _caption(task),
        plots=[_plot(moments, spectra, task.problem.temperature)],
        numbers={at.name: values.mean(0)[:, :KEPT].tolist() for at, values in zip(moments, spectra, strict=True)},
    )  # fmt: skip


def moments_of(finished: Finished) -> list[Moment]:
    """Return Adam's minimum, the last frame of each stage, and some frames of each half of the sampling."""
    problem, found = finished.task.problem, [Moment("Adam's minimum", 0.0, finished.overfit[None])]
    with trajectories.open(finished.runs[RUN]) as run:
        steps, set_to = np.asarray(run.positions.steps), run.observables["set_temperature"]
        end, half = int(steps[-1]), problem.sample_steps // 2
        stages = [end - problem.sample_steps - problem.stage_steps * k for k in reversed(range(problem.stages))]
        places = [(f"end of stage {k}", [stage]) for k, stage in enumerate(stages, start=1)]
        for name, last in (("sampling, first half", end - half), ("sampling, second half", end)):
            places.append((name, [last - half * k // FRAMES for k in range(FRAMES)]))
        for name, wanted in places:
            chosen = [int(np.searchsorted(steps, step)) for step in wanted]
            temperature = float(set_to.values[int(np.searchsorted(set_to.steps, wanted[0])), 0])
            found.append(Moment(name, temperature, torch.as_tensor(np.stack([run.positions[i] for i in chosen]))))
    return found


def spectra_of(task: Task, frames: Tensor) -> Tensor:
    """Return the eigenvalues of G (frames, seeds, dof) at frames (frames, seeds, dof), in units of s."""
    system, s = task.particles(), spread(task)
    by_frame = [[curvature.spectrum(a * s) for a in curvature.factors(system, q)] for q in frames]
    return torch.stack([torch.stack(each) for each in by_frame])


def spread(task: Task) -> Tensor:
    """Return the prior's s of every weight (dof,) float64."""
    stiffness = task.particles(1.0).stiffness
    assert stiffness is not None  # there is a prior
    return stiffness.double() ** -0.5


def rank_of(task: Task) -> int:
    """Return the largest rank that G can have at one place: rows x outputs, less one output where they are classes."""
    rows, outputs = task.data.train[1].shape[1], task.predict(task.particles(), simmering.starts(task)).shape[-1]
    return int(rows * (outputs - task.classes))


def told(values: Array) -> str:
    """Tell the mean and standard error over seeds of values (seeds,) that span decades, in three digits."""
    return f"{values.mean():.3g} ± {values.std(ddof=1) / len(values) ** 0.5:.2g}"


def _row(task: Task, moment: Moment, spectra: Tensor) -> list[str]:
    """A row of the table; the frames of each seed are averaged, the errors are over seeds."""
    system, target, now = task.particles(), task.problem.temperature, moment.temperature
    bends = [curvature.trace(curvature.hessian(system, q), q, probes=PROBES)[0] for q in moment.frames]
    numbers = [
        spectra.sum(-1),
        torch.stack(bends),
        spectra[..., 0],
        curvature.sloppy_share(spectra, below=RELATIVE),
        curvature.sloppy_share(spectra, stiffness=now) if now else None,
        curvature.effective_parameters(spectra, now) if now else None,
        curvature.effective_parameters(spectra, target),
    ]
    return [moment.name, f"{now:.2g}", *("–" if x is None else told(x.mean(0).numpy()) for x in numbers)]


def _caption(task: Task) -> str:
    return (
        "G: the Gauss-Newton matrix of the mean loss, the true Fisher matrix of the training rows up to a factor. Its "
        f"rank is at most {rank_of(task)} of {task.particles().dof}, so most modes are free to first order. H: the "
        f"Hessian of the mean loss, its trace by Hutchinson's estimate ({PROBES} probes). λ: eigenvalues of G, weights "
        "in units of the prior's spread s. A mode is sloppy where λ < T/s²: its thermal motion is bounded by the prior "
        f"rather than by the loss; without a prior, by convention, where λ < {RELATIVE:g} of the largest. Effective "
        "parameters: sum λ/(λ + T/s²). Means over frames, ± standard errors over seeds."
    )


def _plot(moments: list[Moment], spectra: list[Tensor], target: float) -> Plot:
    lines = []
    for place in (0, 1, (len(moments) - 2) // 2, len(moments) - 3, len(moments) - 1):
        logs = spectra[place].clamp(min=FLOOR).log().mean(0).numpy()  # (seeds, dof)
        middle, error = logs.mean(0), logs.std(0, ddof=1) / len(logs) ** 0.5
        last = max(int((middle > np.log(10 * FLOOR)).sum()), 1)
        shown = np.unique(np.geomspace(1, last, DRAWN).astype(int)) - 1
        bars = np.exp(middle) * np.abs(np.expm1(np.stack([-error, error])))
        label = f"{moments[place].name}, T = {moments[place].temperature:.2g}"
        lines.append(Line(label, shown + 1, np.exp(middle[shown]), bars[:, shown]))
    return Plot(
        "Spectrum of the Fisher matrix",
        curves(
            lines, x="mode k, the stiffest first", y="eigenvalue λ of G (energy per s²)", log="xy",
            levels={"the prior's, T/s²": target},
        ),
        "Eigenvalues of the Gauss-Newton matrix, geometric means over seeds and frames, with standard errors over "
        f"seeds; modes that are not drawn are flat. Those below the level, T/s² at T = {target:g}, are sloppy there.",
    )  # fmt: skip
