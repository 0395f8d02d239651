"""Forces of fewer digits: TF32 or bfloat16 inside the network, float32 outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor
from torch.func import functional_call

from mdnet.spelling import unknown

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem

Precision = Literal["float32", "tf32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def check(precision: str, device: torch.device, dtype: torch.dtype) -> None:
    """Raise ValueError for an unknown precision, for TF32 off a GPU, and for a reduced one with float64 positions."""
    if precision not in PRECISIONS:
        raise ValueError(unknown("precision", precision, PRECISIONS))
    if precision != "float32" and dtype != torch.float32:
        raise ValueError(
            f"precision = {precision!r} with {str(dtype).removeprefix('torch.')} positions; forces of fewer digits are "
            "for float32 positions: leave precision = 'float32', or dtype = float32"
        )
    if precision == "tf32" and device.type != "cuda":
        raise ValueError(
            f"precision = 'tf32' is arithmetic of NVIDIA GPUs, and the device is {str(device)!r}; take "
            "device = 'cuda', or precision = 'float32' or 'bf16'"
        )


@contextmanager
def products(precision: Precision, device: torch.device) -> Iterator[None]:
    """Have matrix products and convolutions on a GPU in TF32 for "tf32", in float32 else, inside the block.

    Without it torch has products in float32, but convolutions in TF32: what "float32" says would not hold.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    _allow(precision == "tf32", precision == "tf32")
    try:
        yield
    finally:
        _allow(*before)


def _allow(matmul: bool, convolution: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, convolution


def bf16_output(system: ParticleSystem, q: Tensor, inputs: Tensor) -> Tensor:
    """Return the network's output (n, ...) at q (dof,), computed in bfloat16, in float32."""
    inside = system.table.unflatten(q) | dict(system.network.named_buffers())
    rounded = {name: _bf16(x) for name, x in inside.items()}
    output: Tensor = functional_call(system.network, rounded, (_bf16(inputs),)).float()
    return output


def _bf16(x: Tensor) -> Tensor:
    return x.bfloat16() if x.is_floating_point() else x
