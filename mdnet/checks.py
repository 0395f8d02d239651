"""Errors told before a run starts: data that does not fit the loss, layers that cannot be vectorised."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def check_data(inputs: Tensor, targets: Tensor, index: Tensor | None, replicas: int) -> None:
    """Raise ValueError where data have NaN or no rows, differ in length, or the index does not fit them."""
    for name, data in (("inputs", inputs), ("targets", targets)):
        if not isinstance(data, Tensor):
            raise ValueError(f"{name} is a {type(data).__name__}; give a tensor: torch.as_tensor({name})")
        if data.ndim == 0 or len(data) == 0:
            raise ValueError(f"{name} has shape {tuple(data.shape)}; the first dimension counts the data, one or more")
        wrong = int((~torch.isfinite(data)).sum()) if data.is_floating_point() else 0
        if wrong:
            raise ValueError(
                f"{name} has {wrong} values that are NaN or infinite, the first in row "
                f"{int((~torch.isfinite(data)).nonzero()[0][0])}; remove or impute them"
            )
    if len(inputs) != len(targets):
        raise ValueError(f"{len(inputs)} inputs but {len(targets)} targets; there must be as many of each")
    if index is not None:
        if index.dtype != torch.int64 or index.ndim != 2 or len(index) != replicas:
            raise ValueError(
                f"index is {index.dtype} of shape {tuple(index.shape)}; it must be int64 of shape "
                f"(replicas = {replicas}, rows)"
            )
        if not ((index >= 0) & (index < len(inputs))).all():
            raise ValueError(f"index has rows outside 0 to {len(inputs) - 1}, the rows of the data")


def check_output(loss: Callable[[Tensor, Tensor], Tensor], output: Tensor, targets: Tensor) -> None:
    """Raise ValueError where the loss refuses (output, targets), broadcasts them, or returns no mean."""
    shapes = f"output {tuple(output.shape)} {output.dtype}, targets {tuple(targets.shape)} {targets.dtype}"
    name = getattr(loss, "__name__", type(loss).__name__)
    remedy = "regression wants float targets of the output's shape, cross_entropy int64 class numbers (n,)"
    if targets.is_floating_point() and targets.numel() == output.numel() and targets.shape != output.shape:
        raise ValueError(f"loss {name} would broadcast {shapes}; {remedy}: targets.reshape({tuple(output.shape)})")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            value = loss(output, targets)
    except Exception as error:
        raise ValueError(f"loss {name} fails on {shapes}: {error}; {remedy}") from error
    if value.ndim != 0:
        raise ValueError(f"loss {name} returned shape {tuple(value.shape)}; it must return a mean, a single number")
    if not value.is_floating_point():
        raise ValueError(f"loss {name} returned {value.dtype}; it must return a floating-point mean")


@contextmanager
def layer_of_failure(network: nn.Module, what: str) -> Iterator[None]:
    """Turn an error inside the network's forward into a ValueError that names the layer it came from."""
    trail = [("the network", network)]
    names = {module: name or "the network" for name, module in network.named_modules()}

    def enter(module: nn.Module, _: object) -> None:
        trail.append((names[module], module))

    def leave(*_: object) -> None:
        trail.pop()

    hooks = [h for m in network.modules() for h in (m.register_forward_pre_hook(enter), m.register_forward_hook(leave))]
    try:
        yield
    except Exception as error:
        name, module = trail[-1]
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"layer {name!r} ({type(module).__name__}) {what}: {reason} -- replace it by a layer without "
            "in-place buffers, data-dependent control flow or .item(), or take route = 'module', one replica at a time"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
