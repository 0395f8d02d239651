"""Laws of data averaging: gradient covariance, exact identities, the diffusion's steady state, dissipation, bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from systems import LinearNetwork, Z, deviation
from test_curvature import network, whole
from torch import nn
from torch.nn import functional

import mdnet as md
from mdnet import covariance, curvature
from mdnet.experiments.data_averaging import bounds, diffusion, dissipation, identities, theory
from mdnet.experiments.data_averaging.diffusion import DECAY, GRID, NOISE, Wells, WellsForce
from mdnet.gradient_noise import gradient_noise

CLOSE = {"rtol": 1e-9, "atol": 1e-11}


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own-rows"])
@pytest.mark.parametrize("kind", ["regression", "classes"])
def test_products_are_the_whole_covariance(kind, own):
    """Law: D v from two passes is A^T A v, whose trace is the noise of the gradients, whatever the prior."""
    particles, q = network(kind, own=own, scale=3.0, prior=md.GaussianPrior(0.5))
    matrix = covariance.gradient_covariance(particles, q)
    torch.testing.assert_close(whole(covariance.covariance_product(particles, q), q), matrix, **CLOSE)
    torch.testing.assert_close(
        matrix.diagonal(dim1=1, dim2=2).sum(-1), gradient_noise(particles, q, size=1).total, **CLOSE
    )


@pytest.mark.parametrize("replace", [True, False], ids=["replaced", "distinct"])
def test_minibatch_forces_have_the_covariance(replace):
    """Law: the covariance of a minibatch's force is D/B, without replacement D/B (n - B)/(n - 1)."""
    exact, size = LinearNetwork(1).system, 4
    q, n = torch.randn(1, exact.dof, dtype=torch.float64), len(exact.inputs)
    expected = covariance.gradient_covariance(exact, q)[0] / size * (1 if replace else (n - size) / (n - 1))
    many = LinearNetwork(20_000).system.minibatch(size, replace=replace)(q.expand(20_000, -1))[1]
    off = many - exact.force(q)[1]
    assert deviation((off[:, :, None] * off[:, None, :]).flatten(1), expected.flatten()) < Z


def test_a_box_mirrors_the_covariance():
    """Law: outside of the walls D is that of the mirror image, with the signs of what is mirrored."""
    particles, q = network(prior=md.Box(0.8))
    matrix = covariance.gradient_covariance(particles, q)
    image, sign = md.priors.mirror(q, particles.walls)
    assert (sign < 0).any()
    inside = covariance.gradient_covariance(particles, image)
    torch.testing.assert_close(matrix, sign[:, :, None] * inside * sign[:, None, :], **CLOSE)
    torch.testing.assert_close(whole(covariance.covariance_product(particles, q), q), matrix, **CLOSE)


def test_large_covariances_are_told_by_products():
    """Law: Hutchinson's trace and the largest Ritz values of the products are those of the exact spectrum."""
    particles, q = network("classes", rows=20)
    product = covariance.covariance_product(particles, q)
    factors = list(covariance.covariance_factors(particles, q))
    value, error = curvature.trace(product, q, probes=200, seed=int(torch.randint(10_000, ())))
    exact = torch.stack([a.square().sum() for a in factors])
    assert ((value - exact).abs() / error).max() < Z
    ritz = curvature.lanczos(product, torch.randn_like(q), 20)
    for r, factor in enumerate(factors):
        torch.testing.assert_close(ritz.values[r, :3], curvature.spectrum(factor)[:3], rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("ask", [covariance.gradient_covariance, covariance.covariance_product])
def test_rows_that_a_layer_couples_have_no_covariance(ask):
    """A loss that is no mean over rows is refused, naming the layer."""
    coupled = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    particles = md.ParticleSystem(coupled, functional.mse_loss, torch.randn(9, 3), torch.randn(9, 2))
    with pytest.raises(ValueError, match="'1'"):
        ask(particles, particles.positions())


@pytest.mark.parametrize(("temperature", "decay"), [(0.1, 0.0), (0.01, 0.0), (0.2, 1.0)])
def test_the_gap_is_a_covariance_over_data(seed, temperature, decay):
    """Law: -int Cov(rho, U) is test less train loss, 1/(n (1 + decay)) of the Gaussian model at any temperature."""
    laws = identities.gaussian(20_000, seed, temperature=temperature, decay=decay)
    exact = identities.GAP / (1 + decay)
    assert abs(laws.covariance().z(exact)) < Z
    assert abs(laws.gap().z(exact)) < Z
    assert laws.covariance().error < 0.02 * exact


def test_drawn_weights_have_the_gap_unless_the_test_rows_are_shifted(seed):
    """Law: on rows of its own a weight from rho loses the gap more, and shift^2/2 on rows that are shifted."""
    assert abs(identities.measured_gap(200_000, seed).z(identities.GAP)) < Z
    shifted = identities.measured_gap(200_000, seed, shift=0.5)
    assert abs(shifted.z(identities.GAP + 0.125)) < Z
    assert shifted.z(identities.GAP) > Z


def test_the_gap_of_a_gibbs_law_is_a_divergence(seed):
    """Law: beta gap = mean KL of the laws of two data sets, by pairs one by one; other data's laws have no gap."""
    _, wells = diffusion.averages(40, 10, seed)
    gap, _ = identities.boltzmann(wells, [3.0])
    weight = np.exp(-3.0 * (wells.train - wells.train.min(axis=1, keepdims=True)))
    laws = weight / weight.sum(axis=1, keepdims=True)
    pairs = [float((laws[i] * np.log(laws[i] / laws[j])).sum()) for i in range(40) for j in range(40) if i != j]
    assert 3.0 * gap.value[0] == pytest.approx(np.mean(pairs), rel=1e-9)
    many, control = identities.boltzmann(diffusion.averages(1000, 10, seed)[1], [0.01, 1.0, 100.0])
    assert (many.z(0.0) > Z).all()
    assert (np.abs(control.z(0.0)) < Z).all()


def test_bounds_hold(seed):
    """Law: |gap| is not above its covariance bound, and the gap of the effective potential is the divergence."""
    found = bounds.evaluate(seed, (0.01, 0.1))
    assert len(found) == 5
    assert all(check.holds for check in bounds.checks(found)), bounds.checks(found)
    broken = [one._replace(above=0.5 * one.gap, potential=-one.potential) for one in found]
    assert not any(check.holds for check in bounds.checks(broken))


class TwoWells(nn.Module):
    """The loss of a row of two wells as the output of a network with one parameter."""

    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.ones(1))

    def forward(self, rows):
        theta = self.theta
        return theta**4 / 4 - (1 + diffusion.A * rows[:, :1]) * theta**2 / 2 + diffusion.B * rows[:, 1:] * theta


