"""Law: a scale-invariant network knows the direction of its weights alone, and SGD on it an effective rate."""

from __future__ import annotations

import pytest
import torch
from systems import Z, deviation
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

import mdnet as md
from integrators import SGD
from mdnet import networks
from mdnet.distributed.parts import method_part, system_part
from mdnet.networks import build
from mdnet.tangent_noise import TangentNoise

IMAGE = (3, 32, 32)
SIZES = {  # of networks for ten classes
    "mlp 6 6": ("scale-invariant-mlp", 64, {}, 420),
    "mlp 8 8": ("scale-invariant-mlp", 64, {"hidden": [8, 8]}, 576),
    "mlp 48 48": ("scale-invariant-mlp", 64, {"hidden": [48, 48]}, 5376),
    "convnet 8": ("scale-invariant-convnet", IMAGE, {}, 24_408),
    "convnet 64": ("scale-invariant-convnet", IMAGE, {"channels": 64}, 1_550_016),
    "resnet 4": ("preact-resnet18", IMAGE, {}, 43_692),
    "unit": ("unit-linear", 64, {}, 640),
}
SMALL = {
    "mlp": build("scale-invariant-mlp", 5, 3, {"hidden": [4, 4]}),
    "mlp of images": build("scale-invariant-mlp", (1, 2, 3), 3, {"hidden": [4], "activation": "tanh"}),
    "convnet": build("scale-invariant-convnet", (2, 8, 9), 3, {"channels": 2}),
    "resnet": build("preact-resnet18", (2, 8, 9), 3, {"channels": 2}),
    "unit": build("unit-linear", 5, 3),
}
SHAPES = {"mlp": (5,), "mlp of images": (1, 2, 3), "convnet": (2, 8, 9), "resnet": (2, 8, 9), "unit": (5,)}


def make(name, replicas=3, dtype=torch.float64, network=None, rows=12, route="eager"):
    x, y = torch.randn(rows, *SHAPES[name], dtype=dtype), torch.arange(rows) % 3
    made = SMALL[name] if network is None else network
    return md.ParticleSystem(made, cross_entropy, x, y, replicas=replicas, dtype=dtype, route=route)


@pytest.mark.parametrize("case", SIZES)
def test_they_have_as_many_particles_as_published(case):
    name, inputs, options, dof = SIZES[case]
    network = build(name, inputs, 10, options)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == dof
    if "64" not in case:
        assert network(torch.randn(4, *(inputs if isinstance(inputs, tuple) else (inputs,)))).shape == (4, 10)


@pytest.mark.parametrize("name", SMALL)
def test_the_energy_knows_no_scale_and_the_force_is_tangent(name):
    """Law: U(a q) = U(q), so q.f(q) = 0 and f(a q) = f(q)/a; on the unit sphere as well as where the weights start."""
    system = make(name)
    q = system.positions(seed=1)
    for start in (q, q / q.norm(dim=-1, keepdim=True)):
        assert networks.scale_dependence(system, start) < 1e-7
        networks.refuse_scale_dependent(system, start)
        (u, f), (u3, f3) = system.force(start), system.force(3 * start)
        torch.testing.assert_close(u3, u, rtol=1e-7, atol=1e-7)
        assert ((3 * f3 - f).norm(dim=-1) / f.norm(dim=-1)).max() < 1e-6
        assert ((f * start).sum(-1) / f.norm(dim=-1) / start.norm(dim=-1)).abs().max() < 1e-7
        assert (f.norm(dim=-1) > 1e-3).all()


@pytest.mark.parametrize("name", SMALL)
def test_they_are_vectorised_over_replicas(name):
    system = make(name)
    q = system.positions(seed=2)
    u, f = system.force(q)
    for replica in range(2):
        copy = system.module(q[replica])
        loss = cross_entropy(copy(system.inputs), system.targets)
        moving = [p for p in copy.parameters() if p.requires_grad]
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, moving)])
        torch.testing.assert_close((u[replica], f[replica]), (loss, -gradient), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ["mlp", "convnet", "resnet"])
