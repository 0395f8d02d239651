"""The run itself: reports at their cadences, schedules stored as set, a guard, soft stops and walls."""

from __future__ import annotations

import os
import signal
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import mdnet as md
import trajectories
from integrators import BAOAB, OBABO, VERLET, Brownian, Splitting, outer, scheme
from mdnet.signals import SoftStop
from thermostats import Langevin, NoseHooverChain


def make_system(**keywords):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    x = torch.randn(10, 2)
    options = {"replicas": 3, "dtype": torch.float64} | keywords
    return md.ParticleSystem(network, functional.mse_loss, x, x.prod(-1, keepdim=True), **options)


def make(system=None, dt=0.02, **keywords):
    system = system or make_system()
    integrator = Splitting(BAOAB, system.force, dt, Langevin(temperature=0.1, friction=1.0))
    return md.Simulation(system, integrator, **keywords)


def test_reporters_keep_their_own_cadence(tmp_path):
    system = make_system()
    data = {"train": (system.inputs, system.targets)}
    reporters = [
        md.Scalars(2),
        md.Frames(5),
        md.Evaluate(data, {"r2": md.r2}, every=4),
        md.Predictions(system.inputs, every=10),
    ]
    make(system, output=tmp_path / "run", reporters=reporters).run(20, progress=False)
    with trajectories.open(tmp_path / "run") as run:
        assert run.steps[:].tolist() == [0, 5, 10, 15, 20]
        assert run.positions.shape == (5, 3, system.dof)
        assert run.observables["potential_energy"].steps[:].tolist() == list(range(0, 21, 2))
        assert run.observables["train/r2"].steps[:].tolist() == list(range(0, 21, 4))
        assert run.observables["test/prediction"].values.shape == (3, 3, 10, 1)
        np.testing.assert_allclose(run.times[:], 0.02 * run.steps[:], rtol=1e-12)
        energies = system.energy(torch.as_tensor(np.asarray(run.positions[2]))).numpy()
        np.testing.assert_allclose(energies, run.observables["potential_energy"].values[5], rtol=1e-12)


def test_the_staircase_is_stored_exactly(tmp_path):
    rise = md.Staircase(0.0, 0.05, stages=5, every=10)
    make(output=tmp_path / "run", schedule={"temperature": rise}, reporters=[md.Scalars(1)]).run(70, progress=False)
    with trajectories.open(tmp_path / "run") as run:
        stored = np.asarray(run.observables["set_temperature"].values)[:, 0]
    # the value written after k steps is the one that held during the k-th
    expected = [0.0] + [0.05 * min(k // 10, 5) / 5 for k in range(70)]
    np.testing.assert_array_equal(stored, expected)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (md.Constant(0.3), [0.3, 0.3, 0.3]),
        (md.Staircase(0.0, 1.0, stages=2, every=5), [0.0, 0.5, 1.0]),
        (md.Linear(0.0, 1.0, 20), [0.0, 0.25, 0.5]),
        (md.Cosine(1.0, 0.0, 10), [1.0, 0.5, 0.0]),
        (md.Table([0, 3, 10], [0.1, 0.2, 0.3]), [0.1, 0.2, 0.3]),
    ],
    ids=lambda x: type(x).__name__,
)
def test_schedules(schedule, values):
    assert [schedule(step) for step in (0, 5, 10)] == pytest.approx(values)


def test_schedules_differ_by_replica():
    temperatures = torch.tensor([[0.1], [0.2], [0.4]], dtype=torch.float64)
    system = make_system()
    integrator = Splitting(BAOAB, system.force, 0.01, Langevin(temperature=temperatures, friction=1.0))
    rise = md.Linear(0.0, temperatures, 10)
    simulation = md.Simulation(system, integrator, schedule={"temperature": rise})
    simulation.run(6, progress=False)
    torch.testing.assert_close(integrator.temperature, temperatures / 2)


