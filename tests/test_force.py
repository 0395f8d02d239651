"""Law: the force is minus the gradient of the energy, for every network, replica by replica, box or no box."""

import pytest
import torch
from systems import LinearNetwork, Z, deviation
from torch import nn

from integrators import VERLET, Splitting
from mdnet.priors import Box, GaussianPrior, mirror
from mdnet.system import ParticleSystem

mse = nn.functional.mse_loss


class Scaled(nn.Module):
    """A network with a parameter of no dimension, and a frozen one."""

    def __init__(self):
        super().__init__()
        self.layer, self.gain = nn.Linear(3, 2), nn.Parameter(torch.tensor(1.3))
        self.frozen = nn.Parameter(torch.tensor([0.5, 2.0]), requires_grad=False)

    def forward(self, x):
        return self.gain * torch.tanh(self.layer(x)) + self.frozen


class Tied(nn.Module):
    """One matrix there and back."""

    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
        self.up.weight = self.down.weight

    def forward(self, x):
        return self.up(torch.tanh(self.down(x)))[:, :2]


def mlp():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def batch_norm():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 2))


def conv():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 2))


def frozen():
    network = mlp()
    network[0].weight.requires_grad_(False)
    return network


NETWORKS = {f.__name__: f for f in (mlp, batch_norm, conv, frozen, Scaled, Tied)}
DOF = {"mlp": 26, "batch_norm": 34, "conv": 38, "frozen": 14, "Scaled": 9, "Tied": 12}
PRIORS = {
    "none": None,
    "number": GaussianPrior(0.5),
    "fan_in": GaussianPrior("fan_in", temperature=0.3),
    "box": Box(0.4),
}


def data(name="mlp", n=12):
    noise = torch.Generator().manual_seed(3)
    shape = (n, 1, 4, 4) if name == "conv" else (n, 3)
    return torch.randn(shape, generator=noise), torch.randn(n, 2, generator=noise)


def system(name="mlp", **options):
    options = {"replicas": 3, "dtype": torch.float64, "scale": 12.0} | options
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)  # the same frozen weights in every system of a test
        network = NETWORKS[name]()
    return ParticleSystem(network, mse, *data(name), **options)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("name", NETWORKS)
def test_central_differences(name, prior):
    """f = -(U(q + h e) - U(q - h e))/2h, with h so that rounding and the third derivative are both small."""
    particles, h = system(name, prior=PRIORS[prior]), 1e-5
    assert particles.dof == DOF[name]
    q = particles.positions(seed=1) + 0.3 * torch.randn(3, particles.dof, dtype=torch.float64)
    u, f = particles.force(q)
    assert u.shape == (3,)
    assert u.dtype == torch.float64
    assert torch.equal(u, particles.energy(q))
    difference = torch.stack(
        [-(particles.energy(q + h * e) - particles.energy(q - h * e)) / (2 * h) for e in torch.eye(particles.dof)], -1
    )
    assert (f - difference).abs().max() / f.abs().max() < 1e-6


