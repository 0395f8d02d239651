"""What a run is: the description its file keeps, and the fingerprint by which a resume knows it again."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor, nn

from integrators import Integrator
from mdnet.schedules import Schedule
from mdnet.system import ParticleSystem

_LIBRARIES = ("mdnet", "torch", "numpy", "h5py")


def describe(
    system: ParticleSystem,
    integrator: Integrator,
    schedule: Mapping[str, Schedule],
    seed: int,
    actions: Sequence[Any] = (),
) -> dict[str, Any]:
    """Return what the file keeps under /parameters: system, dynamics, seed and library versions."""
    return {
        "system": {
            "network": str(system.network),
            "loss": _name(system.loss),
            "dof": system.dof,
            "replicas": system.replicas,
            "scale": system.scale,
            "prior": str(system.prior),
            "dtype": str(system.dtype),
            "device": str(system.device),
            "route": f"{system.route}: {system.why}",
            "precision": system.precision,
            "data": f"{tuple(system.inputs.shape)} -> {tuple(system.targets.shape)}",
        },
        "dynamics": {
            "integrator": str(integrator),
            "minibatch": _minibatch(integrator),
            "canonical": integrator.canonical,
            "schedule": {name: str(value) for name, value in schedule.items()},
            "actions": [str(action) for action in actions] or None,
            "seed": seed,
        },
        "landscape": _landscape(integrator, actions),
        "tempering": next((_ladder(action) for action in actions if hasattr(action, "ladder")), None),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in _LIBRARIES},
    }


def fingerprint(
    system: ParticleSystem,
    integrator: Integrator,
    schedule: Mapping[str, Schedule],
    seed: int,
    reporters: Sequence[Any],
    actions: Sequence[Any],
) -> dict[str, str]:
    """Return what must be the same for a resume to continue the same run, each part by its name."""
    return {
        "network": str(system.network),
        "what is no particle": _held(system.network),
        "parameter table": str(system.table.entries),
        "loss": _name(system.loss),
        "inputs": digest(system.inputs),
        "targets": digest(system.targets),
        "scale": str(system.scale),
        "prior": "none" if system.stiffness is None else digest(system.stiffness),
        "walls": "none" if system.walls is None else digest(system.walls),
        "masses": digest(system.masses),
        "replicas": str(system.replicas),
        "dtype": str(system.dtype),
        "device": system.device.type,
        "precision": system.precision,
        "integrator": str(integrator),
        "minibatch": _minibatch(integrator),
        "landscape": str(_landscape(integrator, actions)),
        "schedule": str(dict(schedule)),
        "seed": str(seed),
        "reporters": str([(type(r).__name__, r.every, getattr(r, "settings", {})) for r in reporters]),
        "actions": str(list(actions)),
    }


def digest(tensor: Tensor) -> str:
    """Return the shape, type and the first twelve digits of the SHA-256 of a tensor's bytes."""
    contiguous = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    code = hashlib.sha256(contiguous.numpy().tobytes()).hexdigest()[:12]
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')} {code}"


def _held(network: nn.Module) -> str:
    """The frozen parameters and the buffers, which belong to the energy and are in no phase."""
    frozen = {name: values for name, values in network.named_parameters() if not values.requires_grad}
    return str({name: digest(values) for name, values in {**frozen, **dict(network.named_buffers())}.items()})


def _minibatch(integrator: Integrator) -> str:
    return str(getattr(integrator, "force", "yes")) if integrator.stochastic else "none"


def _ladder(action: Any) -> dict[str, Any]:
    """The method and its parameters, the ladder among them: what trajectories.tempering reads."""
    return {"method": type(action).__name__, **action.settings}


def _landscape(integrator: Integrator, actions: Sequence[Any]) -> dict[str, Any] | None:
    """Variables and bias of a biased force, and what counts beside them: what trajectories.landscape reads."""
    settings: dict[str, Any] | None = getattr(getattr(integrator, "force", None), "settings", None)
    counting = next((action for action in actions if hasattr(action, "record")), None)
    if settings is None or counting is None:
        return settings
    counted = {"record": [each.axis.as_dict() for each in counting.record], "learn": counting.learn + counting.settle}
    return settings | counted | {"every": counting.every, "factor": getattr(counting.weights, "factor", None)}


def _name(function: Any) -> str:
    return getattr(function, "__name__", None) or repr(function)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"
