"""Laws of tables, biased forces, confinement and walkers whose entropy is known."""

from math import sqrt

import numpy as np
import pytest
import torch

import mdnet as md
from integrators import BAOAB, HMC, OBABO, OMELYAN, Brownian, Splitting, outer
from mdnet.experiments.landscape.checks import learning, motion, walks
from mdnet.experiments.landscape.checks.harmonic import w1
from mdnet.experiments.landscape.checks.mechanics import w8
from mdnet.experiments.landscape.checks.plane import w4
from mdnet.experiments.landscape.checks.regression import regression
from mdnet.experiments.landscape.task import Walk
from mdnet.landscape import (
    Axis,
    BiasedForce,
    Line,
    LogLoss,
    Mean,
    MonteCarlo,
    OneOverT,
    OneParameter,
    Table,
    Umbrella,
    WangLandau,
    margin,
    smooth_accuracy,
)
from mdnet.landscape.table import kernel
from mdnet.reporters import Scalars
from tests.systems import Z, deviation, vector
from thermostats import Andersen, Berendsen, Bussi, Langevin, NoseHooverChain

SMALL = Walk(dt=0.05, friction=3.0, walkers=4, learn=2_000, count=3_000, every=4, peak=0.3)
UNIT = Axis("x", 0.0, 1.0, 20)


# --- the table ---