@pytest.mark.parametrize(
    ("make_bad", "message"),
    [
        (lambda: md.Staircase(0, 1, stages=0, every=5), "stages = 0"),
        (lambda: md.Table([1, 2], [0.1, 0.2]), "start at 0"),
        (lambda: make(schedule={"temprature": md.Constant(1.0)}), "there is no 'temprature'"),
        (lambda: make(schedule={"temperature": md.Constant(-1.0)}), "not negative"),
        (lambda: make(schedule={"dt": md.Linear(0.1, -0.1, 10)}).run(10, progress=False), "positive"),
        (lambda: make(schedule={"temperature": md.Constant(torch.ones(3, 1))}), "replicas, 1"),
        (lambda: make(positions=torch.zeros(2, 5)), r"\(replicas, dof\)"),
        (lambda: make(positions=torch.full((3, 17), float("nan"), dtype=torch.float64)), "finite"),
        (lambda: make(temperature=-1.0), "must not be negative"),
        (lambda: make().run(-1), "steps = -1"),
        (lambda: md.Scalars(0), "every = 0"),
        (lambda: make(dt=-0.1), "dt = -0.1"),
        (lambda: Brownian(make_system().force, 0.1, temperature=-1.0), "temperature = -1.0"),
    ],
)
def test_bad_input_is_told(make_bad, message):
    with pytest.raises(ValueError, match=message):
        make_bad()


