"""Entropy by ladders p ~ L^-n, umbrellas and well-tempered hills against exact answers, and what shows a wrong law."""

from __future__ import annotations

from math import erfc

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

import mdnet as md
import trajectories
from integrators import OBABO, Splitting
from mdnet.experiments.landscape.tasks.spirals import REGRESSION
from mdnet.experiments.landscape.volume import volume
from mdnet.landscape import Axis, BiasedForce, Line, LogLoss, OfParameters, Table, Umbrella, WangLandau, WellTempered
from mdnet.landscape.coordinates import Coordinates
from mdnet.landscape.ladder import exponents, ladder, pilot
from mdnet.landscape.rungs import Metropolis, Rungs
from mdnet.landscape.starting import bring_inside, masses_of_box
from thermostats import Langevin
from trajectories.landscape import ladder as offline
from trajectories.landscape.agreement import conditionals, consistency

AXIS = Axis.of_width("ln U", -2.0, 0.5, 0.25)
MOVES = {"dt": 0.1, "friction": 1.0, "every": 2, "sample": 5}


@pytest.fixture(autouse=True)
def _as_users_run_it(monkeypatch):
    monkeypatch.delenv("MDNET_ROUTE", raising=False)


def harmonic(dof, replicas):
    """U = |q|^2/2 in the box [-2, 2]^dof: S = dof/2 ln U below ln 2, where the ball touches the box."""
    rows = torch.eye(dof) * (dof / 2) ** 0.5
    return md.ParticleSystem(
        nn.Linear(dof, 1, bias=False), mse_loss, rows, torch.zeros(dof, 1), replicas=replicas, prior=md.Box(2.0),
        dtype=torch.float64,
    )  # fmt: skip


def spiral(replicas):
    """A small network with ln L_train and ln L_test."""
    generator = torch.Generator().manual_seed(2)
    x = 4 * torch.rand(40, 2, generator=generator) - 2
    y = torch.sin(2 * x.norm(dim=1, keepdim=True))
    network = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1))
    system = md.ParticleSystem(network, mse_loss, x[:20], y[:20], replicas=replicas, prior=md.Box(2.0))
    return system, LogLoss(system, "ln L_train"), LogLoss(system, "ln L_test", inputs=x[20:], targets=y[20:])


def square_of_first():
    return OfParameters(lambda q: q[0].square(), "first squared")


def deviation(landscape, slope):
    """By how many standard errors, over copies, the worst bin is off the straight line S = slope x."""
    centres = landscape.axes[0].centres
    exact = slope * (centres - centres.mean())
    entropy = landscape.entropy - landscape.entropy.mean(1, keepdims=True)
    error = entropy.std(0, ddof=1) / np.sqrt(len(entropy))
    return np.abs((entropy.mean(0) - exact) / error).max()


def exact_samples(rng, bias, slope=5.0, copies=12, samples=400):
    """A ladder drawn from e^{slope x - b_k(x)} on [-2, 0.5] itself."""
    grid = np.linspace(-2, 0.5, 20001)
    log_p = slope * grid - bias(grid)
    weight = np.cumsum(np.exp(log_p - log_p.max(1, keepdims=True)), 1)
    x = [np.interp(rng.random((copies, samples)), cdf / cdf[-1], grid) for cdf in weight]
    return np.stack(x, 1)


LEVELS = {
    "lines": Line(torch.tensor([[3.0], [4.5], [6.0], [8.0]])),
    "umbrellas": Umbrella(torch.linspace(0.4, -2.4, 5, dtype=torch.float64)[:, None], 6.0),
}


