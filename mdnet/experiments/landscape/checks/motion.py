"""How walkers move: uniform without a bias, at the set temperature in every bin, alike at every time step."""

from __future__ import annotations

from dataclasses import replace

import torch
from scipy.stats import kstest

from integrators import OBABO, Splitting
from mdnet.experiments.landscape.checks import walks
from mdnet.experiments.landscape.checks.walks import HALFWIDTH, Found
from mdnet.experiments.landscape.task import Walk
from mdnet.experiments.results import Array, Check
from mdnet.landscape import BiasedForce, Line
from mdnet.reporters import Scalars
from mdnet.simulation import Simulation, finish
from thermostats import Langevin

DOF, BIN = 10, 0.05
WALK = Walk(dt=0.05, friction=3.0, walkers=64, learn=4_000, count=16_000, every=4, peak=0.1)


def free_box(seed: int = 0, *, replicas: int = 2_000, steps: int = 400) -> Check:
    """Walkers without bias that begin in the middle of the box are uniform in it, each weight by itself."""
    system, variables = walks.quadratic([DOF], replicas)
    force = BiasedForce(system, variables, Line(0.0))
    middle = torch.full((replicas, DOF), 0.01, dtype=torch.float64)
    simulation = Simulation(
        system, Splitting(OBABO, force, 0.2, Langevin(1.0, 1.0)), positions=middle, seed=seed,
        reporters=[Scalars(steps)],
    )  # fmt: skip
    finish(simulation, steps, progress=False)
    weights = simulation.phase.q.flatten().numpy()
    found = kstest(weights, "uniform", args=(-HALFWIDTH, 2 * HALFWIDTH))
    measured = f"D = {found.statistic:.4f}, p = {found.pvalue:.2g} of {len(weights)} weights"
    return Check("free box: uniform (Kolmogorov-Smirnov)", "p > 0.001", measured, bool(found.pvalue > 0.001))


def steps(seed: int = 0, *, copies: int = 5, walk: Walk = WALK) -> tuple[list[Check], list[list[str]]]:
    """Return the claims on temperature and time step, and a row for each run, of which one goes without a test."""
    runs = {
        f"dt = {dt:g}": run(replace(walk, dt=dt), copies=copies, seed=seed + place)
        for place, dt in enumerate((2 * walk.dt, walk.dt, walk.dt / 2))
    }
    _, one, half = runs.values()
    bare = run(replace(walk, dt=2 * walk.dt), copies=copies, seed=seed, tests=False)
    warm = max(float(abs(each.warmth.mean(0) - 1).max()) for each in (one, half))
    hot = float(abs(bare.warmth.mean(0) - 1).max())
    apart = abs(difference(one, half)).max()
    checks = [
        Check("kinetic temperature in every bin", "within 2 % of T", f"off by {warm:.2%} at most", warm < 0.02),
        Check("dt halved: change of S", "< 0.1 k_B in every bin", f"{apart:.3f} k_B at most", bool(apart < 0.1)),
        Check(
            f"dt = {2 * walk.dt:g}, no Metropolis test: kinetic temperature",
            "more than 5 % off",
            f"{hot:.0%} off",
            hot > 0.05,
        ),
    ]
    shown = runs | {f"dt = {2 * walk.dt:g}, no Metropolis test": bare}
    return checks, [[name, *row(each)] for name, each in shown.items()]


def run(walk: Walk, *, copies: int, seed: int, tests: bool = True) -> Found:
    """Count the states of |q|^2/2."""
    return walks.harmonic(walk, DOF, copies=copies, bin=BIN, sigma=4.0, seed=seed, tests=tests)


def difference(one: Found, other: Found) -> Array:
    """Return the difference of the mean S of two runs, up to a constant (bins,)."""
    away = one.entropy.mean(0) - other.entropy.mean(0)
    difference: Array = away - away.mean()
    return difference


def row(found: Found) -> list[str]:
    """Return the worst temperature of a bin, the slope over D/2, and the rms error of S."""
    x, warmth = found.axes[0].centres, found.warmth.mean(0)
    worst = warmth[abs(warmth - 1).argmax()]
    slope, error = walks.slopes(found.entropy, x) / (DOF / 2), walks.rms(found.entropy, DOF / 2 * x)
    return [f"T {worst:.3f} in the worst bin", f"slope {walks.joined(slope)}, rms {walks.joined(error)} k_B"]
