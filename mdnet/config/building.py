"""From a run file to a simulation: data, network, particle system, integrator, start, reporters."""

from __future__ import annotations

import dataclasses
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from integrators import Integrator
from mdnet.actions import Action
from mdnet.config.choices import bath
from mdnet.config.options import Options
from mdnet.config.sections import Data, RunFile
from mdnet.config.values import tensor
from mdnet.data import DataSet, Split, Stack, label_noise, load, split, stack
from mdnet.distributed import ALONE, World
from mdnet.recording import refuse_existing
from mdnet.reporters import METRICS, ConfigurationalTemperature, Evaluate, Frames, Predictions, Reporter, Scalars
from mdnet.simulation import Simulation
from mdnet.system import Loss, ParticleSystem
from mdnet.tensorboard import TensorBoard
from mdnet.training import minimise

LOSSES: dict[str, Loss] = {"mse": functional.mse_loss, "cross-entropy": functional.cross_entropy}
_LOSS_OF = {"regression": "mse", "classification": "cross-entropy"}
_METRIC_OF = {"regression": "r2", "classification": "accuracy"}


def build(
    runfile: RunFile,
    output: str | Path | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    world: World = ALONE,
) -> Simulation:
    """Return the simulation that a run file describes, started anew or, with `resume`, from its last checkpoint.

    `world`: the processes that run it together, see mdnet.distributed.

    Raises ValueError for values that do not fit the data or the network, FileNotFoundError for data that are
    not there, OutputExistsError where `output` holds a run that is neither to be overwritten nor resumed, and
    ResumeError.
    """
    output = None if output is None else Path(output)
    if output is not None and world.is_writer and not (overwrite or resume):
        refuse_existing(output)
    dataset, parts = data(runfile)
    system = particles(runfile, dataset, parts)
    motion, looks = integrator(runfile, system), reporters(runfile, dataset, parts, output)
    for each in looks:  # what they refuse is told before the starting positions take their time
        each.start(system, motion)
    simulation = Simulation(
        system,
        motion,
        positions=None if resume else start(runfile, system, progress=progress, world=world),
        schedule=runfile.schedule.make(),
        seed=runfile.run.seed,
        output=output,
        reporters=looks,
        actions=actions(runfile),
        checkpoint_every=runfile.run.checkpoint_every,
        overwrite=overwrite,
        storage=runfile.output.make(),
        parameters={"run_file": runfile.model_dump(exclude_none=True)} | _describe(runfile, dataset, parts),
        world=world,
    )
    return simulation.resume() if resume else simulation


def data(runfile: RunFile) -> tuple[DataSet, Split | Stack]:
    """Return the data set and its split: one for all replicas, or one a replica with seeds that count up."""
    section = runfile.data
    if not section.per_replica:
        return _split(section, section.seed)
    several = [_split(section, section.seed + replica) for replica in range(runfile.system.replicas)]
    return several[0][0], stack([parts for _, parts in several])


def particles(runfile: RunFile, dataset: DataSet, parts: Split | Stack) -> ParticleSystem:
    """Return the particle system: network, training data, loss and prior."""
    section = runfile.system
    joined = isinstance(parts, Stack)
    inputs, targets = (parts.inputs, parts.targets) if isinstance(parts, Stack) else parts.train
    rows = parts.train[1].shape[1] if joined else len(targets)
    return ParticleSystem(
        _network(runfile, dataset),
        LOSSES[section.loss or _LOSS_OF[dataset.kind]],
        inputs,
        targets,
        replicas=section.replicas,
        prior=_prior(section.prior, runfile.coldest),
        scale=rows if section.scale == "n" else section.scale,
        masses=section.masses,
        dtype=getattr(torch, section.dtype),
        device=section.device,
        index=parts.index if isinstance(parts, Stack) else None,
        route=section.route,
        precision=section.precision,
    )


def integrator(runfile: RunFile, system: ParticleSystem) -> Integrator:
    """Return the method of motion with its force and, where it takes one, its thermostat."""
    known: dict[str, Any] = {"force": system.force}
    if (batch := runfile.minibatch) is not None:
        known["force"] = system.minibatch(batch.size, replace=batch.replace, shared=batch.shared)
    ladder = {} if runfile.tempering is None else {"temperature": runfile.temperature}
    if runfile.thermostat is not None:
        known["thermostat"] = bath(runfile.thermostat, system.sizes, ladder)
    if hasattr(runfile.integrator, "temperature"):
        known |= ladder
    if "compile" in signature(type(runfile.integrator).maker).parameters:
        known["compile"] = system.route == "compiled"
    made: Integrator = runfile.integrator.make(known)
    return made


