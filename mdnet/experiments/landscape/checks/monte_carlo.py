"""W2: walkers without momenta, who move one weight at a time, find S = D/2 ln U of a harmonic potential."""

from __future__ import annotations

from mdnet.experiments.landscape.checks import walks
from mdnet.experiments.landscape.checks.walks import Found
from mdnet.experiments.landscape.task import Walk
from mdnet.experiments.results import Check
from mdnet.landscape import BiasedForce, OneOverT, Table, WangLandau
from mdnet.landscape.monte_carlo import MonteCarlo
from mdnet.landscape.moves import OneParameter
from mdnet.reporters import Scalars
from mdnet.simulation import Simulation

DOF, WIDTH, BIN = 10, 1.0, 0.02
SLOPE, RMS = 0.03, 0.2
WALK = Walk(dt=WIDTH, friction=0.0, walkers=64, learn=4_000, count=8_000, every=4, peak=0.1)


def w2(seed: int = 0) -> list[Check]:
    """Return the slope and the error of S in ten dimensions; the copy that is worst counts."""
    found = sampled(seed)
    x = found.axes[0].centres
    slope = float(abs(walks.slopes(found.entropy, x) / (DOF / 2) - 1).max())
    error = float(walks.rms(found.entropy, DOF / 2 * x).max())
    name = f"Monte Carlo, D = {DOF}"
    return [
        Check(f"{name}: slope of S in ln U", "5 within 3 %", f"off by {slope:.2%} at most", slope <= SLOPE),
        Check(f"{name}: rms error of S", f"≤ {RMS} k_B", f"{error:.3f} k_B at most", error <= RMS),
    ]


def sampled(seed: int = 0, *, copies: int = 5, walk: Walk = WALK) -> Found:
    """Return S of |q|^2/2 in a box on the bins of W1, by Metropolis moves of one weight and a frozen table."""
    replicas = copies * walk.walkers
    system, variables = walks.quadratic([DOF], replicas)
    table = Table([walks.window("ln U", BIN)], replicas, copies=copies)
    engine = MonteCarlo(BiasedForce(system, variables, table), OneParameter(walk.dt))
    action = WangLandau(OneOverT(walk.peak, walk.learn // 10, walk.learn // 4), walk.learn, every=walk.every)
    simulation = Simulation(
        system, engine, positions=walks.spread([DOF], replicas, seed), seed=seed, actions=[action],
        reporters=[Scalars(walk.learn + walk.count)],
    )  # fmt: skip
    return walks.finish(simulation, action, walk)