def test_the_wells_are_a_particle_system():
    """Law: energy, slope and covariance of the wells in closed form are those of a network by backpropagation."""
    data = torch.randn(12, 2, dtype=torch.float64)
    system = md.ParticleSystem(
        TwoWells(), lambda output, target: output.mean(), data, 0 * data[:, :1], replicas=9, dtype=torch.float64
    )
    wells, theta = Wells(data.numpy()[None]), np.linspace(-2, 2, 9)
    q = torch.as_tensor(theta)[:, None]
    u, f = system.force(q)
    np.testing.assert_allclose(wells.energy(theta)[0], u.numpy(), atol=1e-12)
    np.testing.assert_allclose(wells.slope(theta)[0], -f[:, 0].numpy(), atol=1e-12)
    found = covariance.gradient_covariance(system, q)[:, 0, 0].numpy()
    np.testing.assert_allclose(wells.covariance(theta)[0], found, atol=1e-12)


def test_the_force_of_the_wells_has_its_mean_and_variance():
    """Law: a batch has the mean force -U' and the variance (D + noise^2)/batch."""
    data, batch, noise = torch.randn(7, 2, dtype=torch.float64), 3, 1.5
    wells, theta = Wells(data.numpy()[None]), np.array([0.7])
    force = WellsForce(data, batch, noise)(torch.full((40_000, 1), 0.7, dtype=torch.float64))[1][:, 0]
    mean = -float(wells.slope(theta)[0, 0])
    assert deviation(force[:, None], mean) < Z
    expected = (float(wells.covariance(theta)[0, 0]) + noise**2) / batch
    assert deviation((force[:, None] - mean) ** 2, expected) < Z


def test_the_density_carries_no_current():
    """Law: (U' + alpha theta) rho + (T/2) ((D + noise^2) rho)' = 0 everywhere."""
    wells = Wells(np.random.default_rng(1).normal(size=(1, 12, 2)))
    rho = diffusion.density(wells.potential(GRID, 0.1, decay=DECAY, noise=NOISE)[0])
    drift = (wells.slope(GRID)[0] + DECAY * GRID) * rho
    spread = np.gradient((wells.covariance(GRID)[0] + NOISE**2) * rho, GRID, edge_order=2)
    assert np.abs(drift + 0.05 * spread).max() < 1e-3 * np.abs(drift).max()


def test_sgd_has_the_steady_state_of_its_diffusion(seed):
    """Law: at small rates the density is that of the diffusion, not without its a; T alone sets it."""
    found = diffusion.steady(seed, rates=(0.04, 0.08, 0.32), replicas=6000)
    assert found.batches == [2, 4, 16]
    assert found.distance.value[0] < diffusion.NEAR < found.distance.value[2]
    assert found.between.value < diffusion.NEAR < found.without.value


def test_fluctuation_and_dissipation_balance(seed, monkeypatch):
    """Law: 2 <theta.f> = T <Tr D> + rate <|f|^2> and <f> = 0 with the decay in f, and neither without it."""
    monkeypatch.delenv("MDNET_ROUTE")
    found = dissipation.measure(seed=seed, rates=(0.3, 1.0), longer=0.2)
    assert np.abs(found.ratio(discrete=True).z(1.0)).max() < 2 * Z  # errors of twelve starts
    assert (found.ratio(discrete=False).value > found.ratio(discrete=True).value).all()
    assert np.abs(found.imbalance()).max() < dissipation.WITHIN
    gradient = replace(found, pull=found.pull - dissipation.DECAY * found.weights)
    np.testing.assert_allclose(gradient.imbalance(), 1.0, atol=0.2)


@pytest.mark.slow
def test_the_theory_holds(seed, monkeypatch, tmp_path):
    """Law: G1, G2, G3 and the bounds with their controls, as the page tells them."""
    monkeypatch.delenv("MDNET_ROUTE")
    study = theory.study(seed)
    assert all(check.holds for check in study.checks), [check for check in study.checks if not check.holds]
    told = study.write(tmp_path)
    assert [(tmp_path / each["file"]).stat().st_size > 5000 for each in told["figures"]] == [True] * 4