@pytest.mark.parametrize(("kind", "dof"), [("lines", 10), ("umbrellas", 10), ("umbrellas", 3)])
def test_entropy_of_a_harmonic_potential(kind, dof, seed):
    """Law: S = D/2 ln U, and neighbours differ by what their biases say."""
    levels = LEVELS[kind]
    rungs = 4 if kind == "lines" else 5
    system = harmonic(dof, rungs * 24)
    found = ladder(
        system, LogLoss(system, "ln U"), levels, AXIS, steps=500, equilibration=150, seed=seed % 1000,
        record=[square_of_first()], **MOVES,
    )  # fmt: skip
    assert found.x.shape == (24, rungs, 100)
    assert deviation(offline.density(found, AXIS), dof / 2) < 5
    assert np.abs(consistency(found).z).max() < 5
    mean = offline.averages(found, AXIS, "first squared")  # <q_1^2> = 2 U/D at any U
    exact = 2 / dof * width_average(dof)
    error = mean.std(0, ddof=1) / np.sqrt(len(mean))
    assert np.abs((mean.mean(0) - exact) / error).max() < 5


def width_average(dof):
    """<U> in each bin of ln U, where p ~ e^{D/2 ln U}."""
    fine = AXIS.edges[:-1, None] + AXIS.width * (np.arange(100) + 0.5) / 100
    weight = np.exp(dof / 2 * fine)
    return (weight * np.exp(fine)).sum(1) / weight.sum(1)


def test_well_tempered_hills():
    """Law: well-tempered hills tend to (1 - 1/gamma) S, and frozen production corrects what is left."""
    factor, copies = 3.0, 16
    system = harmonic(10, copies * 8)
    table = Table([AXIS], system.replicas, copies=copies, sigma=1.0)
    force = BiasedForce(system, [LogLoss(system, "ln U")], table)
    action = WangLandau(WellTempered(0.1, factor), 2000, every=2)
    q = bring_inside(force, system.positions(1))
    sim = md.Simulation(
        system, Splitting(OBABO, force, 0.1, Langevin(1.0, 1.0)), positions=q, seed=1, actions=[action],
        reporters=[Coordinates(10**6)],
    )  # fmt: skip
    sim.run(3000, progress=False)
    exact = 5 * (AXIS.centres - AXIS.centres.mean())
    from_bias = (table.entropy * factor / (factor - 1)).numpy()
    produced = (table.entropy + torch.log(action.counts.weights)).numpy()
    for entropy in (from_bias, produced):
        entropy = entropy - entropy.mean(1, keepdims=True)
        scatter = entropy.std(0, ddof=1) / copies**0.5
        assert (np.abs(entropy.mean(0) - exact) < 0.15 + 5 * scatter).all()
    assert np.abs(np.polyfit(AXIS.centres, table.entropy.mean(0).numpy(), 1)[0] - 5) > 0.5  # b is not S


@pytest.mark.parametrize("kind", LEVELS)
def test_reweighting_of_exact_samples(kind, seed):
    """Law: MBAR returns the density that samples were drawn from; another bias is seen where neighbours overlap."""
    rng = np.random.default_rng(seed)
    bias = offline.lines([3.0, 4.5, 6.0, 8.0]) if kind == "lines" else offline.umbrellas([-0.4, -1.6, -2.8], 6.0)
    x = exact_samples(rng, bias)
    y = x + rng.normal(size=x.shape)
    right = offline.Ladder("x", x, bias, {"y": y})
    wrong = offline.Ladder("x", x, lambda at: 1.15 * bias(at), {"y": y})
    assert deviation(offline.density(right, AXIS), 5.0) < 5
    assert deviation(offline.density(wrong, AXIS), 5.0) > 8
    assert np.abs(consistency(right).z).max() < 5
    assert np.abs(consistency(wrong).z).max() > 5
    joint = offline.density(right, AXIS, Axis.of_width("y", -8, 8, 0.5))
    whole = np.log(np.exp(joint.entropy).sum(-1))
    assert np.allclose(whole, offline.density(right, AXIS).entropy, atol=1e-9)