def test_a_temperature_without_prior_or_box_is_warned_of():
    with pytest.warns(md.UnboundedWarning, match="GaussianPrior"):
        make(make_system())
    with pytest.warns(md.UnboundedWarning):
        make(make_system(prior=md.GaussianPrior(temperature=0.0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(make_system(prior=md.GaussianPrior()))
        make(make_system(prior=md.Box(2.0)))
        system = make_system()
        md.Simulation(system, Splitting(VERLET, system.force, 0.02))


def test_velocities_of_overdamped_dynamics_are_refused():
    system = make_system()
    with pytest.raises(ValueError, match="no momenta"):
        md.Simulation(system, Brownian(system.force, 0.01, temperature=0.1), reporters=[md.Frames(velocity=True)])


def test_divergence_stops_and_keeps_what_was_written(tmp_path):
    system = make_system(prior=md.GaussianPrior({"0": 1.0, "2": 1e-4}))
    simulation = make(system, dt=0.5, output=tmp_path / "run", reporters=[md.Scalars(1), md.Frames(1)])
    with pytest.raises(md.DivergenceError, match=r"dt = 0.5 is unstable: .* w = .*Take half"):
        simulation.run(2000, progress=False)
    assert simulation.step <= 10  # told from the first steps
    with trajectories.open(tmp_path / "run") as run:
        assert len(run.steps) >= 1
        assert np.isfinite(np.asarray(run.observables["potential_energy"].values)).all()


def test_a_signal_stops_softly_with_a_checkpoint(tmp_path):
    simulation = make(output=tmp_path / "run")
    before = signal.getsignal(signal.SIGTERM)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    assert simulation.run(10**9, progress=False) == "interrupted"
    assert signal.getsignal(signal.SIGTERM) is before
    assert make(output=tmp_path / "run").resume().step == simulation.step > 0


def test_a_wall_clock_limit_stops_with_a_checkpoint(tmp_path):
    simulation = make(output=tmp_path / "run")
    assert simulation.run(10**9, wall_clock=0.2, progress=False) == "out of time"
    assert make(output=tmp_path / "run").resume().step == simulation.step > 0


def test_the_callers_random_numbers_are_left_alone():
    system = make_system()
    torch.manual_seed(1)
    expected = torch.randn(3)
    torch.manual_seed(1)
    make(system).run(5, progress=False)
    assert torch.equal(torch.randn(3), expected)


def test_looking_does_not_change_the_run():
    system = make_system()
    reporters = [md.Scalars(1), md.ConfigurationalTemperature(1), md.Frames(1, velocity=True, force=True)]
    bare, watched = make(), make(system, reporters=reporters)
    bare.run(20, progress=False)
    watched.run(20, progress=False)
    assert torch.equal(bare.phase.q, watched.phase.q)


def test_a_scheme_that_ends_with_a_drift_is_reported_with_its_force(tmp_path):
    system = make_system()
    integrator = Splitting(scheme("ABA"), system.force, 0.02)
    simulation = md.Simulation(
        system,
        integrator,
        temperature=0.1,
        output=tmp_path / "run",
        reporters=[md.Scalars(1), md.Frames(1, force=True)],
    )
    simulation.run(20, progress=False)
    with trajectories.open(tmp_path / "run") as run:
        u, f = system.force(torch.as_tensor(np.asarray(run.positions)[7]))
        np.testing.assert_allclose(run.observables["potential_energy"].values[7], u, rtol=1e-12)
        np.testing.assert_allclose(np.asarray(run.forces)[7], f, rtol=1e-12)
        conserved = np.asarray(run.observables["conserved"].values)
    assert np.abs(conserved - conserved[0]).max() < 1e-3


def test_walls_reflect_and_conserve_energy(tmp_path):
    """In a box the motion stays inside and keeps its energy; the kink of the force at a wall costs an order in dt."""
    system = make_system(prior=md.Box(0.8))
    start = system.positions().clamp(-0.7, 0.7)
    drifts = []
    for dt in (0.02, 0.01):
        simulation = md.Simulation(
            system, Splitting(VERLET, system.force, dt), positions=start, temperature=1.0,
            output=tmp_path / f"{dt}", reporters=[md.Scalars(1), md.Frames(1)],
        )  # fmt: skip
        simulation.run(int(10 / dt), progress=False)
        with trajectories.open(tmp_path / f"{dt}") as run:
            positions = np.asarray(run.positions)
            conserved = np.asarray(run.observables["conserved"].values)
        assert np.abs(positions).max() <= 0.8
        assert (np.abs(positions).max((0, 1)) > 0.79).all(), "every particle should have met its wall"
        drifts.append(np.abs(conserved - conserved[0]).max())
    assert drifts[1] < 0.7 * drifts[0]


def test_one_chain_follows_every_plateau(tmp_path):
    """T_kin follows each plateau of a staircase within its standard error: replicas are the sample."""
    system = make_system(replicas=64, prior=md.GaussianPrior(1.0, temperature=0.1))
    chain = NoseHooverChain(temperature=0.1, tau=0.5, links=4)
    rise = md.Staircase(0.02, 0.1, stages=4, every=500)
    integrator = Splitting(outer(VERLET), system.force, 0.05, chain)
    simulation = md.Simulation(
        system, integrator, schedule={"temperature": rise}, output=tmp_path / "run", reporters=[md.Scalars(10)]
    )
    simulation.run(2500, progress=False)
    with trajectories.open(tmp_path / "run") as run:
        series = run.observables["temperature"]
        kinetic, steps = np.asarray(series.values), np.asarray(series.steps)
    for stage in range(5):
        last = (steps > stage * 500 + 250) & (steps <= stage * 500 + 500)
        mean = kinetic[last].mean(0)
        target = 0.02 * (stage + 1)
        z = (mean.mean() - target) / (mean.std(ddof=1) / 8)
        assert abs(z) < 5, f"plateau {target}: {mean.mean()}"
        assert mean.mean() == pytest.approx(target, rel=0.1)


def test_half_step_temperature_is_exact_where_the_step_reads_low(tmp_path):
    """BAOAB on harmonic particles: 2K/N_f = T (1 - w^2 dt^2/4) on the step and T at the half step."""
    torch.manual_seed(0)
    network = nn.Linear(3, 1, bias=False)
    x = torch.eye(3) * (3 * torch.tensor([1.0, 2.0, 4.0])).sqrt() / 2**0.5
    system = md.ParticleSystem(network, functional.mse_loss, x, torch.zeros(3, 1), replicas=512, dtype=torch.float64)
    frequencies = torch.tensor([1.0, 2.0, 4.0]).double()  # squared
    integrator = Splitting(BAOAB, system.force, 0.6, Langevin(temperature=0.5, friction=1.0))
    simulation = md.Simulation(system, integrator, output=tmp_path / "run", reporters=[md.Scalars(5)])
    simulation.run(600, progress=False)
    with trajectories.open(tmp_path / "run") as run:
        means = {
            n: np.asarray(run.observables[n].values)[20:].mean(0) for n in ("temperature", "half_step_temperature")
        }
    low = 0.5 * (1 - frequencies * 0.6**2 / 4).mean().item()
    for name, exact in (("temperature", low), ("half_step_temperature", 0.5)):
        z = (means[name].mean() - exact) / (means[name].std(ddof=1) / 512**0.5)
        assert abs(z) < 5, f"{name}: {means[name].mean()} against {exact}, z = {z}"
    assert OBABO.closing_kick == BAOAB.closing_kick == 0.5


def test_an_echo_of_a_signal_is_no_second_one(monkeypatch):
    """A signal that comes twice at once stops softly, once; a later one acts as it did before."""
    with SoftStop() as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert stop.asked
        monkeypatch.setattr("mdnet.signals._ECHO", 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