def test_the_last_layer_is_the_same_for_all_seeds(name):
    """Law: the frozen layer has the norm that was asked for, whatever the seed of torch and of the positions."""
    torch.manual_seed(1)
    first = build(f"scale-invariant-{name}" if name != "resnet" else "preact-resnet18", SHAPES[name], 3, {"norm": 7.0})
    torch.manual_seed(2)
    again = build(f"scale-invariant-{name}" if name != "resnet" else "preact-resnet18", SHAPES[name], 3, {"norm": 7.0})
    assert torch.equal(first.output.weight, again.output.weight)
    assert first.output.bias is None
    system = make(name, network=first)
    a, b = system.positions(seed=1), system.positions(seed=2)
    assert not torch.equal(a, b)
    for q in (a, b):
        layer = system.module(q[0]).output.weight
        assert not layer.requires_grad
        torch.testing.assert_close(layer, first.output.weight.double())
        assert layer.norm().item() == pytest.approx(7.0, rel=1e-6)


@pytest.mark.parametrize("missing", ["bias", "affine norm", "moving last layer", "large epsilon"])
def test_what_depends_on_the_scale_is_told(missing):
    bias, affine = missing == "bias", missing == "affine norm"
    epsilon = 0.1 if missing == "large epsilon" else 1e-12
    network = nn.Sequential(
        nn.Linear(5, 6, bias=bias), nn.BatchNorm1d(6, epsilon, affine=affine), nn.ReLU(), nn.Linear(6, 3, bias=False)
    )
    if bias or affine:  # the starting values 0 and 1 hide them
        network[1 if affine else 0].bias.data.normal_()
    if bias:
        network[1] = nn.Identity()
    network[-1].weight.requires_grad_(missing == "moving last layer")
    system = make("mlp", network=network)
    q = system.positions()
    assert networks.scale_dependence(system, q) > 1e-3
    suspect = {"bias": "0.bias", "affine norm": "1.weight, 1.bias", "moving last layer": "3.weight"}.get(missing, "eps")
    with pytest.raises(ValueError, match=rf"depends on the scale of the weights.*{suspect}"):
        networks.refuse_scale_dependent(system, q)


@pytest.mark.parametrize("name", ["mlp", "resnet"])
def test_plain_networks_are_refused(name):
    plain = networks.mlp(5, 3) if name == "mlp" else networks.resnet((2, 8, 9), 3, channels=(2, 2))
    system = make(name, network=plain)
    with pytest.raises(ValueError, match="depends on the scale"):
        networks.refuse_scale_dependent(system, system.positions(seed=1))


@pytest.mark.parametrize(
    ("name", "inputs", "options", "said"),
    [
        ("scale-invariant-mlp", 4, {"hidden": []}, "only hidden layers are particles"),
        ("scale-invariant-mlp", 4, {"norm": 0.0}, "norm = 0.0 must be finite and positive"),
        ("scale-invariant-convnet", (3, 3, 9), {}, "at least 4 x 4 pixels"),
        ("preact-resnet18", (3, 8, 7), {}, "at least 8 x 8 pixels"),
        ("preact-resnet18", IMAGE, {"channels": 0}, r"channels = \(0,\)"),
    ],
)
def test_a_wrong_network_names_the_remedy(name, inputs, options, said):
    with pytest.raises(ValueError, match=said):
        build(name, inputs, 10, options)


def test_the_toy_is_the_angle_to_each_row():
    """Law: one unit output with targets zero has the loss (w.x_i)^2/|w|^2."""
    x = torch.randn(4, 3, dtype=torch.float64)
    system = md.ParticleSystem(networks.unit_linear(3, 1), mse_loss, x, torch.zeros(4, 1), dtype=torch.float64)
    w = torch.randn(1, 3, dtype=torch.float64)
    torch.testing.assert_close(system.energy(w), ((x @ w[0]).square().mean() / w.square().sum())[None])


