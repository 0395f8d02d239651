"""How every heat bath reads its parameters: as float64 tensors that schedules change in place."""

from __future__ import annotations

import torch
from torch import Tensor

from thermostats import noise


class Readable:
    """Shows a bath's parameters as plain numbers, exactly: Langevin(temperature=0.1, friction=1.0)."""

    def __repr__(self) -> str:
        shown = (
            f"{name}={value.flatten().tolist() if value.ndim else value.item()}"
            if isinstance(value, Tensor)
            else f"{name}={value!r}"
            for name, value in vars(self).items()
        )
        return f"{type(self).__name__}({', '.join(shown)})"


Value = float | Tensor
"""A number, or a (replicas, 1) tensor where it differs by replica."""


def temperature(value: Value) -> Tensor:
    """Return a temperature T >= 0 (k_B = 1) as a new float64 tensor, () or (replicas, 1).

    Raises ValueError where it is negative, not finite or of another shape.
    """
    return _read("temperature", value, lowest="not negative")


def rate(name: str, value: Value) -> Tensor:
    """Return a friction or a collision rate >= 0 (1/time) as a new float64 tensor; raises as temperature."""
    return _read(name, value, lowest="not negative")


def time(name: str, value: Value) -> Tensor:
    """Return a relaxation time > 0 as a new float64 tensor; raises ValueError where it is not positive."""
    return _read(name, value, lowest="positive")


def length(name: str, value: Value) -> Tensor:
    """Return a length > 0, which may be infinite, as a new float64 tensor; raises ValueError else."""
    return _read(name, value, lowest="positive", finite=False)


def _read(name: str, value: Value, *, lowest: str, finite: bool = True) -> Tensor:
    tensor = torch.as_tensor(value, dtype=torch.float64).clone()
    if tensor.ndim != 0 and (tensor.ndim != 2 or tensor.shape[1] != 1):
        raise ValueError(
            f"{name} has shape {tuple(tensor.shape)}; give a number, or a (replicas, 1) tensor to let it "
            f"differ by replica: torch.tensor(values)[:, None]"
        )
    allowed = tensor > 0 if lowest == "positive" else tensor >= 0
    if not (allowed & (torch.isfinite(tensor) | (not finite))).all():
        raise ValueError(f"{name} = {value} must be {'finite and ' if finite else ''}{lowest}")
    return tensor


def twice_kinetic(p: Tensor, m: Tensor) -> Tensor:
    """2K = sum_i p_i^2/m_i of every replica: p (replicas, dof), m (dof,) -> (replicas, 1) float64."""
    return (p.square() / m).sum(-1, keepdim=True, dtype=torch.float64)


def maxwell(p: Tensor, m: Tensor, temperature: Tensor, source: Tensor | None = None) -> Tensor:
    """Return fresh momenta like p, each normal with variance m T: (replicas, dof); `source` as in noise."""
    numbers = torch.randn_like(p) if source is None else noise.normal(p, source)
    return numbers * torch.sqrt(temperature * m).to(p.dtype)