def test_conditionals_do_not_depend_on_the_exponent():
    """Law: at fixed ln L_train the mean ln L_test is the same on all rungs; a bias of the test loss itself is seen."""
    n = torch.tensor([[4.0], [6.0], [8.0]])
    system, train, test = spiral(3 * 16)
    axis = Axis.of_width("ln L_train", -2.5, -0.2, 0.1)
    moves = {"dt": 0.1, "friction": 1.0, "every": 2, "sample": 10}
    free = ladder(system, train, Line(n), axis, steps=1200, equilibration=300, record=[test], seed=1, **moves)
    assert np.abs(conditionals(free, axis, "ln L_test").z).max() < 5
    assert np.abs(consistency(free).z).max() < 5
    both = Both(train, test)
    pulled = ladder(system, both, Line(n), axis, steps=1200, equilibration=300, record=[test, train], seed=1, **moves)
    as_if = offline.Ladder("x", pulled.recorded["ln L_train"], offline.lines(n[:, 0]), pulled.recorded)
    assert np.abs(conditionals(as_if, axis, "ln L_test").z).max() > 5
    with pytest.raises(ValueError, match="not recorded"):
        conditionals(free, axis, "accuracy")


class Both:
    """x = ln L_train + ln L_test."""

    name = "sum"

    def __init__(self, first, second):
        self.parts = first, second

    def __call__(self, q):
        (x, dx), (y, dy) = (part(q) for part in self.parts)
        return x + y, dx + dy

    def value(self, q):
        return sum(part.value(q) for part in self.parts)


def test_the_test_removes_the_error_of_the_time_step():
    """A time step at which the bare dynamics samples another law is exact with the Metropolis test, and slower."""
    found = {}
    for every in (1, 10**6):
        system = harmonic(10, 3 * 32)
        force = BiasedForce(system, [LogLoss(system, "ln U")], Rungs(Umbrella(CENTRES, 40.0), system.replicas))
        action = Metropolis(every, exchange=0 if every > 1 else 1, write=10**6)
        q = bring_inside(force, system.positions(3), [AXIS], targets=torch.full((96,), -0.5))
        inner = Samples(force, 10)
        sim = md.Simulation(
            system, Splitting(OBABO, force, 0.22, Langevin(1.0, 1.0)), positions=q, seed=3, actions=[action],
            reporters=[inner],
        )  # fmt: skip
        sim.run(800, progress=False)
        found[every] = inner.ladder(offline.umbrellas(CENTRES[:, 0], 40.0))
    assert np.abs(consistency(found[1]).z).max() < 5
    assert np.abs(consistency(found[10**6]).z).max() > 5


CENTRES = torch.tensor([[0.0], [-0.3], [-0.6]], dtype=torch.float64)


class Samples(Coordinates):
    """Keeps x by rung of the second half of a run of 800 steps, in memory."""

    def __init__(self, force, every):
        super().__init__(every)
        self.kept = []

    def __call__(self, step, phase):
        if step > 400:
            order = self.force.bias.rung.view(-1, 3).argsort(-1)
            self.kept.append(self.force.x[:, 0].view(-1, 3).gather(1, order).numpy().copy())
        return {}

    def ladder(self, bias):
        return offline.Ladder("x", np.stack(self.kept, -1), bias, {})


def test_exponents_of_a_known_slope():
    """Law: the modes S'(x) = n go through the range, and neighbours exchange about as often as was asked for."""
    x = np.linspace(-2, 0, 9)
    n = exponents(x, 10 - 20 * x, Axis.of_width("x", -2, 0, 0.1), spacing=1.2)[:, 0].numpy()
    assert n[0] == pytest.approx(10)
    assert n[-1] == pytest.approx(50)
    step = np.diff(n)
    assert np.allclose(step, step[0])
    assert step[0] <= 1.2 * 20**0.5
    rng = np.random.default_rng(1)  # p_n is normal about its mode with the variance 1/20
    low, high = (((10 - k) / 20 + rng.normal(size=200_000) / 20**0.5) for k in n[:2])
    accepted = np.minimum(1, np.exp((n[0] - n[1]) * (low - high))).mean()
    assert accepted == pytest.approx(erfc(step[0] / 20**0.5 / 2), abs=0.01)
    assert len(exponents(x, 10 - 20 * x, Axis.of_width("x", -2, 0, 0.1), rungs=4)) == 4
    with pytest.raises(ValueError, match="three or more"):
        exponents(x[:2], x[:2], AXIS)


