"""Forces of fewer digits: what is rounded and what is not, and how the bias of a run is measured."""

from __future__ import annotations

import pytest
import torch
from systems import LinearNetwork, Z
from torch import nn
from torch.nn import functional

import mdnet as md
from integrators import OBABO, VERLET, Splitting
from mdnet.bench import gpu
from mdnet.bench.table import grouped
from mdnet.routes.bias import Reduced, precision_bias
from mdnet.routes.precision import products
from thermostats import Langevin

CUDA = torch.device("cuda")


def tanh_network(replicas=4, **options):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1))
    x = torch.randn(20, 2)
    return md.ParticleSystem(
        network, functional.mse_loss, x, x.sum(-1, keepdim=True).sin(), replicas=replicas, **options
    )


def error(one, other):
    """|a - b|/|b| of every replica."""
    return (one - other).norm(dim=-1) / other.norm(dim=-1)


@pytest.mark.parametrize("options", [{}, {"prior": md.Box(0.4)}, {"index": torch.arange(40).view(4, 10) % 20}])
def test_a_bf16_force_is_the_force_to_three_digits(options):
    system = tanh_network(**options)
    q = system.positions(seed=1)
    (u, f), (exact_u, exact_f) = Reduced(system, "bf16")(q), system.force(q)
    assert (u.dtype, f.dtype) == (torch.float64, torch.float32)
    assert (error(f, exact_f) < 0.05).all()
    assert (error(f, exact_f) > 1e-4).all()  # it is rounded
    torch.testing.assert_close(u, exact_u, rtol=0.03, atol=0.0)


def test_prior_and_positions_are_not_rounded():
    """Law: where the data hardly count, the reduced force is that of the prior to float32's digits."""
    system = tanh_network(prior=md.GaussianPrior(temperature=1.0), scale=1e-9)
    q = system.positions(seed=1)
    for reduced, exact in zip(Reduced(system, "bf16")(q), system.force(q), strict=True):
        torch.testing.assert_close(reduced, exact, rtol=1e-6, atol=0.0)


