"""Simmering: train a network to overfit, then heat it, and let the ensemble of its states predict.

Babayan, Aliahmadi, van Anders, "Sufficient is better than optimal for training neural networks", Nature
Communications (2025), arXiv:2410.19912. Weights are particles, the loss is the potential energy, a
Nose-Hoover chain holds the temperature, velocity Verlet integrates. *Retrofit*: minimise first, then raise
the temperature in steps to its target, and sample there.

Every problem is repeated over seeds that differ in data, noise and start; all seeds are replicas of one
batched run. Each result stands beside its controls: Adam, Adam with the same restraint, and an ensemble of
early-stopped networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import mdnet as md
import trajectories
from integrators import VERLET, Splitting, outer
from mdnet.data import Stack
from mdnet.experiments import results
from mdnet.experiments.results import Check, Comparison
from mdnet.system import Loss
from thermostats import NoseHooverChain


@dataclass(frozen=True)
class Problem:
    """What is learnt, by which network, at which temperature; energies are mean losses, k_B = 1."""

    data: str
    train: int  # training rows of each seed
    hidden: tuple[int, ...]
    temperature: float  # the target T
    free_temperature: float | None = None  # T of a second run without restraint
    variance: float | str = 1.0  # of the restraint, a Gaussian prior at temperature T
    label_noise: float = 0.0  # share of training labels replaced by random ones
    metric: str = "r2"
    gain: float = 0.0  # what the restrained ensemble is expected to gain over Adam, in the metric
    adam_steps: int = 20_000
    sample_every: int = 20


PROBLEMS: Mapping[str, Problem] = {
    "sine": Problem("sine", 40, (30, 30), 0.002, free_temperature=0.003, metric="mse"),
    "iris": Problem("iris", 60, (20, 20), 0.01, label_noise=0.2, metric="accuracy", gain=0.04),
    "digits": Problem(
        "digits", 300, (32,), 0.001, variance="fan_in", label_noise=0.2, metric="accuracy", gain=0.08,
        adam_steps=5_000, sample_every=100,
    ),
    "auto-mpg": Problem("auto-mpg", 100, (32, 32), 0.002, free_temperature=0.002, gain=0.08),
    "auto-mpg-single": Problem("auto-mpg-single", 100, (32, 32), 0.002, free_temperature=0.002, gain=0.08),
}  # fmt: skip

ADAM_RATE = 5e-3
DT, TAU, LINKS = 0.01, 0.5, 4  # tau = 50 dt
STAGES, STAGE_STEPS, SAMPLE_STEPS = 5, 500, 6_000
HEATING = STAGES * STAGE_STEPS
MEMBERS, EARLY_STEPS, HELD_OUT = 8, 3_000, 0.25  # of the early-stopped ensemble

ADAM, ADAM_RESTRAINED, EARLY = "Adam", "Adam + the same restraint", f"early stopping, ensemble of {MEMBERS}"
RESTRAINED, FREE = "simmering, restrained", "simmering, free"


def reproduce(
    name: str, out: Path, *, seeds: int = 8, seed: int = 0, overwrite: bool = False, progress: bool = True
) -> tuple[list[Path], Comparison, list[Check]]:
    """Run a problem with its controls; write trajectories and results.json below `out`.

    Returns the run folders, the comparison of methods and the checks. Raises ValueError for an unknown problem,
    OutputExistsError where a run is there and overwrite is False.
    """
    if name not in PROBLEMS:
        raise ValueError(f"problem {name!r} is unknown; there are {', '.join(PROBLEMS)}")
    problem, data = PROBLEMS[name], prepare(PROBLEMS[name], seeds=seeds, seed=seed)
    runs = [out / f"{name}-restrained", *([out / f"{name}-free"] if problem.free_temperature is not None else [])]
    if not overwrite:
        for folder in runs:
            md.simulation.refuse_existing(folder)
    torch.manual_seed(seed)
    classes = int(data.targets.max()) + 1 if problem.metric == "accuracy" else 1
    network = md.networks.mlp(data.inputs.shape[-1], classes, problem.hidden)
    comparison = Comparison(data.test[1].numpy(), problem.metric)

    free = particles(problem, data, network, restraint=0.0)
    restrained = particles(problem, data, network, restraint=problem.temperature)
    start = free.positions(seed=seed)
    overfit = md.minimise(free, start, problem.adam_steps, ADAM_RATE, progress=progress)
    held = md.minimise(restrained, start, problem.adam_steps, ADAM_RATE, progress=progress)
    for label, q in ((ADAM, overfit), (ADAM_RESTRAINED, held)):
        comparison.add(label, free.output(q, data.test[0], per_replica=True)[None].numpy())
    comparison.add(EARLY, early_stopped(problem, data, network, seed=seed, progress=progress).numpy())

    simmer(restrained, problem, data, overfit, problem.temperature, runs[0], seed, overwrite, progress)
    comparison.add(RESTRAINED, samples(runs[0]))
    if problem.free_temperature is not None:
        simmer(free, problem, data, overfit, problem.free_temperature, runs[1], seed, overwrite, progress)
        comparison.add(FREE, samples(runs[1]))
    claims = checks(problem, comparison, runs)
    results.write(runs[0] / "results.json", f"Simmering: {name}", comparison, claims, notes(problem, seeds))
    return runs, comparison, claims


def prepare(problem: Problem, *, seeds: int, seed: int) -> Stack:
    """Draw the training and test rows of every seed, with its own noise."""
    splits = []
    for s in range(seed, seed + seeds):
        options = {"seed": s} if problem.data == "sine" else {}
        dataset = md.data.load(problem.data, **options)
        split = md.data.split(dataset, problem.train, seed=s, standardise=problem.data != "sine")
        if problem.label_noise:
            noisy = md.data.label_noise(split.train[1], problem.label_noise, dataset.classes, seed=s)
            split = md.data.Split((split.train[0], noisy), split.test)
        splits.append(split)
    return md.data.stack(splits)


def particles(problem: Problem, data: Stack, network: nn.Module, *, restraint: float) -> md.ParticleSystem:
    """All seeds as replicas, each with its own training rows.

    U = mean loss + T |theta|^2/(2 s^2), with T = `restraint`: a Gaussian prior of variance s^2 at temperature T.
    """
    return md.ParticleSystem(
        network, loss(problem), data.inputs, data.targets, index=data.index, replicas=len(data.index),
        prior=md.GaussianPrior(problem.variance, temperature=restraint), dtype=torch.float64, compile=True,
    )  # fmt: skip


def loss(problem: Problem) -> Loss:
    """Mean squared error, or mean cross-entropy."""
    return functional.cross_entropy if problem.metric == "accuracy" else functional.mse_loss


def simmer(
    system: md.ParticleSystem, problem: Problem, data: Stack, start: Tensor, temperature: float, folder: Path,
    seed: int, overwrite: bool, progress: bool,
) -> None:  # fmt: skip
    """Raise T in stages from the minimum to the target, then sample there; all of it goes into the file."""
    chain = NoseHooverChain(temperature, TAU, links=LINKS)
    integrator = Splitting(outer(VERLET), system.force, DT, chain)
    staircase = md.Staircase(temperature / STAGES, temperature, stages=STAGES - 1, every=STAGE_STEPS)
    metric = {"accuracy": md.accuracy} if problem.metric == "accuracy" else {"r2": md.r2}
    simulation = md.Simulation(
        system, integrator, positions=start, schedule={"temperature": staircase}, seed=seed,
        output=folder, overwrite=overwrite,
        parameters={
            "problem": vars(problem),
            "sampling_from_step": HEATING,
            "test": {"inputs": data.test[0].numpy(), "targets": data.test[1].numpy(), "per_replica": True},
        },
        reporters=[
            md.Scalars(every=10),
            md.Frames(every=100),
            md.Evaluate({"train": data.train, "test": data.test}, metric, every=50, per_replica=True),
            md.Predictions(data.test[0], every=problem.sample_every, per_replica=True),
        ],
    )  # fmt: skip
    simulation.run(HEATING + SAMPLE_STEPS, progress=progress)


def samples(folder: Path) -> results.Array:
    """Read the predictions at the target temperature back from the file: (samples, seeds, rows, outputs)."""
    with trajectories.open(folder) as run:
        series = run.observables["test/prediction"]
        return np.asarray(series.values[np.asarray(series.steps) > HEATING])


def early_stopped(problem: Problem, data: Stack, network: nn.Module, *, seed: int, progress: bool) -> Tensor:
    """Outputs (members, seeds, rows, outputs) of networks kept where the loss on held-out rows is least.

    Every member starts elsewhere and holds out a quarter of its own of the training rows.
    """
    seeds, rows = data.index.shape
    order = torch.rand(seeds * MEMBERS, rows, generator=torch.Generator().manual_seed(seed)).argsort(-1)
    index = data.index.repeat_interleave(MEMBERS, 0).gather(1, order)
    held, kept = index[:, : round(HELD_OUT * rows)], index[:, round(HELD_OUT * rows) :]
    system = md.ParticleSystem(
        network, loss(problem), data.inputs, data.targets, index=kept, replicas=len(kept),
        dtype=torch.float64, compile=True,
    )  # fmt: skip
    best = system.positions(seed=seed + 1)
    lowest = torch.full((len(best),), float("inf"), dtype=torch.float64)

    def keep_best(q: Tensor) -> None:
        now = system.evaluate(system.loss, q, data.inputs[held], data.targets[held], per_replica=True)
        better = now < lowest
        lowest[better], best[better] = now[better], q[better]

    md.minimise(system, best, EARLY_STEPS, ADAM_RATE, progress=progress, every=25, watch=keep_best)
    outputs = system.output(best, data.test[0].repeat_interleave(MEMBERS, 0), per_replica=True)
    return outputs.reshape(seeds, MEMBERS, *outputs.shape[1:]).transpose(0, 1)


def checks(problem: Problem, comparison: Comparison, runs: Sequence[Path]) -> list[Check]:
    """The claims as statements that can fail: the schedule, and the gains over Adam."""
    claims = [plateaus(run) for run in runs]
    if comparison.metric == "mse":
        claims += [error_falls(comparison, RESTRAINED, 0.5, 7 / 8), error_falls(comparison, FREE, 0.9, 6 / 8)]
        claims += [jointly_better(comparison)]
    elif comparison.metric == "r2":
        claims += [r2_rises(comparison, RESTRAINED, problem.gain, 5 / 8), r2_rises(comparison, FREE, 0.03, 5 / 8)]
    else:
        claims += votes_better(comparison, problem.gain)
    return claims


def plateaus(folder: Path) -> Check:
    """S1: in the last fifth of each plateau the kinetic temperature, in the mean over seeds, is the set one."""
    with trajectories.open(folder) as run:
        series = run.observables["temperature"]
        steps, kinetic = np.asarray(series.steps), np.asarray(series.values)
        target = np.asarray(run.observables["set_temperature"].values)[:, 0]
    worst = 0.0
    for level in np.unique(target[1:]):
        stage = steps[target == level]
        late = (target == level) & (steps > stage[0] + STAGE_STEPS * 4 // 5) & (steps <= stage[0] + STAGE_STEPS)
        worst = max(worst, abs(float(kinetic[late].mean()) / level - 1))
    return Check(f"T follows its schedule ({folder.name})", "within 10 %", f"worst plateau {worst:.1%}", worst < 0.1)


def error_falls(comparison: Comparison, method: str, ratio: float, share: float) -> Check:
    """S2: the error to the truth falls against Adam."""
    measured, wins = comparison.ratio(method, ADAM), comparison.better(method, ADAM)
    return Check(
        f"{method}: error against Adam", f"median ratio < {ratio}, {share:.0%} of the seeds win",
        f"{measured:.2f}, {wins.sum()}/{len(wins)}", measured < ratio and bool(wins.mean() >= share),
    )  # fmt: skip


def jointly_better(comparison: Comparison) -> Check:
    """S3: the mean member of the free ensemble is worse than Adam, the ensemble better."""
    adam, free = comparison.scores[ADAM].ensemble, comparison.scores[FREE]
    assert free.members is not None
    members, joint = np.median(free.members / adam), np.median(free.ensemble / adam)
    return Check(
        "free: individually worse, jointly better", "member/Adam > 1 > ensemble/Adam, medians",
        f"{members:.2f}, {joint:.2f}", bool(members > 1 > joint),
    )  # fmt: skip


def r2_rises(comparison: Comparison, method: str, gain: float, share: float) -> Check:
    """S6: R^2 rises against Adam."""
    measured, wins = comparison.gain(method, ADAM), comparison.better(method, ADAM)
    return Check(
        f"{method}: R² against Adam", f"+{gain:.2f} or more, {share:.0%} of the seeds win",
        f"{measured:+.3f}, {wins.sum()}/{len(wins)}", measured >= gain and bool(wins.mean() >= share),
    )  # fmt: skip


def votes_better(comparison: Comparison, points: float) -> list[Check]:
    """S5: the vote gains 4 points (digits, with more classes: 8), and the negative log-likelihood halves."""
    gain, wins = comparison.gain(RESTRAINED, ADAM), comparison.better(RESTRAINED, ADAM)
    adam, ours = comparison.scores[ADAM].nll, comparison.scores[RESTRAINED].nll
    assert adam is not None
    assert ours is not None
    ratio = float(ours.mean() / adam.mean())
    return [
        Check("vote against Adam", f"+{100 * points:.0f} points or more",
              f"{100 * gain:+.1f} points, {wins.sum()}/{len(wins)} seeds win", gain >= points),
        Check("NLL against Adam", "at least halved", f"{ratio:.2f} times", ratio <= 0.5),
    ]  # fmt: skip


def notes(problem: Problem, seeds: int) -> list[str]:
    """What a reader must know to judge the table."""
    return [
        f"{seeds} seeds, each with its own rows, noise and start; ± is the standard error over seeds.",
        f"Adam: {problem.adam_steps} steps of rate {ADAM_RATE}, full batch. Restraint: the energy T|θ|²/(2s²), "
        f"T = {problem.temperature}, s² = {'1/fan-in' if problem.variance == 'fan_in' else problem.variance}.",
        f"Simmering: Nose-Hoover chain of {LINKS} links, tau = {TAU}, dt = {DT}; {STAGES} stages of {STAGE_STEPS} "
        f"steps, then {SAMPLE_STEPS} steps at the target, a prediction every {problem.sample_every}.",
        f"Early stopping: {MEMBERS} networks a seed, each with its own quarter of the training rows held out.",
        "Temperatures and restraints are those of the published and prior studies, not tuned on these test sets.",
    ]