@pytest.mark.parametrize(("bins", "sigma"), [(40, 3.0), (5, 3.0), (2, 10.0), (7, 0.0)])
def test_kernel_keeps_its_weight(bins, sigma):
    """Law: sum_i K_ij = 1 for every j and K is symmetric, also where a kernel is longer than the window."""
    k = kernel(bins, sigma)
    assert (k >= 0).all()
    assert torch.allclose(k.sum(0), torch.ones(bins, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(k, k.T, atol=1e-12)


def test_nothing_is_lost_at_edges(seed):
    """Law: the sum of all weights is that of all tables, for windows and for two axes."""
    assert learning.mass(seed).holds


def test_interpolation_is_exact_for_what_is_multilinear():
    """Law: S = a x, and S = a x + b y + c x y, are exact between and beyond the middles of bins, with their slopes."""
    x = torch.rand(200, 2, dtype=torch.float64)
    one = Table([UNIT], 200)
    one.entropy[0] = 3.0 * torch.as_tensor(UNIT.centres)
    value, slope = one(x[:, :1])
    assert torch.allclose(value, 3.0 * x[:, 0])
    assert torch.allclose(slope, torch.full_like(slope, 3.0))
    other = Axis("y", -1.0, 2.0, 7)
    two, y = Table([UNIT, other], 200), 3 * x[:, 1] - 1
    u, v = (torch.as_tensor(axis.centres) for axis in (UNIT, other))
    two.entropy[0] = 3.0 * u[:, None] + 0.5 * v - 2.0 * u[:, None] * v
    value, slope = two(torch.stack([x[:, 0], y], 1))
    assert torch.allclose(value, 3.0 * x[:, 0] + 0.5 * y - 2.0 * x[:, 0] * y)
    assert torch.allclose(slope, torch.stack([3.0 - 2.0 * y, 0.5 - 2.0 * x[:, 0]], 1))


def test_slope_of_a_table_is_its_difference():
    """Law: dS/dx = (S(x + h) - S(x - h))/2h of any table, in each variable, away from the middles of bins."""
    axes = [UNIT, Axis("y", 0.0, 1.0, 9)]
    table, h = Table(axes, 300, copies=3), 1e-6
    table.entropy.normal_()
    x = torch.rand(300, 2, dtype=torch.float64)
    slope = table(x)[1]
    for k, axis in enumerate(axes):
        step = h * torch.eye(2, dtype=torch.float64)[k]
        place = (x[:, k] / axis.width - 0.5).remainder(1)
        clear = (place > 1e-3) & (place < 1 - 1e-3)
        found = (table(x + step)[0] - table(x - step)[0]) / (2 * h)
        assert torch.allclose(found[clear], slope[clear, k], atol=1e-6)


def test_windows_and_owners():
    """Replica r belongs to table r % tables; inside, cells and hits are those of its window."""
    table = Table([UNIT], 6, windows=3, overlap=0.5, sigma=0.0)
    assert table.owner.tolist() == [0, 1, 2, 0, 1, 2]
    assert table.entropy.shape == (3, 10)
    x = vector(0.02, 0.02, 0.52, 0.52, 0.52, 1.0)[:, None]
    assert table.inside(x).tolist() == [True, False, True, False, True, False]
    table.add(x, vector(1.0, 0.0, 1.0, 0.0, 1.0, 0.0))
    table.smooth(table.hits.clone())
    assert table.entropy.nonzero().tolist() == [[0, 0], [1, 5], [2, 0]]
    assert table.hits.abs().sum() == 0


def test_one_table_of_many_walkers_is_many_of_one(seed):
    """Law: the tables of 64 single walkers add up to the one table of all 64."""
    x = torch.rand(64, 1, dtype=torch.float64)
    together, apart = Table([UNIT], 64), Table([UNIT], 64, copies=64)
    for table in (together, apart):
        table.add(x, 0.1)
        table.smooth(table.hits.clone())
    assert torch.allclose(together.entropy[0], apart.entropy.sum(0), atol=1e-13)


# --- biased forces ---


def _tanh_network(prior, replicas=5, scale=1.0):
    noise = torch.Generator().manual_seed(3)
    x = torch.randn(12, 2, generator=noise, dtype=torch.float64)
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    return md.ParticleSystem(
        network, torch.nn.functional.mse_loss, x, x[:, :1].sin(), replicas=replicas, prior=prior, scale=scale,
        dtype=torch.float64,
    )  # fmt: skip


def _table(replicas):
    table = Table([Axis("x", -6.0, 3.0, 6)], replicas)
    table.entropy.normal_()
    return table


BIASES = {
    "table": _table,
    "line": lambda replicas: Line(torch.linspace(0.5, 3.0, replicas, dtype=torch.float64)[:, None]),
    "umbrella": lambda replicas: Umbrella(vector(-0.5), 4.0),
}


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("prior", [md.Box(0.6), md.GaussianPrior(0.5), None], ids=["box", "normal", "none"])
def test_force_is_the_slope_of_the_energy(bias, prior):
    """Law: f = -dU/dq with U = T b(x(q)) + prior, at any scale, behind the walls of a box too."""
    system = _tanh_network(prior, scale=7.0)
    force = BiasedForce(system, [LogLoss(system, "x")], BIASES[bias](5), temperature=1.7)
    q = 0.8 * torch.randn(5, system.dof, dtype=torch.float64)
    f, h = force(q)[1].clone(), 1e-6
    for i in range(0, system.dof, 3):
        step = h * torch.eye(system.dof, dtype=torch.float64)[i]
        slope = (force(q + step)[0] - force(q - step)[0]) / (2 * h)
        assert torch.allclose(f[:, i], -slope, atol=1e-5 * max(1.0, f.abs().max().item()))


def test_energy_is_t_times_the_bias_and_the_prior():
    """Law: U = T b + sum_i q_i^2/2s^2, whatever the scale of the system."""
    system = _tanh_network(md.GaussianPrior(0.5), scale=7.0)
    variable = LogLoss(system, "x")
    q = torch.randn(5, system.dof, dtype=torch.float64)
    u = BiasedForce(system, [variable], Line(2.0), temperature=1.7)(q)[0]
    assert torch.allclose(u, 1.7 * 2.0 * variable.value(q) + (q**2).sum(1))


def test_refresh_sees_a_bias_that_has_changed():
    """After the table has grown, refresh gives u and f of a new evaluation, without one."""
    system = _tanh_network(md.Box(2.0))
    table = _table(5)
    force = BiasedForce(system, [LogLoss(system, "x")], table)
    q = torch.rand(5, system.dof, dtype=torch.float64)
    phase = Splitting(OBABO, force, 0.1, Langevin(1.0, 1.0)).start(q, torch.zeros_like(q), system.masses)
    table.entropy.normal_()
    force.refresh(phase)
    u, f = force(phase.q)
    assert torch.allclose(phase.u, u)
    assert torch.allclose(phase.f, f)


def test_smooth_accuracy_tends_to_the_accuracy():
    """Law: mean sigmoid(k margin) -> share of positive margins, and one logit is that of two with their halves."""
    output, labels = torch.randn(200, 4, dtype=torch.float64), torch.randint(0, 4, (200,))
    right = (output.argmax(1) == labels).double().mean()
    assert abs(smooth_accuracy(1e6)(output, labels) - right) < 1e-6
    single, both = output[:, :1], torch.stack([-output[:, 0] / 2, output[:, 0] / 2], 1)
    assert torch.allclose(margin(single, labels % 2), margin(both, labels % 2))
    with pytest.raises(ValueError, match="sharpness = 0"):
        smooth_accuracy(0)


# --- walkers ---


@pytest.fixture
def fast(monkeypatch):
    """The route that the program chooses, for what runs for long."""
    monkeypatch.delenv("MDNET_ROUTE", raising=False)


def _ellipsoid(replicas, dof):
    """U = sum_i k_i q_i^2/2, no central force, so that every bath reaches all of it: S = D/2 ln U too."""
    k = torch.linspace(1.0, 2.0, dof, dtype=torch.float64)
    system = md.ParticleSystem(
        torch.nn.Linear(dof, 1, bias=False), torch.nn.functional.mse_loss, torch.diag((dof / 2 * k).sqrt()),
        torch.zeros(dof, 1, dtype=torch.float64), replicas=replicas, prior=md.Box(2.0), dtype=torch.float64,
    )  # fmt: skip
    return system, k


def _counting(scheme_or_hmc, *, walk=SMALL, copies=48, dof=6, bath=None, low=-2.0):
    """A run with its table already exact, so that production is what is tested: its action and axis."""
    replicas = copies * walk.walkers
    system, k = _ellipsoid(replicas, dof)
    axis = Axis("ln U", low, 0.5, 10)
    table = Table([axis], replicas, copies=copies)
    table.entropy += torch.as_tensor(dof / 2 * axis.centres)
    force = BiasedForce(system, [LogLoss(system, "ln U")], table)
    if scheme_or_hmc == "HMC":
        engine = HMC(force, 0.1, temperature=1.0, steps=3)
    else:
        engine = Splitting(scheme_or_hmc, force, walk.dt, bath)
    action = WangLandau(OneOverT(0.1, 1, 1), 0, every=1 if scheme_or_hmc == "HMC" else walk.every)
    way = torch.randn(replicas, dof, dtype=torch.float64)
    x = low + (0.5 - low) * torch.rand(replicas, 1, dtype=torch.float64)
    start = way / way.norm(dim=1, keepdim=True) * (2 * x.exp() / k).sqrt()
    seed = int(torch.randint(2**31, ()))
    sim = md.Simulation(system, engine, positions=start, seed=seed, actions=[action], reporters=[Scalars(10**6)])
    return sim, action, axis


PAIRS = {
    "OBABO-Langevin": (OBABO, Langevin(1.0, 3.0)),
    "BAOAB-Langevin": (BAOAB, Langevin(1.0, 3.0)),
    "outer(OMELYAN)-Andersen": (outer(OMELYAN), Andersen(1.0, rate=3.0)),
    "BAOAB-Andersen": (BAOAB, Andersen(1.0, rate=3.0)),
    "OBABO-Bussi": (OBABO, Bussi(1.0, tau=0.3)),
    "OBABO-chain": (OBABO, NoseHooverChain(1.0, 0.5, links=3)),
    "BAOAB-chain": (BAOAB, NoseHooverChain(1.0, 0.5, links=3, group="massive")),
    "HMC": ("HMC", None),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_every_method_samples_the_law_of_the_bias(pair, fast):
    """Law: with S exact all ln U are equally likely, and S + ln H is S, for schemes, baths and Monte Carlo."""
    scheme, bath = PAIRS[pair]
    sim, action, axis = _counting(scheme, bath=bath)
    sim.run(1_200 if pair != "HMC" else 400, progress=False)
    share = action.counts.weights / action.counts.weights.sum(1, keepdim=True)
    exact = torch.as_tensor(np.diff(np.exp(3.0 * axis.edges))) / torch.as_tensor(np.exp(3.0 * axis.centres))
    assert deviation(share, exact / exact.sum()) < Z
    assert share.std(0).mean() < 0.03  # so that walkers do mix
    if pair != "HMC":
        warmth = (action.counts.kinetic.sum(1) / action.counts.visits.sum(1))[:, None]
        assert deviation(warmth, 1.0) < Z


@pytest.mark.parametrize("dt", [0.05, 0.2])
def test_count_is_exact_for_any_table_at_any_step(dt, fast):
    """Law: e^S H_w of a bin is its share of the states, also for a rough, wrong S and steps that are too long."""
    sim, action, axis = _counting(OBABO, bath=Langevin(1.0, 3.0), walk=Walk(dt, 3.0, 4, 0, 0, 2))
    table = action.table
    table.entropy.mul_(0.7).add_(0.4 * torch.tensor([1.0, -1.0] * 5, dtype=torch.float64))
    action.force.refresh(sim.phase)
    action.confinement.keep(sim.phase)
    sim.run(2_000, progress=False)
    share = torch.exp(table.entropy) * action.counts.weights
    share /= share.sum(1, keepdim=True)
    exact = torch.as_tensor(np.diff(np.exp(3.0 * axis.edges)))
    assert deviation(torch.log(share), torch.log(exact / exact.sum())) < Z
    assert 0.02 < (action.counts.tested[1] / action.counts.tested[0]).mean() < 1.0


def test_confinement_puts_the_books_back():
    """Where a test fails q, heat, x and its gradient are as before, and p is turned round."""
    sim, action, _ = _counting(OBABO, bath=Langevin(1.0, 3.0))
    phase, confinement, force = sim.phase, action.confinement, action.force
    before = [x.clone() for x in (phase.q, phase.p, phase.heat, force.x, force.gradients)]
    for _ in range(3):
        sim.integrator(phase)
    accept = confinement(phase, torch.zeros(len(phase.q), dtype=torch.bool))
    assert not accept.any()
    for now, was in zip((phase.q, -phase.p, phase.heat, force.x, force.gradients), before, strict=True):
        assert torch.equal(now, was)


METHODS = {  # with the evaluations of x and its gradients in 12 steps and 6 visits
    "OBABO": (lambda force: Splitting(OBABO, force, 0.1, Langevin(1.0, 1.0)), 12),
    "Brownian": (lambda force: Brownian(force, 0.01, temperature=1.0), 12),
    "HMC": (lambda force: HMC(force, 0.6, temperature=1.0, steps=3), 12 * 3 + 6),
    "Monte Carlo": (lambda force: MonteCarlo(force, OneParameter(1.0)), 0),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_visit_finds_the_walkers_where_they_are(method, monkeypatch):
    """Law: before a test x is that of the positions, also after proposals that were refused, and only there anew."""
    make, evaluations = METHODS[method]
    system, variables = walks.quadratic([4], 50)
    axis = Axis("ln U", -4.0, 1.0, 10)
    table = Table([axis], 50)
    table.entropy += torch.as_tensor(2.0 * axis.centres)
    engine, action = make(BiasedForce(system, variables, table)), WangLandau(OneOverT(0.1, 1, 1), 0, every=2)
    start = walks.spread([4], 50, 0)
    sim = md.Simulation(system, engine, positions=start, actions=[action], reporters=[Scalars(100)])
    force, inside, slope, apart, calls = engine.force, table.inside, engine.force.slope, [], []

    def asked(x):
        if x is force.x:  # by the visit
            apart.append(float((x - force.look(sim.phase.q)).abs().max()))
        return inside(x)

    monkeypatch.setattr(table, "inside", asked)
    monkeypatch.setattr(force, "slope", lambda q: calls.append(1) or slope(q))
    sim.run(12, progress=False)
    assert len(apart) == 6
    assert max(apart) < 1e-12
    assert len(calls) == evaluations
    if method in ("HMC", "Monte Carlo"):
        assert 50 < engine.accepted(sim.phase).sum() < 550  # of 600


def test_what_cannot_be_walked_is_refused():
    """Another temperature, one for each replica, a force without a table and walkers outside are named."""
    system, variables = walks.quadratic([4], 3)
    table = Table([Axis("ln U", -2.0, 0.5, 10)], 3)
    force, inside = BiasedForce(system, variables, table), torch.full((3, 4), 0.5, dtype=torch.float64)

    def begin(engine, positions=inside):
        action = WangLandau(OneOverT(0.1, 1, 1), 10)
        md.Simulation(system, engine, positions=positions, actions=[action], reporters=[Scalars(100)])

    begin(Splitting(OBABO, force, 0.1, Langevin(1.0, 1.0)))
    with pytest.raises(ValueError, match="1 of 3 walkers start outside their window, such as replica 1"):
        begin(Splitting(OBABO, force, 0.1, Langevin(1.0, 1.0)), inside * vector(1.0, 1e-3, 1.0)[:, None])
    each = vector(1.0, 2.0, 3.0)[:, None]
    for warmth in (2.0, each):
        with pytest.raises(ValueError, match=r"the bias is at temperature 1\.0, the integrator at"):
            begin(Splitting(OBABO, force, 0.1, Langevin(warmth, 1.0)))
    with pytest.raises(ValueError, match=r"Berendsen.* does not sample e\^\(-U/T\).* take the bath Langevin"):
        begin(Splitting(OBABO, force, 0.1, Berendsen(1.0, tau=1.0)))
    for other in (system.force, BiasedForce(system, variables, Line(1.0))):
        with pytest.raises(ValueError, match="needs an integrator with a BiasedForce whose bias is a Table"):
            begin(Splitting(OBABO, other, 0.1, Langevin(1.0, 1.0)))
    with pytest.raises(ValueError, match="0 variables"):
        BiasedForce(system, [], table)
    with pytest.raises(ValueError, match="temperature 0"):
        BiasedForce(system, variables, table, temperature=0.0)
    with pytest.raises(ValueError, match="inputs and targets, or neither"):
        Mean(system, "half", inputs=inside)


# --- the laws in small ---


def test_harmonic_entropy(seed, fast):
    """Law: S = D/2 ln U; learnt from nothing, the slope is right within errors of independent tables."""
    found = walks.harmonic(SMALL, 6, copies=32, bin=0.1, sigma=2.0, seed=seed)
    x = found.axes[0].centres
    slope = walks.slopes(found.entropy, x)
    assert abs(slope.mean() - 3) < Z * slope.std(ddof=1) / sqrt(32)
    assert abs(slope.mean() - 3) < 0.06
    assert deviation(torch.as_tensor(walks.off(found.entropy, 3 * x)), 0.0) < Z


def test_recorded_variable_has_its_exact_mean(seed, fast):
    """Law: <L_test> = L_test(w*) + (E - E_min) tr(A_test A_train^-1)/D in linear regression."""
    line = regression(Walk(0.05, 3.0, 4, 2_000, 2_000, 4, 0.3), copies=32, seed=seed, dof=4, groups=3)
    ratio = line.measured / line.exact
    assert (abs(ratio.mean(0) - 1) < Z * ratio.std(0, ddof=1) / sqrt(32)).all()
    assert (abs(ratio.mean(0) - 1) < 0.05).all()


def test_walkers_without_bias_fill_the_box(seed, fast):
    """Law: without a bias the law in the box is uniform."""
    assert motion.free_box(seed, replicas=500, steps=200).holds


@pytest.mark.slow
@pytest.mark.parametrize("law", [w1, w4, w8])
def test_in_full(law, seed, fast):
    """Every claim of the law holds."""
    failed = [claim for claim in law(seed).checks if not claim.holds]
    assert not failed
