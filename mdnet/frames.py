"""Weights of a run put back into a network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from trajectories import Trajectory
from trajectories.export import state

Network = TypeVar("Network", bound=nn.Module)


def load_frame(
    network: Network, run: Trajectory | str | os.PathLike[str], frame: int = -1, replica: int = 0
) -> Network:
    """Put the weights of one frame of one replica into a network, in place, and return it.

    Its device and dtype stay. Frozen parameters that the run does not hold stay as they are, and so do buffers:
    a run has no running statistics of BatchNorm, its energy uses those of the batch. Frames and replicas count from
    0, negative ones from the end.

    Raises:
        ValueError: a tensor of the run that the network lacks or has in another shape, a trainable parameter that the
            run does not hold, or no such frame or replica; NotRecorded: the run holds no frames; NotATrajectory: as
            `trajectories.open`.
    """
    found = state(run, frame, replica)
    parameters = dict(network.named_parameters())
    _check(parameters, found)
    with torch.no_grad():
        for name, values in found.items():
            parameters[name].copy_(torch.from_numpy(values))
    return network


def _check(parameters: Mapping[str, nn.Parameter], found: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Raise ValueError at the first difference between the network's parameters and the run's tensors."""
    for name, values in found.items():
        if name not in parameters:
            raise ValueError(
                f"the run has a tensor {name!r} {values.shape}, the network has not; its parameters are "
                f"{', '.join(parameters)}: give the architecture of the run"
            )
        shape = tuple(parameters[name].shape)
        if shape != values.shape:
            raise ValueError(f"{name} is {values.shape} in the run and {shape} in the network: give the run's sizes")
    missing = [name for name, parameter in parameters.items() if parameter.requires_grad and name not in found]
    if missing:
        raise ValueError(
            f"the run does not hold {', '.join(missing)}, so the network would be one of two halves; record these "
            "tensors too, or freeze them (requires_grad_(False)) to leave them as they are"
        )