def test_a_pilot_finds_the_slope():
    """Law: an umbrella's mean is off its centre by S'/k."""
    system = harmonic(10, 32)
    found = pilot(system, LogLoss(system, "ln U"), AXIS, steps=300, dt=0.05, friction=1.0, every=2)
    assert found.slope.mean() == pytest.approx(5, abs=5 * found.slope.std() / 32**0.5)
    assert np.polyfit(np.linspace(0.5, -2, 32), found.x, 1)[0] == pytest.approx(1, abs=0.2)


def test_a_ladder_goes_on_bit_for_bit(tmp_path):
    """Law: n + m steps equal n steps, a resume in a new simulation, and m steps, exchanges and all."""

    def make(folder):
        system = harmonic(10, 8)
        force = BiasedForce(system, [LogLoss(system, "ln U")], Rungs(LEVELS["lines"], 8))
        q = bring_inside(force, system.positions(5), [AXIS])
        return md.Simulation(
            system, Splitting(OBABO, force, 0.1, Langevin(1.0, 1.0)), positions=q, seed=4, output=folder,
            actions=[Metropolis(3, window=AXIS, write=30)], reporters=[Coordinates(7, [square_of_first()])],
        )  # fmt: skip

    whole = make(tmp_path / "whole")
    whole.run(200, progress=False)
    make(tmp_path / "parts").run(101, progress=False)
    resumed = make(tmp_path / "parts").resume()
    resumed.run(99, progress=False)
    assert torch.equal(whole.phase.q, resumed.phase.q)
    assert torch.equal(whole.integrator.force.bias.rung, resumed.integrator.force.bias.rung)
    with trajectories.open(tmp_path / "whole") as one, trajectories.open(tmp_path / "parts") as two:
        a, b = offline.from_run(one), offline.from_run(two)
        assert np.array_equal(a.x, b.x)
        assert np.array_equal(a.recorded["first squared"], b.recorded["first squared"])
        swaps = [run.learnt["ladder/swaps"].values[:] for run in (one, two)]
        accepted = [run.observables["metropolis/accepted"].values[:] for run in (one, two)]
    assert np.array_equal(*swaps)
    assert np.array_equal(*accepted)
    assert (swaps[0][-1][1] > 0).all()


@pytest.mark.parametrize(("dead", "told"), [(3, False), (12, True)])
def test_a_dead_network_begins_where_its_neighbour_does(dead, told):
    """Few walkers without a gradient take the place of the nearest that arrived; of many it is told."""
    system = harmonic(3, 24)
    force = BiasedForce(system, [OfParameters(lambda q: torch.relu(q[0]), "x")], Line(1.0))
    q = torch.full((24, 3), 0.05, dtype=torch.float64)
    q[:dead, 0] = -1.0
    window = [Axis.of_width("x", 0.1, 0.9, 0.1)]
    if told:
        with pytest.raises(ValueError, match="12 of 24 walkers did not arrive"):
            bring_inside(force, q, window, steps=300)
        return
    found = force.look(bring_inside(force, q, window, steps=300))[:, 0]
    assert ((found >= 0.1) & (found < 0.9)).all()
    torch.testing.assert_close(found[:dead], found[dead].expand(dead))


def test_walkers_are_brought_into_their_windows():
    """Each walker gets into the window of its own table, all over it, from above and from below."""
    system = harmonic(10, 24)
    axes = Axis.of_width("ln U", -3, 1, 0.1), Axis.of_width("q0", -0.5, 0.5, 0.1)
    table = Table([axes[0]], 24, windows=3, copies=2)
    force = BiasedForce(system, [LogLoss(system, "ln U")], table)
    q = bring_inside(force, system.positions(1))
    x = force.look(q)
    assert table.inside(x).all()
    first = x[table.owner == 0, 0]
    assert first.max() - first.min() > 0.5 * table.parts[0].bins * 0.1
    two = BiasedForce(system, [LogLoss(system, "ln U"), OfParameters(lambda q: q[0] + 0.8, "q0")], Table(axes, 24))
    assert two.bias.inside(two.look(bring_inside(two, system.positions(2)))).all()
    with pytest.raises(ValueError, match="did not arrive in 3 steps, such as replica"):
        bring_inside(force, system.positions(1), steps=3)
    with pytest.raises(ValueError, match="targets"):
        bring_inside(force, system.positions(1), targets=torch.full((24,), 5.0))
    with pytest.raises(ValueError, match="no Table"):
        bring_inside(BiasedForce(system, [LogLoss(system, "ln U")], Line(1.0)), system.positions(1))