def actions(runfile: RunFile) -> list[Action]:
    """Return what acts between steps: step-size adaptation and tempering, where there are tables for them."""
    made: list[Action] = [table.make() for table in (runfile.adapt, runfile.tempering) if table is not None]
    return made


def start(runfile: RunFile, system: ParticleSystem, *, progress: bool = True, world: World = ALONE) -> Tensor:
    """Return the starting positions (replicas, dof): initialised, then brought down by Adam where that is wanted.

    Each rank of a `world` brings down its own replicas.
    """
    section = runfile.start
    q = system.positions(seed=section.seed if section.init == "random" else None)
    if not section.adam_steps:
        return q
    part = world.over(system)
    own, mine = part.part(system), part.mine(q)
    return part.gather(
        minimise(own, mine, section.adam_steps, section.adam_rate, progress=progress and world.is_writer)
    )


def reporters(runfile: RunFile, dataset: DataSet, parts: Split | Stack, output: Path | None = None) -> list[Reporter]:
    """Return the reporters that are switched on; with TensorBoard scalars go to output/tensorboard as well."""
    section, own = runfile.report, isinstance(parts, Stack)
    metric = _METRIC_OF[dataset.kind]
    found: list[Reporter] = []
    if section.scalars:
        found.append(Scalars(section.scalars))
    if section.frames:
        found.append(Frames(section.frames, velocity=section.velocity, force=section.force, tensors=section.tensors))
    if section.evaluate:
        sets = {"train": parts.train, "test": parts.test}
        found.append(Evaluate(sets, {metric: METRICS[metric]}, every=section.evaluate, per_replica=own))
    if section.predictions:
        found.append(Predictions(parts.test[0], every=section.predictions, per_replica=own))
    if section.configurational:
        found.append(ConfigurationalTemperature(section.configurational))
    found += [table.make() for table in (section.projection, section.principal) if table is not None]
    if section.tensorboard and output is not None:
        return [_shown(each, output / "tensorboard") for each in found]
    return found


def _shown(reporter: Reporter, folder: Path) -> Reporter:
    """The reporter, its scalars in TensorBoard if it has some."""
    shown = isinstance(reporter, Scalars | Evaluate)
    return TensorBoard(reporter, folder / type(reporter).__name__.lower()) if shown else reporter


def _split(section: Data, seed: int) -> tuple[DataSet, Split]:
    dataset = load(section.name, seed=seed)
    parts = split(
        dataset, section.train, test=section.test, seed=seed,
        standardise=section.standardise, stratified=section.stratified,
    )  # fmt: skip
    if section.label_noise:
        if dataset.kind == "regression":
            raise ValueError(f"[data] label_noise needs classes, but data set {dataset.name!r} is a regression")
        inputs, labels = parts.train
        noisy = label_noise(labels, section.label_noise, dataset.classes, seed)
        parts = dataclasses.replace(parts, train=(inputs, noisy))
    return dataset, parts


def _network(runfile: RunFile, dataset: DataSet) -> nn.Module:
    """The network with the weights that its seed gives it; the caller's random numbers stay as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(runfile.start.seed)
        network: nn.Module = runfile.network.make({"inputs": dataset.shape, "outputs": dataset.outputs})
    return network


def _prior(options: Options | None, temperature: Any) -> Any:
    """The prior; without a temperature of its own a Gaussian one has the run's, so it is the same law at each."""
    if options is None:
        return None
    if getattr(options, "temperature", 0.0) is not None:
        return options.make()
    if temperature is None:
        raise ValueError("[system.prior] temperature is missing, and there is no thermostat to take it from")
    return options.make({"temperature": tensor(temperature)})


def _describe(runfile: RunFile, dataset: DataSet, parts: Split | Stack) -> dict[str, Any]:
    """What the file remembers of the data, so that predictions can be compared offline."""
    names = {"name": dataset.name, "source": dataset.source, "kind": dataset.kind, "features": list(dataset.features)}
    test = {"targets": parts.test[1].numpy(), "per_replica": isinstance(parts, Stack)}
    if runfile.report.predictions:
        test["inputs"] = parts.test[0].numpy()
    return {"data": names, "test": test}