@pytest.mark.parametrize("name", ["mlp", "convnet", "unit"])
def test_the_direction_does_not_know_where_it_starts(name):
    """Law: at a fixed effective rate the directions from q and 5 q are the same with the same batches, radii 1 : 5."""
    system = make(name)
    q, ends = system.positions(seed=3), []
    for scale in (1.0, 5.0):
        torch.manual_seed(4)
        engine = SGD(system.minibatch(8, replace=False), 1e-3, effective=True)
        phase = engine.start(scale * q, torch.zeros_like(q), system.masses)
        for _ in range(60):
            engine(phase)
        ends.append(phase.q.clone())
    norms = [end.norm(dim=-1, keepdim=True) for end in ends]
    torch.testing.assert_close(ends[0] / norms[0], ends[1] / norms[1], rtol=0, atol=1e-9)
    torch.testing.assert_close(5 * norms[0], norms[1], rtol=1e-9, atol=0)
    assert (ends[0] / norms[0] - q / q.norm(dim=-1, keepdim=True)).norm(dim=-1).min() > 0.01


def flat(q):
    return torch.zeros(len(q), dtype=torch.float64), torch.zeros_like(q)


def test_tangent_noise_has_its_moments():
    """Law: the noise has mean zero, E|noise|^2 = sigma^2 (D - 1)/|q|^2, and no part along q."""
    sigma = torch.tensor([[0.5], [2.0]], dtype=torch.float64).repeat_interleave(4096, 0)
    q = torch.randn(1, 8, dtype=torch.float64).expand(8192, 8)
    u, noise = TangentNoise(flat, sigma)(q)
    assert torch.equal(u, torch.zeros(8192, dtype=torch.float64))
    assert (noise * q).sum(-1).abs().max() < 1e-12
    for rows, size in ((slice(4096), 0.5), (slice(4096, None), 2.0)):
        assert deviation(noise[rows], 0.0) < Z
        assert deviation(noise[rows].square().sum(-1), size**2 * 7 / q[0].square().sum().item()) < Z


def test_tangent_noise_is_around_a_force():
    system = make("mlp")
    q = system.positions(seed=1)
    force = TangentNoise(system.minibatch(4), 0.1)
    assert SGD(force, 0.1).stochastic
    torch.testing.assert_close(force.mean(q), system.force(q))
    torch.testing.assert_close(TangentNoise(system.force, 0.0)(q), system.force(q))
    assert str(force) == "TangentNoise(MinibatchForce(size=4, replace=True, shared=False), sigma=0.1)"
    assert "0x" not in str(TangentNoise(system.force, 0.1))
    with pytest.raises(ValueError, match=r"sigma = -1\.0 must be finite and not negative"):
        TangentNoise(system.force, -1.0)


def test_tangent_noise_is_divided_over_ranks():
    whole, rows = make("mlp"), slice(1, 3)
    own = system_part(whole, rows, slice(0, 12))
    sigma = torch.tensor([[1.0], [2.0], [3.0]])
    for inner in (whole.force, whole.minibatch([2, 4, 4])):
        part = method_part(SGD(TangentNoise(inner, sigma), 0.1), whole, own, rows).force
        assert part.sigma.flatten().tolist() == [2.0, 3.0]
        assert part(whole.positions(seed=1)[rows])[1].shape == (2, whole.dof)
    with pytest.raises(ValueError, match="cannot be divided over ranks"):
        method_part(SGD(TangentNoise(flat, 1.0), 0.1), whole, own, rows)


DOF, DECAY = 8, 0.5


