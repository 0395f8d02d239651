"""Walker steps per second on a table of S(ln L_train, ln L_test), beside the update that was published."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import mse_loss

import mdnet as md
from integrators import BAOAB, Splitting
from mdnet import timing
from mdnet.bench.rate import Timing
from mdnet.bench.table import Table as Shown
from mdnet.bench.table import Value
from mdnet.landscape import Axis, BiasedForce, LogLoss, OneOverT, Recorded, Table, Variable, WangLandau
from thermostats import Langevin

POINTS, WIDTH, WALKERS, EVERY, BLOCK = 100, 30, 64, 5, 50
X, Y = Axis.of_width("ln L_train", -3.0, 3.0, 0.02), Axis.of_width("ln L_test", -3.0, 4.0, 0.02)
COLUMNS = {
    "what": "what", "flat": "flat in", "walkers": "walkers", "rate": "walker steps/s", "over_peer": "/ published",
    "over_gradient": "step / gradient",
}  # fmt: skip


def landscape_table(threads: int, how: Timing, walkers: int = WALKERS) -> Shown:
    """Time walkers on the 2-30-30-1 network of the spiral regression in turn with one published walker."""
    with timing.pinned(threads):
        torch.set_num_threads(threads)
        runs = {"x and y, in learning": _walk(walkers, both=True), "x, y recorded": _walk(walkers, both=False)}
        runs["x, in learning"] = _walk(walkers, both=False, learn=True)
        peer, q = Published(), next(iter(runs.values())).phase.q.clone()
        gradient = next(iter(runs.values())).system.force
        calls: dict[str, Callable[[], object]] = {"peer": peer, "gradient": lambda: gradient.slope(q)}
        calls |= {name: lambda run=run: run.run(BLOCK, progress=False) for name, run in runs.items()}  # type: ignore[misc]
        times = timing.turns(calls, rounds=how.rounds, seconds=how.seconds)
    rows: list[dict[str, Value]] = [
        {"what": "published update", "flat": "x and y", "walkers": 1, "rate": 1 / statistics.median(times["peer"]),
         "over_peer": 1.0, "how": "one network, torch autograd, 81 x 81 deposit"}
    ]  # fmt: skip
    for name, run in runs.items():
        step = [seconds / BLOCK for seconds in times[name]]
        rows.append({
            "what": "mdnet", "flat": name, "walkers": walkers, "rate": walkers / statistics.median(step),
            "over_peer": walkers * timing.ratio(times["peer"], step),
            "over_gradient": timing.ratio(step, times["gradient"]), "how": repr(run.stepper),
        })  # fmt: skip
    title = f"2-{WIDTH}-{WIDTH}-1 ReLU, {POINTS} points, {threads} thread(s); medians of {how.rounds} turns"
    return Shown("landscape", title, COLUMNS, rows)


def _data() -> tuple[Tensor, Tensor]:
    """Random points in the square, with the sine of a spiral: a time does not depend on which."""
    generator = torch.Generator().manual_seed(1)
    x = 10 * torch.rand(POINTS, 2, generator=generator) - 5
    return x, torch.sin(torch.atan2(x[:, 1], x[:, 0]) - 2 * x.norm(dim=-1))[:, None]


def _network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return md.networks.mlp(2, 1, (WIDTH, WIDTH), activation="relu")


def _halfwidths(network: torch.nn.Module) -> dict[str, float]:
    named = network.named_parameters()
    return {name: 2 / (p.numel() / p.shape[1] if p.ndim > 1 else p.numel()) ** 0.5 for name, p in named}


def _walk(walkers: int, *, both: bool, learn: bool = False) -> md.Simulation:
    """Walkers that are flat in x and y and learn, or in x, and record y or learn."""
    network, (x, y), half = _network(), _data(), POINTS // 2
    system = md.ParticleSystem(
        network, mse_loss, x[:half], y[:half], replicas=walkers, prior=md.Box(_halfwidths(network))
    )
    train, test = LogLoss(system, X.name), LogLoss(system, Y.name, inputs=x[half:], targets=y[half:])
    variables: list[Variable] = [train, test] if both else [train]
    force = BiasedForce(system, variables, Table([X, Y] if both else [X], walkers))
    record = [] if both or learn else [Recorded(Y, test)]
    action = WangLandau(
        OneOverT(0.1, 10_000, 100_000), 10**9 if both or learn else 0, every=EVERY, record=record, write=10**9
    )
    splitting = Splitting(BAOAB, force, 0.003, Langevin(1.0, friction=3.0))
    start = system.positions(seed=1)
    return md.Simulation(system, splitting, positions=start, actions=[action], reporters=[md.Scalars(10**9)])


@dataclass
class Published:
    """One step of one walker as arXiv:2503.13145 describes it, in plain torch on flat tensors.

    Two losses and their gradients by autograd; S_x and S_y by central differences of the table on [-20, 20]^2 in bins
    of .02; kick, friction with noise, drift, walls that reflect; a Gaussian of 10 bins, cut at 4 of them, on the table.
    """

    friction: float = 3e-5
    dt: float = 5e-5
    weight: float = 1e-3

    def __post_init__(self) -> None:
        network = _network().requires_grad_(False)
        (x, y), half = _data(), POINTS // 2
        self.data = (x[:half], y[:half]), (x[half:], y[half:])
        self.network, widths = network, _halfwidths(network)
        named = dict(network.named_parameters())
        self.shapes = {name: (p.shape, p.numel()) for name, p in named.items()}
        self.walls = torch.cat([torch.full((p.numel(),), widths[name]) for name, p in named.items()])
        self.q = torch.cat([p.flatten() for p in named.values()]).clamp(-self.walls, self.walls)
        self.v = torch.randn_like(self.q)
        self.table = torch.zeros(2000, 2000, dtype=torch.float64)
        hill = torch.exp(-0.5 * (torch.arange(-40, 41, dtype=torch.float64) / 10).square())
        self.hill = torch.outer(hill, hill) / hill.sum().square() * self.weight

    def __call__(self) -> None:
        """Advance by one step."""
        (x, gx), (y, gy) = (self._variable(*rows) for rows in self.data)
        i, j = int((x + 20) / 0.02), int((y + 20) / 0.02)
        s = self.table
        sx, sy = ((float(a) - float(b)) / 0.04 for a, b in ((s[i + 1, j], s[i - 1, j]), (s[i, j + 1], s[i, j - 1])))
        g, v, q = self.friction, self.v, self.q
        v.add_(gx, alpha=-sx * self.dt).add_(gy, alpha=-sy * self.dt)
        v.mul_(1 - g).add_(torch.randn_like(v), alpha=-((g * (2 - g)) ** 0.5))
        q.add_(v, alpha=self.dt)
        beyond = q.abs() > self.walls
        torch.where(beyond, q.sign() * 2 * self.walls - q, q, out=q)
        v.mul_(1 - 2 * beyond.to(v.dtype))
        s[i - 40 : i + 41, j - 40 : j + 41] += self.hill

    def _variable(self, inputs: Tensor, targets: Tensor) -> tuple[float, Tensor]:
        q = self.q.detach().requires_grad_(True)
        pieces = torch.split(q, [count for _, count in self.shapes.values()])
        named = {name: piece.view(shape) for (name, (shape, _)), piece in zip(self.shapes.items(), pieces, strict=True)}
        x = torch.log(mse_loss(functional_call(self.network, named, (inputs,)), targets))
        return float(x.detach()), torch.autograd.grad(x, q)[0]