def test_float32_is_the_force():
    system = tanh_network()
    q = system.positions(seed=1)
    for one, other in zip(Reduced(system, "float32")(q), system.force(q), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("route", ["native", "module"])
def test_routes_that_know_float32_only_are_not_taken(route):
    system = tanh_network()
    q = system.positions(seed=1)
    wanted = Reduced(system, "bf16")(q)[1]
    system.route = route
    assert torch.equal(Reduced(system, "bf16")(q)[1], wanted)


class Scaled(nn.Module):
    """A network with integer inputs, a floating buffer and batch statistics."""

    def __init__(self):
        super().__init__()
        self.embedding, self.norm, self.output = nn.Embedding(300, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)
        self.register_buffer("scale", torch.rand(4) + 0.5)

    def forward(self, x):
        return self.output(self.norm(self.embedding(x)) * self.scale)


def test_integers_stay_and_buffers_follow():
    torch.manual_seed(0)
    x = torch.arange(270, 300)  # bfloat16 does not know these numbers from each other
    system = md.ParticleSystem(Scaled(), functional.cross_entropy, x, x % 2, replicas=2)
    q = system.positions(seed=1)
    u, f = Reduced(system, "bf16")(q)
    assert (error(f, system.force(q)[1]) < 0.05).all()
    assert (u.bfloat16() != u).any()  # the loss is not rounded


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_bf16_force_is_one():
    system = tanh_network()
    q = system.positions(seed=1)
    f = Reduced(system, "bf16", route="compiled")(q)[1]
    assert f.dtype == torch.float32
    assert (error(f, system.force(q)[1]) < 0.05).all()


@pytest.mark.parametrize(
    ("precision", "options", "told"),
    [
        ("bf61", {}, "precision 'bf61'.*bf16"),
        ("tf32", {}, "arithmetic of NVIDIA GPUs, and the device is 'cpu'"),
        ("bf16", {"dtype": torch.float64}, "'bf16' with float64 positions"),
    ],
)
def test_what_does_not_go_is_refused(precision, options, told):
    with pytest.raises(ValueError, match=told):
        Reduced(tanh_network(**options), precision)


@pytest.fixture
def flags():
    """The two switches of torch, set so that both of our precisions have to change one, and put back at the end."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32, cudnn.allow_tf32 = False, True
    yield lambda: (matmul.allow_tf32, cudnn.allow_tf32)
    matmul.allow_tf32, cudnn.allow_tf32 = before


@pytest.mark.parametrize(("precision", "inside"), [("tf32", True), ("float32", False), ("bf16", False)])
def test_tf32_is_on_inside_only(flags, precision, inside):
    with products(precision, CUDA):
        assert flags() == (inside, inside)
    assert flags() == (False, True)
    with pytest.raises(RuntimeError, match="stop"), products(precision, CUDA):
        raise RuntimeError("stop")
    assert flags() == (False, True)
    with products(precision, torch.device("cpu")):
        assert flags() == (False, True)


class Noisy:
    """A force with normal noise of the standard deviation s, where its precision is bf16."""

    def __init__(self, force, s):
        self.force, self.s = force, s

    def __call__(self, q):
        u, f = self.force(q)
        return u, f + self.s * torch.randn_like(f) if self.force.precision == "bf16" else f


def test_heat_of_a_noisy_force_is_measured(seed):
    """Law: noise of variance s^2 in the force, drawn at each step, heats a particle by dt s^2/(2m)."""
    network = LinearNetwork(256, dtype=torch.float32, n=4)
    dt, s = 0.05, 3.0
    table = precision_bias(
        network.system, lambda force: Splitting(OBABO, Noisy(force, s), dt, Langevin(1.0, friction=0.1)), "bf16",
        steps=200, burn=50, seed=seed,
    )  # fmt: skip
    kinetic, potential, heating, force = table
    expected = dt * s**2 / 2 * (1 / network.m).mean().item()
    assert abs(heating.difference - expected) < Z * heating.error
    assert kinetic.z > Z
    assert potential.z > Z
    assert 1e-4 < force.reduced < 0.05


def test_the_same_force_has_no_bias():
    """Law: from the same starts and the same random numbers the same force gives the same run, whenever it is run."""
    system = tanh_network(prior=md.GaussianPrior(temperature=0.05))

    def build(force):
        return Splitting(OBABO, force, 0.05, Langevin(0.05, friction=1.0))

    tables = []
    for _ in range(2):
        torch.rand(1)  # the caller's random numbers are none of the run's
        tables.append(precision_bias(system, build, "float32", steps=20, burn=5))
    table, again = tables
    assert table == again
    assert [(row.difference, row.z) for row in table] == [(0.0, 0.0)] * 4
    assert table[0].full > 0


def test_the_table_of_biases_has_a_row_for_every_quantity():
    rows = gpu.precision_table(torch.device("cpu"), {"a": 2}, steps=10, burn=0)
    assert [row["quantity"] for row in rows[:4]] == [
        "kinetic temperature", "potential energy", "heating of a degree of freedom", "relative error of the force"
    ]  # fmt: skip
    assert {(row["bath"], row["force"]) for row in rows} == {(bath, "bf16") for bath in gpu.BATHS}
    (table,) = grouped(rows, "what they change")
    assert (table.name, len(table.rows)) == ("bias", len(rows))
    assert {"quantity", "difference", "z"} < set(table.columns)


def test_steps_fit_the_looks():
    with pytest.raises(ValueError, match="steps = 15 must be a multiple of every = 10"):
        precision_bias(tanh_network(), lambda force: Splitting(OBABO, force, 0.1), "bf16", steps=15, burn=0)


def test_a_run_that_diverges_is_told():
    system = tanh_network(prior=md.GaussianPrior(temperature=1.0))
    with pytest.raises(ValueError, match=r"diverged with dt = \[9.0\]"):
        precision_bias(system, lambda force: Splitting(VERLET, force, 9.0), "bf16", steps=200, burn=0)
