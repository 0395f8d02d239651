"""Collective variables: functions x(q) of the weights whose density of states is wanted, with their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from mdnet.distributed.parts import system_part
from mdnet.identity import digest
from mdnet.routes.choice import ASKED
from mdnet.system import Loss, ParticleSystem

Function = Callable[[Tensor], Tensor]
"""The parameters of one network (dof,) -> a number ()."""


class Variable(Protocol):
    """A function of positions q (replicas, dof), which lie in the box where there is one."""

    name: str

    def __call__(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return x(q) (replicas,) float64 and its gradient dx/dq (replicas, dof)."""

    def value(self, q: Tensor) -> Tensor:
        """Return x(q) (replicas,) float64 alone, which may be no smooth function."""

    def part(self, rows: slice) -> Variable:
        """Return the variable of these replicas, where a run is divided."""


class Mean:
    """A mean over data of what a network says, such as an accuracy:

        x(q) = mean_rows metric(network_q(inputs), targets)

    `metric`: a function of (output, targets) that returns a mean, as a loss is; by default the system's loss.
    `inputs`, `targets` (n, ...): by default the system's own. It is computed as a system's force is, by the fastest
    route that fits. Raises what `ParticleSystem` raises for data and metrics that do not fit.
    """

    def __init__(
        self,
        system: ParticleSystem,
        name: str,
        *,
        metric: Loss | None = None,
        inputs: Tensor | None = None,
        targets: Tensor | None = None,
    ) -> None:
        if (inputs is None) != (targets is None):
            raise ValueError(f"the variable {name!r} needs inputs and targets, or neither for the system's own")
        self.name = name
        own = metric is None and inputs is None
        self.system = system if own else _seeing(system, metric or system.loss, inputs, targets)

    def __call__(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean (replicas,) float64 and its gradient (replicas, dof)."""
        mean, gradient = self.system.force.slope(q)
        return mean.double(), gradient

    def value(self, q: Tensor) -> Tensor:
        """Return the mean (replicas,) float64."""
        return self.system.force.mean_loss(q)

    def part(self, rows: slice) -> Mean:
        """Return the mean of these replicas."""
        part = type(self).__new__(type(self))
        data = slice(0, self.system.inputs.shape[0 if self.system.shares_data else 1])
        part.name, part.system = self.name, system_part(self.system, rows, data)
        return part

    @property
    def data(self) -> str:
        """The metric, and digests of inputs and targets, by which a resume knows the variable again."""
        seen = self.system
        metric = getattr(seen.loss, "__name__", None) or repr(seen.loss)
        return f"{metric} of {digest(seen.inputs)} -> {digest(seen.targets)}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"


class LogLoss(Mean):
    """The logarithm of a mean loss, x = ln L(q), dx/dq = (dL/dq)/L."""

    def __call__(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return ln L (replicas,) float64 and its gradient (replicas, dof)."""
        loss, gradient = super().__call__(q)
        return torch.log(loss), gradient / loss[:, None].to(gradient.dtype)

    def value(self, q: Tensor) -> Tensor:
        """Return ln L (replicas,) float64."""
        return torch.log(super().value(q))


class OfParameters:
    """A differentiable function of the parameters of one network, x = g(q): (dof,) -> ()."""

    def __init__(self, function: Function, name: str) -> None:
        self.name, self.function = name, function
        self._values, self._both = vmap(function), vmap(grad_and_value(function))

    def __call__(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return g (replicas,) float64 and its gradient (replicas, dof)."""
        gradient, value = self._both(q)
        return value.double(), gradient

    def value(self, q: Tensor) -> Tensor:
        """Return g (replicas,) float64."""
        value: Tensor = self._values(q)
        return value.double()

    def part(self, rows: slice) -> OfParameters:
        """Return itself: it knows no replicas."""
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"


def smooth_accuracy(sharpness: float) -> Loss:
    """Return the metric A~ = mean sigmoid(k (z_true - max z_wrong)) of logits z (n, classes) and labels (n,).

    It tends to the accuracy as the sharpness k grows. With one logit a row, labels 0 and 1, the margin is +z or -z.
    Raises ValueError unless k > 0. Reference: Yang, Zhang, Shang, Zhang, arXiv:2503.13145.
    """
    if not sharpness > 0:
        raise ValueError(f"sharpness = {sharpness} must be positive; 5 and 7 are usual")

    def smoothed(output: Tensor, targets: Tensor) -> Tensor:
        return torch.sigmoid(sharpness * margin(output, targets)).mean()

    smoothed.__name__ = f"smooth_accuracy({sharpness:g})"
    return smoothed


def margin(output: Tensor, targets: Tensor) -> Tensor:
    """Return z_true - max z_wrong (n,) of logits (n, classes) and labels (n,), or +z, -z of one logit a row."""
    if output.ndim == 1 or output.shape[-1] == 1:
        return output.flatten() * (2 * targets.flatten().to(output.dtype) - 1)
    labels = targets.long()[:, None]
    true = output.gather(-1, labels)[:, 0]
    wrong = output.scatter(-1, labels, float("-inf")).amax(-1)
    return true - wrong


def _seeing(system: ParticleSystem, metric: Loss, inputs: Tensor | None, targets: Tensor | None) -> ParticleSystem:
    """The same networks with another loss or other data."""
    index = None
    if inputs is None or targets is None:
        inputs, targets = system.inputs, system.targets
        if not system.shares_data:
            index = torch.arange(inputs.shape[0] * inputs.shape[1]).view(inputs.shape[:2])
            inputs, targets = inputs.flatten(0, 1), targets.flatten(0, 1)
    return ParticleSystem(
        system.network, metric, inputs, targets, replicas=system.replicas, dtype=system.dtype, device=system.device,
        index=index, precision=system.precision, route=system.route if system.why == ASKED else "auto",
    )  # fmt: skip
