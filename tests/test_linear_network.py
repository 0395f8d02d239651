"""Law: the linear network's posterior comes out exactly, through backpropagation and every scheme's own answer."""

import pytest
import torch
from systems import LinearNetwork, Z, deviation, vector

from integrators import BAOAB, OBABO, Brownian, Splitting
from mdnet.priors import GaussianPrior
from mdnet.system import ParticleSystem
from thermostats import Andersen, Langevin, NoseHooverChain

REPLICAS = 256


def posterior(network, engine, *, temperature=1.0, burn=150, frames=60, every=8):
    """Positions and energies (frames, replicas, ...), from a start at zero: off by many standard deviations."""
    system = network.system
    q = torch.zeros(system.replicas, system.dof, dtype=system.dtype)
    p = torch.randn_like(q) * torch.sqrt(torch.as_tensor(temperature) * network.m).to(system.dtype)
    phase = engine.start(q, p, system.masses)
    positions, energies = [], []
    for step in range(1, burn + frames * every + 1):
        engine(phase)
        if step > burn and step % every == 0:
            positions.append(phase.q.double().clone())
            energies.append(phase.u.clone())
    return torch.stack(positions), torch.stack(energies)


def off(network, q, covariance):
    """Deviations of mean and covariance, in standard errors."""
    rest = q - network.mean
    products = (rest[..., :, None] * rest[..., None, :]).mean(0)  # (replicas, dof, dof)
    return deviation(rest.mean(0), 0.0), deviation(products, covariance)


def step(network, stiffness=1.3):
    """A large step: dt w = 1.3 for the stiffest mode, where 2 is the limit."""
    return stiffness / network.largest_frequency()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_baoab_samples_the_posterior_at_a_large_step(dtype):
    network = LinearNetwork(REPLICAS, dtype=dtype)
    engine = Splitting(BAOAB, network.system.force, step(network), Langevin(1.0, friction=2.0))
    q, u = posterior(network, engine)
    assert max(off(network, q, network.covariance())) < Z
    assert deviation(u.mean(0), network.mean_energy()) < Z
    assert deviation((u - network.mean_energy()).square().mean(0), len(network.m) / 2) < Z


@pytest.mark.parametrize("bath", [Langevin(1.0, friction=2.0), Andersen(1.0, rate=2.0)], ids=["Langevin", "Andersen"])
def test_obabo_samples_its_own_discrete_law_and_not_the_posterior(bath):
    network = LinearNetwork(REPLICAS)
    dt = step(network)
    q, _ = posterior(network, Splitting(OBABO, network.system.force, dt, bath))
    assert max(off(network, q, network.obabo_covariance(dt))) < Z
    mean, covariance = off(network, q, network.covariance())
    assert mean < Z < 2 * Z < covariance


def test_massive_chains_sample_the_posterior():
    network = LinearNetwork(REPLICAS)
    chain = NoseHooverChain(1.0, tau=0.5, order=5, group="massive")
    q, _ = posterior(network, Splitting(BAOAB, network.system.force, step(network, 0.5), chain), burn=400)
    assert max(off(network, q, network.covariance())) < Z


def test_brownian_samples_the_posterior_at_a_large_step():
    """Averaged noise, q' = (1 - h k) q + s (R + R'), s^2 = T h/2, h = dt/(m gamma): <q R> = s, and so <q^2> = T/k."""
    network, friction = LinearNetwork(REPLICAS), 1.5
    dt = 1.3 * friction / network.largest_frequency() ** 2
    engine = Brownian(network.system.force, dt, temperature=1.0, friction=friction)
    q, u = posterior(network, engine, burn=200)
    assert max(off(network, q, network.covariance())) < Z
    assert deviation(u.mean(0), network.mean_energy()) < Z


def test_plain_noise_does_not_sample_the_posterior():
    """Euler and Maruyama's scheme, fresh noise at every step, has T/(k - h k^2/2): the gate sees it."""
    network = LinearNetwork(REPLICAS)
    h = 1.3 / network.largest_frequency() ** 2 / network.m
    q = network.mean.repeat(REPLICAS, 1)
    kept = []
    for n in range(600):
        q = q + h * network.system.force(q)[1] + torch.sqrt(2 * h) * torch.randn_like(q)
        if n > 200 and n % 8 == 0:
            kept.append(q)
    assert off(network, torch.stack(kept), network.covariance())[1] > 2 * Z


@pytest.mark.parametrize("method", ["BAOAB", "Brownian"])
def test_temperatures_may_differ_by_replica(method):
    network, temperatures = LinearNetwork(384), (0.25, 1.0, 4.0)
    ladder = vector(*temperatures).repeat_interleave(128)[:, None]
    force, dt = network.system.force, step(network)
    if method == "BAOAB":
        engine = Splitting(BAOAB, force, dt, Langevin(ladder, friction=2.0))
    else:
        engine = Brownian(force, dt**2 / 2, temperature=ladder, friction=0.5)
    q, u = posterior(network, engine, temperature=ladder)
    for block, temperature in enumerate(temperatures):
        rows = slice(128 * block, 128 * (block + 1))
        assert max(off(network, q[:, rows], network.covariance(temperature))) < Z
        assert deviation(u[:, rows].mean(0), network.mean_energy(temperature)) < Z


def test_the_prior_may_keep_its_law_at_every_temperature():
    ladder = vector(0.25, 4.0).repeat_interleave(128)[:, None]
    flat = ParticleSystem(
        torch.nn.Linear(3, 2), lambda output, target: 0.0 * torch.nn.functional.mse_loss(output, target),
        torch.ones(4, 3), torch.ones(4, 2), replicas=256, dtype=torch.float64,
        prior=GaussianPrior(0.7, temperature=ladder),
    )  # fmt: skip
    phase = (engine := Splitting(BAOAB, flat.force, 0.3, Langevin(ladder, friction=2.0))).start(
        torch.zeros(256, 8, dtype=torch.float64), torch.zeros(256, 8, dtype=torch.float64), flat.masses
    )
    kept = []
    for n in range(600):
        engine(phase)
        if n > 150 and n % 10 == 0:
            kept.append(phase.q.clone())
    for block in torch.stack(kept).split(128, 1):
        assert deviation(block.square().mean(0), 0.7) < Z


def test_closed_forms_agree_with_each_other():
    network, temperature = LinearNetwork(3), 0.7
    q = network.mean + torch.randn(3, 8, dtype=torch.float64)
    rest = q - network.mean
    u = network.u0 + 0.5 * torch.einsum("ri,ij,rj->r", rest, network.stiffness, rest)
    torch.testing.assert_close(network.system.force(q), (u, -rest @ network.stiffness), rtol=1e-12, atol=1e-12)
    free = network.mean_energy(temperature) - temperature * network.entropy(temperature)
    assert network.log_z(temperature) == pytest.approx(-free / temperature, rel=1e-12)
