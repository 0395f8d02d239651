"""Law: the covariance with the energy tells how an ensemble answers the temperature; steering by it finds the best."""

from __future__ import annotations

import copy
from math import log, sqrt

import numpy as np
import pytest
import torch
from scipy import optimize
from systems import deviation
from test_resume import assert_same_run
from torch import nn
from torch.nn import functional

import mdnet as md
import trajectories
from integrators import BAOAB, Splitting
from mdnet.steering import SteerTemperature
from mdnet.tempering import TemperingError
from thermostats import Langevin, NoseHooverChain

ROWS, INPUTS, VARIANCE = 12, 4, 0.5


class Ridge:
    """Least squares whose prior keeps its law: theta ~ N((A + T/s^2)^-1 b, T (A + T/s^2)^-1) at every temperature."""

    def __init__(self) -> None:
        noise = torch.Generator().manual_seed(24)
        truth = 0.5 * torch.randn(INPUTS, 1, generator=noise, dtype=torch.float64)

        def rows(n: int) -> tuple[torch.Tensor, torch.Tensor]:
            x = torch.randn(n, INPUTS, generator=noise, dtype=torch.float64)
            return x, x @ truth + 0.8 * torch.randn(n, 1, generator=noise, dtype=torch.float64)

        (self.x, self.y), self.held = rows(ROWS), rows(200)
        self.a, self.b = 2 * self.x.T @ self.x / ROWS, 2 * self.x.T @ self.y / ROWS

    def stiffness(self, t: float) -> torch.Tensor:
        return self.a + t / VARIANCE * torch.eye(INPUTS, dtype=torch.float64)

    def loss(self, log_t: float) -> float:
        """The held-out loss of the mean prediction, exactly."""
        mean = torch.linalg.solve(self.stiffness(np.exp(log_t)), self.b)
        return functional.mse_loss(self.held[0] @ mean, self.held[1]).item()

    def system(self, replicas: int, t: float) -> md.ParticleSystem:
        network = nn.Linear(INPUTS, 1, bias=False)
        prior = md.GaussianPrior(VARIANCE, temperature=t)
        return md.ParticleSystem(
            network, functional.mse_loss, self.x, self.y, replicas=replicas, prior=prior, dtype=torch.float64
        )

    def draw(self, replicas: int, t: float) -> torch.Tensor:
        """Exact samples of theta at T, (replicas, dof)."""
        root = torch.linalg.cholesky(t * torch.linalg.inv(self.stiffness(t)))
        mean = torch.linalg.solve(self.stiffness(t), self.b)[:, 0]
        return mean + torch.randn(replicas, INPUTS, dtype=torch.float64) @ root.T


RIDGE = Ridge()
BEST = float(optimize.minimize_scalar(RIDGE.loss, bounds=(log(1e-3), log(10)), method="bounded").x)


def simulation(system, action, folder=None, bath=Langevin, **options):
    temperature = action.temperatures(system.replicas)
    engine = Splitting(BAOAB, system.force, 0.2, bath(temperature, 1.0))
    return md.Simulation(
        system, engine, positions=system.positions(seed=1), seed=3, actions=[action], output=folder, **options
    )


def steering(t=0.1, held=RIDGE.held, **options):
    return SteerTemperature(*held, t, **{"lowest": 1e-3, "highest": 10.0, "learn": 1000} | options)


def test_the_best_temperature_of_the_ridge_is_inside():
    assert log(0.1) < BEST < log(2.0)
    assert RIDGE.loss(BEST) < 0.9 * min(RIDGE.loss(log(1e-3)), RIDGE.loss(log(10)))


@pytest.mark.parametrize("t", [0.05, 2.0])
def test_the_slope_is_that_of_the_exact_loss(t):
    """Law: dl/d ln T = dl/d<f> . cov(f, L)/T, for a prior that keeps its law."""
    replicas, looks = 64, 500
    system, action = RIDGE.system(replicas, t), steering(t, every=1, looks=looks)
    phase = simulation(system, action).phase
    for step in range(1, looks + 1):
        phase.q.copy_(RIDGE.draw(replicas, t))
        phase.u.copy_(system.energy(phase.q))
        report = action(step, phase)
    h = 1e-3
    exact = (RIDGE.loss(log(t) + h) - RIDGE.loss(log(t) - h)) / (2 * h)
    assert abs(exact) > 10 * report["steering/slope"].std() / sqrt(replicas)  # or the test could not fail
    assert deviation(report["steering/slope"], exact) < 5


