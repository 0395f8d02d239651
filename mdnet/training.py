"""Minimisation: the energy's descent by Adam, all replicas at once and independent of each other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mdnet.priors import mirror
from mdnet.progress import Bar
from mdnet.system import ParticleSystem


def minimise(
    system: ParticleSystem,
    q: Tensor,
    steps: int,
    rate: float,
    *,
    progress: bool = True,
    every: int = 50,
    watch: Callable[[Tensor], None] | None = None,
) -> Tensor:
    """Return q (replicas, dof) after `steps` steps of Adam down the energy, with the learning rate `rate`.

    The full-batch gradient is -f; Adam works on each number by itself, so replicas do not mix. `watch` is
    called with the positions before the first step and after every `every` steps, to see and not to change.

    Raises ValueError for steps < 0 or a rate that is not positive, and where a replica diverges.

    Reference: Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015, arXiv:1412.6980.
    """
    if steps < 0 or not rate > 0 or every < 1:
        raise ValueError(f"steps = {steps} must not be negative, rate = {rate} positive, every = {every} at least one")
    q = q.to(device=system.device, dtype=system.dtype, copy=True)
    adam = torch.optim.Adam([q], lr=rate, fused=True)
    with Bar(steps, show=progress, title="Adam") as bar:
        for step in range(steps):
            u, f = system.force(q)
            if step % every == 0:
                bar.update(step, {"potential_energy": u.cpu().numpy()})
                if watch is not None:
                    watch(q)
            q.grad = -f
            adam.step()
            if system.walls is not None:
                q.copy_(mirror(q, system.walls)[0])
        bar.update(steps, {})
    if watch is not None and steps % every == 0:
        watch(q)
    lost = (~torch.isfinite(q).all(-1)).nonzero().flatten().tolist()
    if lost:
        raise ValueError(f"Adam diverged in replica {lost[0]} ({len(lost)} of {len(q)}); take a rate below {rate}")
    return q
