"""Whether the energy of a particle system depends on the common scale of all its positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem

_SMALL = 1e-4


def scale_dependence(system: ParticleSystem, q: Tensor) -> float:
    """Return the largest |U(2q) - U(q)|/(1 + |U(q)|) over replicas, q (replicas, dof), U without the prior.

    Twice a binary number has the same digits: what is left of a scale-invariant network is the epsilon of its norms.
    """
    u, twice = (system.scale * system.force.mean_loss(x) for x in (q, 2 * q))
    return float(((twice - u).abs() / (1 + u.abs())).max())


def refuse_scale_dependent(system: ParticleSystem, q: Tensor) -> None:
    """Raise ValueError where the energy at q (replicas, dof), without the prior, depends on the scale of q."""
    found = scale_dependence(system, q)
    if found <= _SMALL:
        return
    entries = system.table.entries
    suspects = [entry.name for entry in entries if len(entry.shape) < 2] or [entries[-1].name]
    raise ValueError(
        f"the energy depends on the scale of the weights: |U(2q) - U(q)|/(1 + |U|) = {found:.2g}, allowed is "
        f"{_SMALL:g}. Leave out biases and the weights of norms, freeze the last layer (here look at "
        f"{', '.join(suspects[:6])}) and give norms a smaller eps, or take mdnet.networks.scale_invariant_mlp, "
        "scale_invariant_convnet, preact_resnet18 or unit_linear"
    )
