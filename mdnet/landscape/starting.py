"""Where walkers start: inside the windows of their tables, with masses that suit the box."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mdnet.flatten import ParameterTable
from mdnet.landscape.bias import BiasedForce
from mdnet.landscape.table import Table
from mdnet.priors import Box, mirror
from trajectories.landscape.axes import Axis

_PATIENCE = 10  # the last stragglers are given up when none has come for one part in so many of the steps
_MOST = 0.8  # share of the walkers of a window that have to arrive by themselves
_NEAR = 0.02  # share of a window that counts as having arrived at its middle


def bring_inside(
    force: BiasedForce,
    q: Tensor,
    axes: Sequence[Axis] | None = None,
    *,
    targets: Tensor | None = None,
    steps: int = 5000,
    rate: float = 0.01,
) -> Tensor:
    """Return q (replicas, dof) with every walker's x inside its window, by Adam on the squared distance

        sum_v ((x_v - c_v)/w_v)^2/2

    to a target c in a window of width w. A walker stays where it first comes to its target in the first variable, or
    passes it, and is within the range of the others; these only pull where it is beyond.

    `force`: whose variables are meant. `q` (replicas, dof): such as fresh initialisations. `axes`: the window of all
    walkers, by default each one's own of the force's `Table`. `targets` (replicas,) of the first variable: by default
    evenly over the window, so that the walkers do not begin at one place.

    Networks can be dead, as of rectifiers that no row reaches: a walker that has not arrived after `steps` steps of the
    learning rate `rate` begins where the nearest of its window does. Raises ValueError for axes that do not fit the
    variables, targets beyond the window, and, naming a walker, where more than a fifth of a window has not arrived.
    """
    low, high, aim = _aims(force, axes, targets)
    found, arrived, x = _descend(force, q, low, high, aim, steps, rate)
    stand_in, share = _neighbours(arrived, low, aim)
    if (share < _MOST).any():
        raise ValueError(_lost(force, x, arrived, low, high, aim, steps))
    return torch.where(arrived[:, None], found, found[stand_in])


def masses_of_box(network: nn.Module, box: Box) -> dict[str, float]:
    """Return masses by parameter tensor, m = (min h/h)^2 with the halfwidths h of the box, the largest one being 1.

    At one temperature a coordinate moves at the speed sqrt(T/m), so that with these masses it crosses its box in the
    same time as any other, and none keeps the walkers waiting. The heaviest are those of the narrowest tensors.
    """
    table = ParameterTable(network)
    walls = box.walls(table)
    ratio = (walls.min() / walls).square()
    return {entry.name: float(ratio[entry.offset]) for entry in table.entries}


def _aims(force: BiasedForce, axes: Sequence[Axis] | None, targets: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Ends of every walker's window (replicas, variables), and where it shall go in the first variable (replicas,)."""
    low, high, place = _windows(force, axes)
    aim = low[:, 0] + place * (high - low)[:, 0] if targets is None else targets.to(low)
    if aim.shape != low[:, 0].shape or not ((aim >= low[:, 0]) & (aim < high[:, 0])).all():
        raise ValueError(f"targets {targets} have to be (replicas,) = ({len(low)},), each inside its walker's window")
    return low, high, aim


def _descend(
    force: BiasedForce, q: Tensor, low: Tensor, high: Tensor, aim: Tensor, steps: int, rate: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Where walkers arrived (replicas, dof), whether they did (replicas,), and x (replicas, variables) at the end."""
    walls, begin = force.system.walls, None
    q = q.to(device=force.system.device, dtype=force.system.dtype, copy=True)
    if walls is not None:
        q.copy_(mirror(q, walls)[0])
    found, arrived, quiet = q.clone(), torch.zeros(len(q), dtype=torch.bool, device=q.device), 0
    adam = torch.optim.Adam([q], lr=rate)
    for _ in range(steps + 1):
        x, q.grad = _pull(force, q, low, high, aim)
        begin = x[:, 0] - aim if begin is None else begin
        inside = ((x >= low) & (x < high)).all(-1)
        there = ((x[:, 0] - aim) * begin <= 0) | ((x[:, 0] - aim).abs() < _NEAR * (high - low)[:, 0])
        now = inside & there & ~arrived
        found.copy_(torch.where(now[:, None], q, found))
        arrived |= now
        quiet = 0 if now.any() else quiet + 1
        if arrived.all() or (quiet > steps // _PATIENCE and arrived.float().mean() >= _MOST):
            break
        adam.step()
        if walls is not None:
            q.copy_(mirror(q, walls)[0])
    return found, arrived, x


def _neighbours(arrived: Tensor, low: Tensor, aim: Tensor) -> tuple[Tensor, Tensor]:
    """The arrived walker of the same window with the nearest target, and the share of it that arrived (replicas,)."""
    same = (low[:, None] == low).all(-1)
    away = (aim[:, None] - aim).abs().masked_fill(~(same & arrived), torch.inf)
    return away.argmin(1), (same & arrived).sum(1) / same.sum(1)


def _windows(force: BiasedForce, axes: Sequence[Axis] | None) -> tuple[Tensor, Tensor, Tensor]:
    """Ends of every walker's window (replicas, variables), and its place in it (replicas,), from 0 to 1."""
    many, replicas, table = len(force.variables), force.system.replicas, force.bias
    if axes is None and isinstance(table, Table):
        bins = torch.tensor(table.entropy.shape[1:], dtype=torch.float64, device=table.low.device)
        low = table.low[table.owner]
        return low, low + bins * table.width, _places(table.owner)
    if axes is None or len(axes) != many:
        given = "no axes, and the bias is no Table" if axes is None else f"{len(axes)} axes"
        raise ValueError(f"{given}, for {many} variables; give axes, one for each variable, to say where inside is")
    ends = torch.tensor([[axis.low, axis.high] for axis in axes], dtype=torch.float64, device=force.system.device)
    low, high = (end.expand(replicas, many) for end in ends.T)
    return low, high, _places(torch.zeros(replicas, dtype=torch.long, device=low.device))


def _places(owner: Tensor) -> Tensor:
    """Where in its window each walker shall start (replicas,): those of one table evenly from end to end."""
    same = owner[:, None] == owner
    before = torch.tril(same, -1).sum(-1)
    return (before + 0.5) / same.sum(-1)


def _pull(force: BiasedForce, q: Tensor, low: Tensor, high: Tensor, aim: Tensor) -> tuple[Tensor, Tensor]:
    """X (replicas, variables) and the gradient (replicas, dof) of the distance to the targets."""
    values, gradients = zip(*(variable(q) for variable in force.variables), strict=True)
    x = torch.stack(values, -1)
    goal = torch.clamp(x, low + _NEAR * (high - low), high - _NEAR * (high - low))
    goal[:, 0] = aim
    slope = ((x - goal) / (high - low).square()).to(q.dtype)
    return x, torch.einsum("rv,vrd->rd", slope, torch.stack(gradients))


def _lost(force: BiasedForce, x: Tensor, arrived: Tensor, low: Tensor, high: Tensor, aim: Tensor, steps: int) -> str:
    first = int((~arrived).nonzero()[0])
    names = [variable.name for variable in force.variables]
    return (
        f"{int((~arrived).sum())} of {len(x)} walkers did not arrive in {steps} steps, such as replica {first}: its "
        f"{names} are {x[first].tolist()}, to come to {float(aim[first]):g} in the window from {low[first].tolist()} "
        f"to {high[first].tolist()}; take more steps, another rate, another start, or a window that can be reached"
    )