def test_masses_make_every_tensor_cross_its_box_alike():
    """Law: with masses ~ 1/halfwidth^2 free walkers spread by the same share of their box in every tensor."""
    network = nn.Sequential(nn.Linear(2, 40), nn.Tanh(), nn.Linear(40, 1))
    box = md.Box({"0": 0.5, "2.weight": 2.0, "2.bias": 4.0})
    masses = masses_of_box(network, box)
    assert masses == pytest.approx({"0.weight": 1.0, "0.bias": 1.0, "2.weight": 1 / 16, "2.bias": 1 / 64})
    system = md.ParticleSystem(
        network, mse_loss, torch.zeros(4, 2), torch.ones(4, 1), replicas=400, prior=box, masses=masses
    )
    force = BiasedForce(system, [LogLoss(system, "ln L")], Line(0.0))
    q = torch.zeros(400, system.dof)
    sim = md.Simulation(
        system, Splitting(OBABO, force, 0.02, Langevin(1.0, 5.0)), positions=q, seed=1, reporters=[Coordinates(100)]
    )
    sim.run(10, progress=False)
    spread = (sim.phase.q / system.walls).var(0)
    by_tensor = torch.stack([part.mean() for part in spread.split(list(system.sizes))])
    assert (by_tensor / by_tensor[0] - 1).abs().max() < 5 * (2 / 400) ** 0.5


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda force, _: Metropolis(0), "1 <= every"),
        (lambda force, _: Rungs(Line(2.0), 4), "rungs"),
        (lambda force, start: start(Metropolis(2), BiasedForce(*force, Line(2.0))), "nothing to exchange"),
        (
            lambda force, start: start(
                Metropolis(2, window=Axis("x", 5, 6, 4)), BiasedForce(*force, Rungs(LEVELS["lines"], 4))
            ),
            "outside",
        ),
        (lambda force, start: start(Metropolis(2), force[0].force), "BiasedForce"),
        (lambda force, start: start(Metropolis(2), BiasedForce(*force, Line(2.0), 2.0)), "make both one"),
    ],
)
def test_what_does_not_fit_is_told(make, text):
    """Wrong values and wrong parts are refused before the run, with the remedy."""
    system = harmonic(3, 4)

    def start(action, force):
        integrator = Splitting(OBABO, force, 0.1, Langevin(1.0, 1.0))
        md.Simulation(system, integrator, actions=[action], reporters=[Coordinates(5)], positions=system.positions(1))

    with pytest.raises(ValueError, match=text):
        make((system, [LogLoss(system, "ln U")]), start)


@pytest.mark.slow
def test_volume_against_gradient(tmp_path):
    """The study compares both kinds of networks at one loss, its rungs agree, and it is written with its pictures."""
    study = volume(
        REGRESSION, [50, 100], level=-1.0, data_sets=2, seeds=8, copies=3, steps=2000, equilibration=1500
    )  # fmt: skip
    cells = study.numbers["cells"]
    assert [cell["points"] for cell in cells] == [50, 100]
    assert all(cell["reached"] > 0.9 for cell in cells)
    assert all(np.isfinite([cell["gradient"], cell["random"], *cell["errors"]]).all() for cell in cells)
    assert all(check.holds for check in study.checks)
    assert abs(cells[1]["random"][0] + 0.18) < 0.08  # the published ridge at ln L_train = -1, whose data these are
    assert len(study.write(tmp_path)["figures"]) == len(list(tmp_path.glob("*.svg"))) == 2
