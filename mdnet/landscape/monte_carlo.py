"""Walkers without momenta: Metropolis moves of a few parameters, which need no gradient of the variables."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from integrators import Phase
from integrators.metropolis import Proposing
from integrators.parameters import checked
from mdnet.force import mirrored
from mdnet.landscape.bias import BiasedForce
from mdnet.landscape.moves import Move
from mdnet.landscape.table import Table
from mdnet.system import ParticleSystem


class BiasedEnergy(BiasedForce):
    """U(q) = T b(x(q)) + prior(q) of a `BiasedForce` without its force: of the variables only values are asked.

    phase.f and `gradients` stay zero.
    """

    def __call__(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Return u (replicas,) float64 and zeros (replicas, dof) at q (replicas, dof)."""
        image = mirrored(self.system, q)[0]
        self.slope(image)
        return self.potential(image, self.x), torch.zeros_like(q)

    def slope(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate and keep x at q inside the box; return T b (replicas,) over the system's scale, and a zero ()."""
        self.x.copy_(self.look(q))
        return self.temperature / self.system.scale * self.bias(self.x)[0], q.new_zeros(())

    def refresh(self, phase: Phase) -> None:
        """Bring phase.u to the bias as it is now, at the x that are kept."""
        phase.u.copy_(self.potential(phase.q, self.x))

    def potential(self, q: Tensor, x: Tensor) -> Tensor:
        """Return U (replicas,) float64 at q (replicas, dof), where the variables are x (replicas, variables)."""
        u, stiffness = self.temperature * self.bias(x)[0], self.system.stiffness
        return u if stiffness is None else u + 0.5 * (stiffness * q * q).sum(-1, dtype=torch.float64)

    def part(self, own: ParticleSystem, rows: slice) -> BiasedEnergy:
        """Return the energy of these replicas, of which `own` is the system."""
        part = super().part(own, rows)
        return BiasedEnergy(part.system, part.variables, part.bias, part.temperature)


class MonteCarlo(Proposing):
    """Metropolis Monte Carlo: one call proposes q' for every replica, and accepts it with the probability

        min(1, e^{-(U(q') - U(q))/T}),   U = T b(x(q)) + prior,   and never outside of the box or the table's window

    With a `Table` that learns (`WangLandau`) it is the sampling of Wang and Landau. No gradient is evaluated, so that
    variables need no more than `value`. It samples e^{-U/T} at any width, which sets the acceptance alone.

    `force`: a BiasedForce, of which the integrator takes system, variables and bias; its own, which keeps x, is the
    attribute `force`. `move`: OneParameter, AllParameters or Flip. `temperature`: the force's. The move's width is the
    attribute `dt`, so that AdaptStep(steps, every=1, acceptance=0.5) adapts and then freezes it; let it end before
    WangLandau counts. phase.bath holds the books of `Proposing`, dE being dU, inf beyond box and window; then x.

    Raises ValueError for another force, another temperature than the force's, and widths that are not positive.

    References: Metropolis et al., J. Chem. Phys. 21, 1087 (1953); Wang, Landau, Phys. Rev. Lett. 86, 2050 (2001).
    """

    has_momenta: ClassVar[bool] = False
    force: BiasedEnergy

    def __init__(self, force: BiasedForce, move: Move, temperature: float = 1.0) -> None:
        if not isinstance(force, BiasedForce) or temperature != force.temperature:
            raise ValueError(
                f"MonteCarlo at temperature {temperature} with the force {force!r}: it needs a BiasedForce(system, "
                "variables, bias, temperature) at its own temperature"
            )
        energy = BiasedEnergy(force.system, force.variables, force.bias, force.temperature)
        width = checked("width", move.width, lambda w: w > 0, "positive")
        super().__init__(energy, width, torch.tensor(temperature, dtype=torch.float64))
        self.move = move

    def start(self, q: Tensor, p: Tensor, m: Tensor) -> Phase:
        """Return the phase at q (replicas, dof) with masses m (dof,); q and p become its buffers."""
        phase = super().start(q, p, m)
        phase.bath = (*phase.bath, self.force.x)  # a resume restores x by the bath
        return phase

    def __call__(self, phase: Phase) -> None:
        """Make one proposal for every replica, and accept or reject it, in place."""
        force = self.force
        proposal = self.move(phase.q, self.dt)
        image = mirrored(force.system, proposal)[0]  # as the walls will leave it, to the last bit
        x = force.look(image)
        allowed = self._allowed(proposal, x)
        x = torch.where(allowed[:, None], x, force.x)
        u = force.potential(image, x)
        accept = self.decide(torch.where(allowed, u - phase.u, torch.inf), phase)
        phase.q.copy_(torch.where(accept[:, None], image, phase.q))
        phase.u.copy_(torch.where(accept, u, phase.u))
        force.x.copy_(torch.where(accept[:, None], x, force.x))

    def strain(self, frequency: Tensor) -> Tensor:
        """Return zeros (replicas,): no width is unstable."""
        return torch.zeros_like(frequency)

    def select(self, phase: Phase, rows: Tensor) -> None:
        """Put replica r where replica rows[r] is, rows (replicas,), with its x."""
        super().select(phase, rows)
        phase.bath[4].copy_(phase.bath[4][rows])

    def _allowed(self, q: Tensor, x: Tensor) -> Tensor:
        """Whether q (replicas, dof) lies in the box and x (replicas, variables) in the table's window: (replicas,)."""
        walls, bias = self.force.system.walls, self.force.bias
        allowed = torch.isfinite(x).all(-1)
        if walls is not None:
            allowed &= (q.abs() <= walls).all(-1)
        return allowed & bias.inside(x) if isinstance(bias, Table) else allowed

    def __repr__(self) -> str:
        return f"MonteCarlo({self.force!r}, {self.move!r})"


def walk_inside(force: BiasedForce, q: Tensor, move: Move, *, steps: int = 10_000, seed: int = 0) -> Tensor:
    """Return q (replicas, dof) with every walker's x inside the window of its table, by moves that are accepted with

        min(1, e^{d - d'}),   d: the distance of x to the window, in bins,   and never outside of the box

    Who has arrived stays. For variables without gradient; others are brought inside by `bring_inside`.

    Raises ValueError without a Table, for a q outside of the box, and where some do not arrive in `steps` moves.
    """
    table, walls = force.bias, force.system.walls
    if not isinstance(table, Table) or (walls is not None and not (q.abs() <= walls).all()):
        raise ValueError(f"the bias {type(table).__name__} has to be a Table, and q has to lie in the box")
    width = checked("width", move.width, lambda w: w > 0, "positive").to(q.device)
    x = force.look(q)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for _ in range(steps):
            if (arrived := table.inside(x)).all():
                return q
            proposal = move(q, width)
            there = force.look(proposal)
            nearer = _distance(table, x) - _distance(table, there)
            accept = ~arrived & (torch.log(torch.rand_like(nearer)) < nearer)
            if walls is not None:
                accept &= (proposal.abs() <= walls).all(-1)
            q, x = torch.where(accept[:, None], proposal, q), torch.where(accept[:, None], there, x)
    first = int((~table.inside(x)).nonzero()[0])
    raise ValueError(
        f"{int((~table.inside(x)).sum())} of {len(q)} walkers did not come into their windows in {steps} moves, such "
        f"as replica {first} at {x[first].tolist()}; take more steps, a wider move, or a window that can be reached"
    )


def _distance(table: Table, x: Tensor) -> Tensor:
    """How far x (replicas, variables) is from each walker's window, in bins (replicas,)."""
    place = (x - table.low[table.owner]) / table.width
    bins = torch.tensor(table.entropy.shape[1:], device=x.device)
    return (place - place.clamp(min=torch.zeros_like(bins), max=bins)).abs().nan_to_num(torch.inf).sum(-1)
