"""Where a run starts: positions and Maxwell-Boltzmann momenta of all replicas, of which each rank takes its own."""

from __future__ import annotations

import torch
from torch import Tensor

from integrators import Integrator, Phase
from mdnet.distributed.world import World
from mdnet.system import ParticleSystem
from thermostats.parameters import maxwell


def start(
    world: World,
    whole: ParticleSystem,
    integrator: Integrator,
    positions: Tensor | None,
    temperature: float | Tensor | None,
    *,
    counted: bool,
) -> Phase:
    """Return the phase of this rank's replicas.

    `positions` (replicas, dof) of the whole system, by default the network's own weights. `temperature`: of the
    momenta, by default the integrator's; at rest where there is none. `integrator`: of this rank's part. `counted`:
    whether random numbers are made by count.

    Raises ValueError for positions of the wrong shape or not finite, and for a negative temperature.
    """
    q = whole.positions() if positions is None else positions.detach()
    if q.shape != (whole.replicas, whole.dof) or not torch.isfinite(q).all():
        raise ValueError(
            f"positions have shape {tuple(q.shape)}; they must be finite and of shape "
            f"(replicas, dof) = ({whole.replicas}, {whole.dof})"
        )
    q = q.to(device=whole.device, dtype=whole.dtype, copy=True)
    p = torch.zeros_like(q)
    warmth = _temperature(world, integrator) if temperature is None else temperature
    if warmth is not None and integrator.has_momenta:
        warmth = torch.as_tensor(warmth, dtype=torch.float64, device=q.device)
        if not (warmth >= 0).all():
            raise ValueError(f"temperature = {temperature} must not be negative")
        p = maxwell(p, whole.masses, warmth)
    q, p = world.mine(q), world.mine(p)
    with world.draws(counted), world.by_row():
        phase = integrator.start(q, p, whole.masses)
    world.settle(integrator, phase)
    return phase


def _temperature(world: World, integrator: Integrator) -> Tensor | None:
    """The set temperature of all replicas."""
    own = integrator.temperature
    return own if own is None or not own.ndim else world.gather(own)
