"""The force by the bare module: its parameters are views of one flat vector, and so are their gradients."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from mdnet.force import Evaluation
    from mdnet.system import ParticleSystem


class ModuleGradient:
    """The mean loss (replicas,) and its gradient (replicas, dof) at q (replicas, dof), by the bare module.

    Forward and backward of the network, one replica after the other: any module that torch can differentiate will do.

    A call copies a replica's weights into the vector that the parameters are views of, and sets its slopes to zero.
    For one replica the gradient that is returned is overwritten by the next call.
    """

    def __init__(self, system: ParticleSystem, *, per_replica: bool) -> None:
        self.system, self.per_replica = system, per_replica
        self.network = copy.deepcopy(system.network)
        self.weights = system.table.flatten(self.network)  # (dof,)
        self.slopes = torch.zeros_like(self.weights)  # (dof,)
        parameters = dict(self.network.named_parameters())
        values, slopes = system.table.unflatten(self.weights), system.table.unflatten(self.slopes)
        for name, value in values.items():
            parameters[name].data, parameters[name].grad = value, slopes[name]
        _let_recurrent_layers_learn(self.network)

    def __call__(self, q: Tensor, inputs: Tensor, targets: Tensor) -> Evaluation:
        """Return loss and gradient on data (n, ...), or with per_replica (replicas, n, ...)."""
        if len(q) == 1:
            value, slope = self._one(q[0], *_of(0, self.per_replica, inputs, targets))
            return value[None], slope[None]
        loss, gradient = q.new_empty(len(q)), torch.empty_like(q)
        for i, one in enumerate(q):
            loss[i], gradient[i] = self._one(one, *_of(i, self.per_replica, inputs, targets))
        return loss, gradient

    def _one(self, q: Tensor, inputs: Tensor, targets: Tensor) -> Evaluation:
        """Return the loss () and its gradient (dof,) at q (dof,): the next call overwrites it."""
        self.weights.copy_(q)
        self.slopes.zero_()
        with torch.enable_grad():
            loss = self.system.loss(self.network(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), self.slopes


def _of(replica: int, per_replica: bool, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The data (n, ...) of one replica."""
    return (inputs[replica], targets[replica]) if per_replica else (inputs, targets)


def _let_recurrent_layers_learn(network: nn.Module) -> None:
    """Put them in training mode, which cuDNN wants for a backward; without dropout it is the same function."""
    for module in network.modules():
        if isinstance(module, nn.RNNBase):
            module.dropout = 0.0
            module.train()
