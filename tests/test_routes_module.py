"""Law: the force by the bare module is the force of the vectorised pass, for any module, wherever it comes from."""

import copy

import pytest
import torch
from test_force import NETWORKS, PRIORS, mse, system
from torch import nn
from torch.func import vjp, vmap

import mdnet as md
from integrators import BAOAB, Splitting
from mdnet.force import BatchForce
from mdnet.priors import Box, GaussianPrior
from mdnet.system import ParticleSystem
from thermostats import Langevin

CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def module_force(particles, *, per_replica=None):
    """The force by the bare module of a system that has another one."""
    other = copy.copy(particles)
    other.route = "module"
    return BatchForce(other, per_replica=not particles.shares_data if per_replica is None else per_replica)


class Unused(nn.Module):
    """A network with a parameter that does not enter."""

    def __init__(self):
        super().__init__()
        self.layer, self.idle = nn.Linear(3, 2), nn.Parameter(torch.ones(4))

    def forward(self, x):
        return self.layer(x)


class Recurrent(nn.Module):
    """Reads three numbers one after the other, with dropout between its two layers, which is off."""

    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.LSTM(1, 3, num_layers=2, dropout=0.5, batch_first=True), nn.Linear(3, 2)

    def forward(self, x):
        return self.out(self.cell(x[:, :, None])[0][:, -1])


class Branching(nn.Module):
    """Looks at a number that depends on its weights, which no vectorised pass can."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        y = self.layer(x)
        return y if y.sum().item() > 0 else 2 * y


def differences(particles, force, q, h=1e-5):
    """-(U(q + h e) - U(q - h e))/2h by the energy of the same force, (replicas, dof)."""
    steps = h * torch.eye(particles.dof, dtype=q.dtype)
    return torch.stack([-(force(q + e)[0] - force(q - e)[0]) / (2 * h) for e in steps], -1)


@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_the_vectorised_force(name, prior, replicas):
    particles = system(name, prior=PRIORS[prior], replicas=replicas)
    q = particles.positions(seed=1) + 0.3 * torch.randn(replicas, particles.dof, dtype=torch.float64)
    kept, force = q.clone(), module_force(particles)
    u, f = force(q)
    assert u.dtype == torch.float64
    torch.testing.assert_close((u, f), particles.force(q), **CLOSE)
    torch.testing.assert_close(force(q), (u, f), rtol=0, atol=0)  # nothing is left over from the call before
    assert torch.equal(q, kept)


def test_a_parameter_that_does_not_enter_feels_no_force():
    particles = ParticleSystem(Unused(), mse, torch.randn(5, 3), torch.randn(5, 2))
    f = module_force(particles)(particles.positions())[1]
    idle = next(e for e in particles.table.entries if e.name == "idle")
    assert not f[:, idle.offset : idle.offset + 4].any()
    assert f.any()


@pytest.mark.parametrize("network", [Recurrent, Branching])
def test_modules_that_cannot_be_vectorised(network, tmp_path):
    """The force is minus the gradient of the energy, by central differences, and whole runs go through it."""
    x, y = torch.randn(24, 3), torch.randn(24, 2)
    particles = ParticleSystem(network(), mse, x, y, dtype=torch.float64, prior=Box(2.0), route="module", replicas=2)
    q = 0.5 * torch.randn(2, particles.dof, dtype=torch.float64)
    f = particles.force(q)[1]
    assert (f - differences(particles, particles.force, q)).abs().max() < 1e-6 * f.abs().max()
    torch.testing.assert_close(-particles.force.gradient(q), f, **CLOSE)
    torch.testing.assert_close(particles.energy(q), particles.force(q)[0], **CLOSE)
    engine = Splitting(BAOAB, particles.force, 0.01, Langevin(0.1, 1.0))
    looks = [md.Scalars(2), md.Evaluate({"train": (x, y)}, every=5), md.Predictions(x, every=5)]
    simulation = md.Simulation(particles, engine, output=tmp_path / "run", reporters=looks)
    assert simulation.run(10, progress=False) == "finished"


def test_one_replica_of_a_module_that_cannot_be_vectorised_finds_its_route(monkeypatch):
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    x, y = torch.randn(5, 3), torch.randn(5, 2)
    particles = ParticleSystem(Branching(), mse, x, y)
    assert particles.route == "module"
    assert "cannot be vectorised" in particles.why
    particles.force(particles.positions())
    for given in ({"replicas": 2}, {"route": "eager"}):
        with pytest.raises(ValueError, match=r"cannot be vectorised .* or take route = 'module'"):
            ParticleSystem(Branching(), mse, x, y, **given)


def test_the_network_that_was_given_is_left_alone():
    particles = system(replicas=1)
    before = particles.table.flatten(particles.network)
    module_force(particles)(torch.randn(1, particles.dof, dtype=torch.float64))
    assert torch.equal(particles.table.flatten(particles.network), before)
    assert all(p.grad is None for p in particles.network.parameters())


def test_data_of_each_replica_and_minibatches():
    index = torch.stack([torch.randperm(12)[:5] for _ in range(3)])
    particles = system(index=index, prior=GaussianPrior(0.5))
    q = particles.positions(seed=4)
    torch.testing.assert_close(module_force(particles)(q), particles.force(q), **CLOSE)
    shared = system(prior=GaussianPrior(0.5))
    x, y = particles.inputs, particles.targets
    torch.testing.assert_close(module_force(shared, per_replica=True).on(q, x, y), particles.force(q), **CLOSE)
    torch.testing.assert_close(module_force(shared).on(q[:1], x[0], y[0])[1], particles.force(q)[1][:1], **CLOSE)


@pytest.mark.parametrize("prior", ["fan_in", "box"])
def test_the_gradient_is_differentiable_once_more(prior):
    particles = system(replicas=2, prior=PRIORS[prior])
    force, q = module_force(particles), particles.positions(seed=3)
    product, expected = (vjp(one.gradient, q)[1] for one in (force, particles.force))
    signs = torch.randn(4, *q.shape, dtype=torch.float64)
    torch.testing.assert_close(vmap(product)(signs), vmap(expected)(signs), **CLOSE)