@pytest.mark.parametrize(("dtype", "exact"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_replica_alone_is_the_replica_in_a_batch(name, dtype, exact):
    many = system(name, replicas=7, dtype=dtype)
    q, alone = many.positions(seed=2), system(name, replicas=1, dtype=dtype)
    u, f = many.force(q)
    for i in range(7):
        u1, f1 = alone.force(q[i : i + 1])
        assert (u1 - u[i]).abs().max() <= exact * u.abs().max()
        assert (f1 - f[i]).abs().max() <= exact * f.abs().max()


@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_a_trajectory_alone_is_the_trajectory_in_a_batch(name):
    many, alone = system(name, replicas=5), system(name, replicas=1)
    q, p = many.positions(seed=2), torch.randn(5, many.dof, dtype=torch.float64)
    ends = []
    for particles, rows in ((many, slice(0, 5)), (alone, slice(2, 3))):
        engine = Splitting(VERLET, particles.force, 0.01)
        phase = engine.start(q[rows].clone(), p[rows].clone(), particles.masses)
        for _ in range(50):
            engine(phase)
        ends.append(phase.q)
    assert (ends[0][2] - ends[1][0]).abs().max() < 1e-12 * ends[0].abs().max()


def test_replicas_may_see_different_data():
    index = torch.stack([torch.randperm(12)[:5] for _ in range(3)])
    particles = system(index=index, prior=GaussianPrior(0.5))
    q = particles.positions(seed=4)
    u, f = particles.force(q)
    inputs, targets = data()
    for i, rows in enumerate(index):
        own = ParticleSystem(
            mlp(), mse, inputs[rows], targets[rows], prior=GaussianPrior(0.5), scale=12.0, dtype=torch.float64
        )
        torch.testing.assert_close(own.force(q[i : i + 1]), (u[i : i + 1], f[i : i + 1]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("spread", "stiffness"),
    [
        (0.5, [2.0] * 26),
        ("fan_in", [3.0] * 16 + [4.0] * 10),
        ({"0": 0.5, "2.weight": 0.1, "2.bias": 2.0}, [2.0] * 16 + [10.0] * 8 + [0.5] * 2),
    ],
    ids=["number", "fan_in", "mapping"],
)
def test_the_prior_is_a_spring(spread, stiffness):
    """U_prior = T_0 sum q^2/2 s^2 and its force -T_0 q/s^2, on top of the loss."""
    bare, held = system(), system(prior=GaussianPrior(spread, temperature=0.7))
    q, k = torch.randn(3, 26, dtype=torch.float64), 0.7 * torch.tensor(stiffness, dtype=torch.float64)
    (u0, f0), (u, f) = bare.force(q), held.force(q)
    torch.testing.assert_close(u - u0, (k * q**2 / 2).sum(-1), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(f - f0, -k * q, rtol=1e-10, atol=1e-10)


def test_scale_and_frozen_parameters():
    q = system().positions(seed=3)
    (u1, f1), (u12, f12) = system(scale=1.0).force(q), system(scale=12.0).force(q)
    torch.testing.assert_close((12 * u1, 12 * f1), (u12, f12), rtol=1e-12, atol=0)
    inputs, targets = data()
    network = system().module(q[1])
    assert 12 * mse(network(inputs.double()), targets.double()).item() == pytest.approx(u12[1].item(), rel=1e-12)


def test_the_box_is_a_mirror():
    """The energy of a point and of its images are the same; the force is reflected with it."""
    walls = torch.full((26,), 0.4, dtype=torch.float64)
    particles, bare = system(prior=Box(0.4)), system()
    q = 0.4 * (2 * torch.rand(3, 26, dtype=torch.float64) - 1)
    u, f = particles.force(q)
    torch.testing.assert_close(bare.force(q), (u, f), rtol=1e-12, atol=1e-12)
    for image, sign in ((2 * walls - q, -1.0), (-2 * walls - q, -1.0), (q + 4 * walls, 1.0)):
        torch.testing.assert_close(particles.force(image), (u, sign * f), rtol=1e-9, atol=1e-9)
    folded, sign = mirror(2 * walls - q, walls)
    torch.testing.assert_close(folded, q, rtol=0, atol=1e-14)
    assert (sign == -1).all()


@pytest.mark.parametrize("wall", [-0.4, 0.4])
def test_the_force_changes_sign_at_a_wall_and_the_energy_does_not_jump(wall):
    particles = system(prior=Box(0.4), replicas=2)
    q = (0.3 * torch.randn(26, dtype=torch.float64)).repeat(2, 1)
    q[0, 5], q[1, 5] = wall - 1e-9, wall + 1e-9
    u, f = particles.force(q)
    assert (u[0] - u[1]).abs() < 1e-7
    assert f[0, 5].abs() > 1e-3
    torch.testing.assert_close(f[0, 5], -f[1, 5], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(f[0, 6:], f[1, 6:], rtol=1e-6, atol=1e-6)


def test_a_free_particle_in_a_box_is_folded_back_and_spreads_evenly():
    """A constant loss: straight lines between mirrors, so that <q^2> = w^2/3 and <q^4> = w^4/5 in the long run."""
    constant = ParticleSystem(
        mlp(), lambda output, target: 0.0 * mse(output, target), *data(), replicas=512, prior=Box(0.4),
        dtype=torch.float64,
    )  # fmt: skip
    p = torch.randn(512, 26, dtype=torch.float64)
    phase = (engine := Splitting(VERLET, constant.force, 0.7)).start(0 * p, p.clone(), constant.masses)
    for _ in range(30):
        engine(phase)
        engine.mirror(phase, constant.fold(phase.q))
        assert phase.q.abs().max() <= 0.4 + 1e-12
    torch.testing.assert_close(phase.p.abs(), p.abs(), rtol=1e-12, atol=0)
    assert deviation(phase.q, 0.0) < Z
    assert deviation(phase.q**2, 0.4**2 / 3) < Z
    assert deviation(phase.q**4, 0.4**4 / 5) < Z


def test_masses_by_layer():
    masses = system(masses={"0": 2.0, "2.weight": 3.0, "2.bias": 0.5}).masses
    assert masses.tolist() == [2.0] * 16 + [3.0] * 8 + [0.5] * 2
    assert system(masses=4.0).masses.tolist() == [4.0] * 26


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch itself; a fall back to eager is an error
def test_the_compiled_force_is_the_eager_force():
    for prior in PRIORS.values():
        eager, compiled = system(prior=prior), system(prior=prior, route="compiled")
        q = eager.positions(seed=5)
        torch.testing.assert_close(eager.force(q), compiled.force(q), rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_any_number_of_systems_and_replicas_may_be_compiled():
    """The compiler allows a code object eight graphs; each system has its own, and other batches run uncompiled."""
    for seed in range(10):
        few = system(replicas=2, route="compiled")
        q = few.positions(seed=seed)
        u = few.force(q)[0]
        torch.testing.assert_close(few.energy(q.repeat(seed + 1, 1)), u.repeat(seed + 1), rtol=1e-12, atol=1e-12)


class Counting(nn.Module):
    def forward(self, x):
        return x * x.sum().item()


def untrained():
    return nn.Sequential(nn.Tanh(), nn.Flatten())


def with_nan(x):
    x = x.clone()
    x[4, 0] = float("nan")
    return x


X, Y = data()
BAD = {
    "nan inputs": ({"inputs": with_nan(X)}, "inputs has 1 values that are NaN .* row 4"),
    "nan targets": ({"targets": with_nan(Y)}, "targets has 1 values that are NaN"),
    "no rows": ({"inputs": X[:0], "targets": Y[:0]}, "the first dimension counts the data"),
    "unequal rows": ({"targets": Y[:5]}, "12 inputs but 5 targets"),
    "a list": ({"targets": Y.tolist()}, "targets is a list; give a tensor"),
    "target shape": ({"targets": Y.reshape(12, 2, 1)}, "loss mse_loss would broadcast"),
    "target type": ({"loss": nn.functional.cross_entropy, "targets": torch.zeros(12)}, "cross_entropy"),
    "no mean": ({"loss": nn.MSELoss(reduction="none")}, "must return a mean"),
    "integer loss": ({"loss": lambda output, target: torch.tensor(3)}, "floating-point mean"),
    "no parameters": ({"network": untrained()}, "no trainable parameters"),
    "item": ({"network": nn.Sequential(nn.Linear(3, 2), Counting())}, r"layer '1' \(Counting\) cannot be vectorised"),
    "wrong width": ({"network": nn.Sequential(nn.Linear(3, 4), nn.Linear(3, 2))}, r"layer '1' \(Linear\) fails"),
    "no replicas": ({"replicas": 0}, "replicas = 0 must be one or more"),
    "scale": ({"scale": -1.0}, "scale = -1.0 must be finite and positive"),
    "negative mass": ({"masses": -1.0}, "masses = -1.0 must be finite and positive"),
    "a zero mass": ({"masses": {"0": 1.0, "2": 0.0}}, "must be finite and positive"),
    "no such layer": ({"masses": {"0": 1.0, "3": 2.0}}, "'3' names no parameter tensor; there are .*0.weight"),
    "a layer left out": ({"masses": {"0": 1.0}}, r"no value is given for .*\['2.weight', '2.bias'\]"),
    "index shape": ({"index": torch.zeros(2, 5, dtype=torch.int64)}, "index is .*must be int64 of shape"),
    "index range": ({"index": torch.full((3, 5), 12)}, "index has rows outside 0 to 11"),
    "prior name": ({"prior": GaussianPrior("fan_out")}, "variance = 'fan_out' is unknown"),
    "prior variance": ({"prior": GaussianPrior(-1.0)}, "variance = -1.0 must be finite and positive"),
    "box": ({"prior": Box(0.0)}, "halfwidth = 0.0 must be finite and positive"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_its_remedy(name):
    change, message = BAD[name]
    options = {"network": mlp(), "loss": mse, "inputs": X, "targets": Y, "replicas": 3} | change
    with pytest.raises(ValueError, match=message):
        ParticleSystem(
            options.pop("network"), options.pop("loss"), options.pop("inputs"), options.pop("targets"), **options
        )


def test_a_negative_prior_temperature_is_refused():
    with pytest.raises(ValueError, match=r"temperature = -1.0 of the prior must not be negative"):
        GaussianPrior(1.0, temperature=-1.0)


def test_the_linear_network_has_the_force_of_its_closed_form():
    for dtype, exact in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        network = LinearNetwork(4, dtype=dtype)
        q = torch.randn(4, 8, dtype=dtype)
        expected = (network.mean - q.double()) @ network.stiffness
        assert (network.system.force(q)[1] - expected).abs().max() < exact * expected.abs().max()