def test_the_slope_of_classes_is_that_of_the_reweighted_mixture():
    """Reweighting the same samples to T e^h gives the same slope of the negative log-likelihood as h goes to 0."""
    x, y, t, h = torch.randn(9, 2), torch.arange(9) % 3, 0.2, 1e-4
    system = md.ParticleSystem(nn.Linear(2, 3), functional.cross_entropy, x, y, replicas=2, dtype=torch.float64)
    action = steering(t, (x, y), every=1, looks=6)
    with pytest.warns(md.UnboundedWarning):
        phase = simulation(system, action).phase
    said, energies = [], []
    for step in range(1, 7):
        phase.q.copy_(torch.randn_like(phase.q))
        phase.u.copy_(system.energy(phase.q))
        said.append(system.output(phase.q, x).softmax(-1))
        energies.append(phase.u.clone())
        report = action(step, phase)

    def loss(log_t):
        weight = torch.softmax(-torch.stack(energies) / t * (np.exp(-log_t) - 1), 0)  # (looks, replicas)
        mixture = (weight[..., None, None] * torch.stack(said)).sum(0)
        return torch.stack([functional.nll_loss(one.log(), y) for one in mixture])

    torch.testing.assert_close(report["steering/loss"], loss(0.0))
    torch.testing.assert_close(report["steering/slope"], (loss(h) - loss(-h)) / (2 * h), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("start", [0.02, 5.0])
def test_steering_finds_the_best_temperature_from_both_sides(start):
    system, action = RIDGE.system(32, start), steering(start, learn=2000, every=4, looks=20)
    run = simulation(system, action)
    run.run(2000, progress=False)
    found = torch.log(run.integrator.temperature[:, 0])
    assert abs(found.mean() - BEST) < 0.25  # a quarter of e: the way was from 2 to 3 in ln T
    assert found.std() < 1.0
    loss = np.mean([RIDGE.loss(one) for one in found.tolist()])
    assert loss < 1.05 * RIDGE.loss(BEST)
    run.run(200, progress=False)
    torch.testing.assert_close(torch.log(run.integrator.temperature[:, 0]), found)  # held from now on


def test_temperatures_stay_within_their_bounds():
    system, action = RIDGE.system(8, 0.02), steering(0.02, lowest=0.01, highest=0.03, learn=600, factor=2.0)
    run = simulation(system, action)
    run.run(600, progress=False)
    found = run.integrator.temperature
    assert (found > 0.02).all()
    assert (found <= 0.03 * (1 + 1e-12)).all()


@pytest.mark.parametrize("bath", [Langevin, NoseHooverChain])
def test_the_prior_follows_and_the_books_are_kept(tmp_path, bath):
    """Law: the stiffness is T/s^2, phase.u and phase.f belong to it, and U + K - heat stays where it was."""
    system, action = RIDGE.system(4, 0.1), steering(learn=500)
    run = simulation(system, action, tmp_path / "run", bath, reporters=[md.Scalars(10)])
    run.run(500, progress=False)
    now = run.integrator.temperature
    assert (now != 0.1).all()
    torch.testing.assert_close(system.stiffness, (now / VARIANCE).expand(4, INPUTS))
    u, f = system.force(run.phase.q)
    torch.testing.assert_close(run.phase.u, u)
    torch.testing.assert_close(run.phase.f, f)
    with trajectories.open(tmp_path / "run") as file:
        conserved = np.asarray(file.observables["conserved"].values)
        moves = np.asarray(file.observables["steering/temperature"].values)
        assert moves.shape == (2, 4)
        np.testing.assert_array_equal(moves[-1], now[:, 0])
        assert file.parameters["tempering"]["method"] == "SteerTemperature"
    assert np.abs(conserved - conserved[0]).max() < 0.02


@pytest.mark.parametrize("stop", [250, 333])
def test_continuation_is_exact(tmp_path, stop):
    held = tuple(part[:8].repeat(3, 1, 1) for part in RIDGE.held)  # each replica's own rows

    def make(folder):
        action = steering(held=held, learn=510, every=10, looks=5, per_replica=True)
        return simulation(RIDGE.system(3, 0.1), action, folder, reporters=[md.Scalars(5), md.Frames(20, velocity=True)])

    make(tmp_path / "whole").run(600, progress=False)
    make(tmp_path / "parts").run(stop, progress=False)
    make(tmp_path / "parts").resume().run(600 - stop, progress=False)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_schedule_of_the_temperature_and_other_rows_are_refused(tmp_path):
    with pytest.raises(ValueError, match="temperature is set by SteerTemperature"):
        simulation(RIDGE.system(2, 0.1), steering(), schedule={"temperature": md.Constant(0.1)})
    simulation(RIDGE.system(2, 0.1), steering(), tmp_path / "run").run(5, progress=False)
    other = tuple(copy.deepcopy(part) + 1 for part in RIDGE.held)
    with pytest.raises(md.ResumeError, match="actions"):
        simulation(RIDGE.system(2, 0.1), steering(held=other), tmp_path / "run").resume()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"t": 20.0}, "between lowest = 0.001 and highest = 10"),
        ({"lowest": 0.0}, "all positive"),
        ({"factor": 1.0}, "above 1"),
        ({"memory": 1.0}, "below 1"),
        ({"learn": 499}, "500 steps or more"),
        ({"looks": 1}, "two looks or more"),
        ({"tempered": "prior"}, "allowed are 'all' and 'loss'"),
    ],
)
def test_settings_out_of_range_are_told(options, told):
    with pytest.raises(TemperingError, match=told):
        steering(**options)


def test_rows_that_do_not_fit_are_told():
    x, y = RIDGE.held
    for held, options in [((x, y[:5]), {}), ((x[None], y[None]), {"per_replica": True}), ((x[:0], y[:0]), {})]:
        with pytest.raises(TemperingError, match="as many rows"):
            simulation(RIDGE.system(2, 0.1), steering(held=held, **options))
    system = RIDGE.system(2, 0.1)
    one_for_all = Splitting(BAOAB, system.force, 0.2, Langevin(0.1, 1.0))
    with pytest.raises(TemperingError, match=r"\(2, 1\); build it with temperature=action"):
        md.Simulation(system, one_for_all, actions=[steering()])
