"""SGD on the unit sphere at many learning rates: rates x seeds are the replicas of one run, its file the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.nn.functional import cross_entropy

from integrators import SGD
from mdnet.experiments.columns import per_replica
from mdnet.experiments.free_energy.models import Model
from mdnet.networks import refuse_scale_dependent
from mdnet.noise_level import NoiseLevel
from mdnet.reporters import Evaluate, Frames, Reporter, Scalars, accuracy
from mdnet.simulation import Simulation, finish
from mdnet.snapshots import GraphEntropy
from mdnet.system import ParticleSystem


def sweep(
    model: Model,
    folder: Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
) -> Path:
    """Run w <- w - eta g_B(w), w <- R w/|w| for all rates and seeds of a model, and return the folder of its file.

    No momentum, no decay, no augmentation; each replica draws batches of its own, with replacement. Replica =
    rate x seeds + seed, and /parameters/sweep says which is which. The file holds potential_energy (on all training
    rows), graph_entropy, gradient_squared and noise_squared, and test/loss and test/accuracy where there are test rows.

    With `resume` it goes on where it was stopped or killed, and begins what has not begun.

    Raises ValueError for a network that is not scale invariant, OutputExistsError where a run is there and may not be
    replaced, KeyboardInterrupt where a signal has stopped it.
    """
    system = model.system(len(model.rates) * model.seeds, device)
    start = model.starts(system, model.seeds, seed)
    refuse_scale_dependent(system, start)
    rates = per_replica(model.rates, model.seeds)
    simulation = Simulation(
        system, SGD(system.minibatch(model.batch), rates, radius=model.radius), positions=start, seed=seed,
        output=folder, reporters=_reporters(model, system), parameters={"sweep": _described(model, seed)},
        overwrite=overwrite or resume,
    )  # fmt: skip
    finish(simulation, model.steps, progress=progress, resume=resume)
    return folder


def _reporters(model: Model, system: ParticleSystem) -> list[Reporter]:
    looks, test = model.looks, model.data()[1]
    entropy = GraphEntropy(
        model.entropy_at.steps, samples=model.samples, stride=model.stride, k=model.k, dimension=system.dof - 1
    )
    reporters: list[Reporter] = [Scalars(looks), NoiseLevel(looks), entropy]
    if test is not None:
        metrics = {"accuracy": accuracy} if model.loss is cross_entropy else {}
        rows = test[0].to(system.device), test[1].to(system.device)
        reporters.append(Evaluate({"test": rows}, metrics, every=looks))
    return [*reporters, Frames(looks)] if model.frames else reporters


def _described(model: Model, seed: int) -> dict[str, Any]:
    """What the file says of its replicas, each list (replicas,)."""
    many = len(model.rates)
    return {
        "rate": [rate for rate in model.rates for _ in range(model.seeds)],
        "seed": list(range(seed, seed + model.seeds)) * many,
        "batch": model.batch,
        "decay": 0.0,
        "protocol": "sphere",
        "radius": model.radius,
        "model": f"{model.name} {model.regime}",
    }