def radii(rates, steps, burn, **options):
    """r^2 (steps, rates, seeds) of walks on a flat energy with tangent noise of size one, from the settled radius."""
    seeds = 256
    rate = torch.tensor(rates, dtype=torch.float64).repeat_interleave(seeds)[:, None]
    engine = SGD(TangentNoise(flat, 1.0), rate, weight_decay=DECAY, **options)
    t = 0.5 * rate if options else (0.5 * rate * DECAY / (DOF - 1)).sqrt()
    q = torch.randn(len(rate), DOF, dtype=torch.float64)
    q *= (t * (DOF - 1) / DECAY).sqrt() / q.norm(dim=-1, keepdim=True)
    phase, kept = engine.start(q, torch.zeros_like(q), torch.ones(DOF, dtype=torch.float64)), []
    for step in range(burn + steps):
        engine(phase)
        if step >= burn:
            kept.append(phase.q.square().sum(-1))
    return torch.stack(kept).view(steps, len(rates), seeds)


def test_the_radius_settles_at_a_fixed_effective_rate():
    """Law: r*^2 = T (D - 1)/lambda with T = eta/2 (sigma = 1), times 1 + c e, e = eta^2 (D - 1).

    r'^2 = r^2 ((1 - eta lambda r^2)^2 + eta^2 chi^2): where ln r is stationary to second order in e, with chi^2 of
    D - 1 degrees of freedom, c = 3/4 - (D + 1)/(2 (D - 1)). At any rate the mean of r'^2 - r^2 vanishes.
    """
    rates = (0.03, 0.05, 0.2)
    x = radii(rates, 2000, 1000, effective=True)
    for k, eta in enumerate(rates):
        e = eta**2 * (DOF - 1)
        if eta < 0.1:
            settled = 0.5 * eta * (DOF - 1) / DECAY * (1 + e * (0.75 - (DOF + 1) / (2 * (DOF - 1))))
            assert deviation(x[:, k].mean(0), settled) < Z
        change = (eta * DECAY * x[:, k]).square() - 2 * eta * DECAY * x[:, k] + e
        assert deviation((x[:, k] * change).mean(0), 0.0) < Z


def test_the_radius_settles_at_a_fixed_rate():
    """Law: r*^4 = (T (D - 1)/lambda)^2 with T^2 = eta lambda/(2 (D - 1)) (sigma = 1), and its discrete correction.

    r'^2 = a r^2 + eta^2 chi^2/r^2, a = (1 - eta lambda)^2: the mean y of r^4 solves, to first order in eta lambda,
    (1 - a^2) y = 2 a eta^2 (D - 1) + eta^4 (D^2 - 1)/y. At any rate (1 - a) E r^2 = eta^2 (D - 1) E r^-2.
    """
    rates = (0.01, 0.04, 0.4)
    x = radii(rates, 1500, 500)
    for k, eta in enumerate(rates):
        a = (1 - eta * DECAY) ** 2
        if eta < 0.1:
            half = a * eta**2 * (DOF - 1) / (1 - a**2)
            y = half + (half**2 + eta**4 * (DOF**2 - 1) / (1 - a**2)) ** 0.5
            assert y == pytest.approx(eta / (2 * DECAY) * (DOF - 1), rel=2.1 * eta)
            assert deviation(x[:, k].square().mean(0), y) < Z
        assert deviation(((a - 1) * x[:, k] + eta**2 * (DOF - 1) / x[:, k]).mean(0), 0.0) < Z


def test_a_sphere_stays_a_sphere_in_single_precision():
    """Law: the radius is kept to 1e-6 over 10,000 steps, at a radius of one and at another."""
    radius = torch.tensor([[1.0], [30.0]])
    engine = SGD(TangentNoise(flat, 1.0), 0.05 * radius**2, radius=radius)
    q = torch.randn(2, 420)
    phase = engine.start(q, torch.zeros_like(q), torch.ones(420))
    for _ in range(10_000):
        engine(phase)
    assert (phase.q.double().norm(dim=-1) / radius[:, 0] - 1).abs().max() < 1e-6
