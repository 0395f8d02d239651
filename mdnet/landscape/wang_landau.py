"""Wang-Landau sampling: walkers that fill a table of S(x) until all x are equally likely, then count with it frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from integrators import Integrator, Phase, Splitting, kinetic_energy
from mdnet.distributed.world import ALONE, World
from mdnet.landscape.bias import force_and_table
from mdnet.landscape.confinement import Confinement
from mdnet.landscape.counts import Counts
from mdnet.landscape.exchange import WindowExchange
from mdnet.landscape.steps import PlacedSteps, StepsByPlace
from mdnet.landscape.variables import Variable
from mdnet.landscape.weights import Weights
from mdnet.system import ParticleSystem
from trajectories.landscape.axes import Axis


class Recorded(NamedTuple):
    """A variable that is counted, and not made flat: its axis, and itself."""

    axis: Axis
    variable: Variable


class WangLandau:
    """Learns S(x) for `learn` steps, then freezes it and counts: an Action for an integrator with a `BiasedForce`.

    Learning:    S <- S + w(t) K(. - x_r) of all walkers r, every `every` steps        (b = S pushes them away)
    Production:  ln Omega(x) = S(x) + ln H_w(x),   H_w = sum of e^{S(x_r) - S_bin}     (exact, however S was learnt)

    The force's bias is the `Table`. Before each visit is counted, a Metropolis test keeps the walkers in their windows
    and removes the error of the time step (`Confinement`). `weights`: w(t), see mdnet.landscape.weights. `every`:
    steps between visits; `smooth`: visits that are gathered before the kernel is applied. `record`: variables counted
    beside those of the table, so that ln Omega(x, y) comes of a table of x alone. `exchange`: visits between attempts
    of neighbouring windows to swap walkers, 0 for none. `settle`: steps after learning that are not counted. `steps`: a
    time step that follows x (`StepsByPlace`). `write`: steps between tables in the file, by default a 20th of `learn`,
    or 1000 visits; all are cumulative, so that halves of a run are differences. Let `write` divide the steps of a run:
    what follows the last table is in the checkpoint alone.

    Writes, each (tables, *bins) and "learnt" by all replicas together: "learnt/landscape/entropy" S; "visits",
    "weights" H_w of production, over the table's and the recorded axes; "kinetic", the sum of 2K/N_f in each bin of the
    table; "tested", (3, tables): tests, accepted tests and round trips of each table. Where several ranks share the
    replicas, S is to the bit what one process learns, and sums of weights are the same to rounding; they talk at every
    smoothing, which `smooth` makes rare.

    Raises ValueError for an integrator whose force is not biased by a table, whose temperature is another than the
    force's or that is not canonical, for walkers that start outside their window, and values out of range.

    References: Wang, Landau, Phys. Rev. Lett. 86, 2050 (2001); Belardinelli, Pereyra, Phys. Rev. E 75, 046701 (2007);
    Yang, Zhang, Shang, Zhang, arXiv:2503.13145 (2025).
    """

    world: World = ALONE

    def __init__(
        self,
        weights: Weights,
        learn: int,
        *,
        every: int = 1,
        smooth: int = 1,
        record: Sequence[Recorded] = (),
        exchange: int = 0,
        settle: int = 0,
        steps: StepsByPlace | None = None,
        write: int | None = None,
    ) -> None:
        if min(every, smooth) < 1 or min(learn, exchange, settle) < 0:
            raise ValueError(
                f"learn = {learn}, settle = {settle}, every = {every}, smooth = {smooth}, exchange = {exchange}: every "
                "and smooth are one or more, the others not negative"
            )
        self.weights, self.learn, self.every, self.smooth = weights, learn, every, smooth
        self.record, self.exchange, self.settle, self.steps = tuple(record), exchange, settle, steps
        self.sets = () if steps is None else ("dt",)
        wanted = (learn // 20 or 1000 * every) if write is None else write
        self.write = max(every, wanted - wanted % every)

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters by name: what repr shows."""
        names = "weights", "learn", "every", "smooth", "exchange", "settle", "steps", "write"
        record = [(each.axis, str(getattr(each.variable, "data", ""))) for each in self.record]
        return {name: getattr(self, name) for name in names} | {"record": record}

    def start(self, system: ParticleSystem, integrator: Integrator, phase: Phase) -> None:
        """Take the table from the integrator's force, where the walkers have to be in their windows."""
        self.force, self.table = force_and_table(integrator)
        self.integrator, self.visits = integrator, 0
        self.waiting: list[Tensor] = []  # each (replicas, 2), bins and weights of a visit
        inside = self.table.inside(self.force.x)
        if not inside.all():
            first = int((~inside).nonzero()[0])
            raise ValueError(
                f"{int((~inside).sum())} of {len(inside)} walkers start outside their window, such as replica {first} "
                f"at {self.force.x[first].tolist()}; bring them inside with mdnet.landscape.bring_inside, "
                "or walk_inside where a variable has no gradient"
            )
        self.counts = Counts(self.table, self.record, self.world)
        self.swaps = WindowExchange(self.table, self.world) if self.exchange else None
        self.force.refresh(phase)
        self.confinement = Confinement(integrator, self.force, phase)
        self.placed = None
        if self.steps is not None:
            self.placed = PlacedSteps(self.steps, integrator, self.table.axes[0].high, self.force.x)
            with self.world.by_row():
                self.placed.choose(self.force.x)
        self.phase = phase

    def __call__(self, step: int, phase: Phase) -> Mapping[str, Tensor]:
        """Test, count or learn, exchange windows; return the tables when it is time to write them."""
        force = self.force
        self.confinement.look(phase)
        inside = self.table.inside(force.x)
        if self.placed is not None:
            inside &= self.placed.stays(force.x)
        with self.world.by_row():
            accept = self.confinement(phase, inside)
        self.visits += 1
        self.counts.test(force.x, accept)
        if step <= self.learn:
            self._learn(step, force.x)
        elif step > self.learn + self.settle:
            recorded = [each.variable.value(phase.q) for each in self.record]
            self.counts.add(force.x, recorded, self._warmth(phase))
        if self.swaps is not None and self.visits % self.exchange == 0:
            self.swaps(force.x)
        force.refresh(phase)
        with self.world.by_row():
            self.confinement.keep(phase)
            if self.placed is not None:
                self.placed.choose(force.x)
        return self.report() if step % self.write == 0 else {}

    def _learn(self, step: int, x: Tensor) -> None:
        """Let this visit's weights wait, and bring what waits into the table when it is time."""
        table = self.table
        weight = self.weights(step, table(x)[0])
        weights = torch.as_tensor(weight, dtype=torch.float64, device=x.device).expand(len(x))
        self.waiting.append(torch.stack([table.cells(x).double(), weights], -1))
        if self.visits % self.smooth == 0 or step > self.learn - self.every:
            self._pour()
            table.smooth(table.hits)

    def _pour(self) -> None:
        """Put what waits on all ranks into each one's table, in the order of replicas: sums are those of one rank."""
        if self.waiting:
            hits = self.world.gather(torch.stack(self.waiting, 1)).transpose(0, 1).reshape(-1, 2)
            self.table.hit(hits[:, 0].long(), hits[:, 1])
            self.waiting = []

    def report(self) -> Mapping[str, Tensor]:
        """Return the tables as they are written."""
        found = {"entropy": self.table.entropy.clone(), **self.counts.totals()}
        if self.swaps is not None:
            found["swaps"] = self.swaps.totals()
        return {f"learnt/landscape/{name}": value for name, value in found.items()}

    def state(self) -> dict[str, Tensor]:
        """Return tables, counts, and where the walkers were at the last test."""
        self._pour()
        gather = self.world.gather
        state = {f"last/{name}": value for name, value in self.confinement.state(gather).items()}
        state |= {"entropy": self.table.entropy, "hits": self.table.hits}
        state |= {"owner": gather(self.table.owner), "visits": torch.tensor(self.visits)}
        state |= {f"counts/{name}": value for name, value in self.counts.state().items()}
        if self.placed is not None:
            state |= {"band": gather(self.placed.low), "dt": gather(self.integrator.dt)}
        return state if self.swaps is None else state | {"swaps": self.swaps.state()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` returned; x and its gradients are evaluated anew, where the walkers are."""
        mine, table = self.world.mine, self.table
        table.entropy.copy_(state["entropy"])
        table.hits.copy_(state["hits"])
        table.owner.copy_(mine(state["owner"]))
        self.visits = int(state["visits"])
        self.counts.load({name[7:]: value for name, value in state.items() if name.startswith("counts/")})
        if self.swaps is not None:
            self.swaps.load(state["swaps"])
        if self.placed is not None:
            self.placed.low.copy_(mine(state["band"]))
            self.integrator.dt.copy_(mine(state["dt"]))
        last = {name[5:]: value for name, value in state.items() if name.startswith("last/")}
        self.confinement.load(last, mine, self.phase)

    def _warmth(self, phase: Phase) -> Tensor:
        """2K/N_f (replicas,), nan without momenta and where a method's own test knows better what they mean."""
        if not isinstance(self.integrator, Splitting):
            return torch.full_like(phase.u, float("nan"))
        return 2 * kinetic_energy(self.integrator.momenta(phase), phase.m) / phase.q.shape[-1]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.settings.items())})"
