"""Networks by name, and their minimisation replica by replica."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, mse_loss

import mdnet as md
from mdnet.networks import ACTIVATIONS, build


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", ["mlp", "convnet", "resnet"])
def test_every_network_is_a_particle_system(name, activation):
    images, labels = torch.randn(6, 2, 9, 8), torch.arange(6) % 3
    network = build(name, (2, 9, 8), 3, {"activation": activation})
    system = md.ParticleSystem(network, cross_entropy, images, labels, replicas=2, dtype=torch.float64)
    q = system.positions(seed=1)
    u, f = system.force(q)
    for replica in range(2):
        copy = system.module(q[replica])
        loss = cross_entropy(copy(images.double()), labels)
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(copy.parameters()))])
        torch.testing.assert_close(u[replica], loss)
        torch.testing.assert_close(f[replica], -gradient)


def test_a_linear_network_is_an_mlp_without_layers():
    assert [name for name, _ in md.networks.linear(3, 2).named_parameters()] == ["output.weight", "output.bias"]
    assert [name for name, _ in md.networks.mlp(3, 2, hidden=(4,)).named_parameters()] == [
        "hidden1.weight", "hidden1.bias", "output.weight", "output.bias",
    ]  # fmt: skip


def test_a_resnet_is_that_of_the_literature():
    """Law: channels (16, 32, 64) with three blocks are ResNet-20 of He et al.: 269,722 parameters, and the skips."""
    resnet = md.networks.resnet((3, 32, 32), 10, blocks=3)
    skips = sum(p.numel() for name, p in resnet.named_parameters() if ".skip." in name)
    assert sum(p.numel() for p in resnet.parameters()) - skips == 269_722
    assert skips == 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    convolutions = [m for m in resnet.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(convolutions) + 1 == 20
    seen = []
    resnet.stage3_block3.register_forward_hook(lambda module, given, out: seen.append(tuple(out.shape)))
    assert resnet(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert seen == [(2, 64, 8, 8)]


def test_a_residual_block_adds_its_input():
    """Law: with the norm before the sum at zero, activation(F(x) + x) is activation(x)."""
    block = md.networks.Residual(3, 3)
    torch.nn.init.zeros_(block.norm2.weight)
    x = torch.randn(4, 3, 5, 5)
    assert torch.equal(block(x), x.relu())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build("mpl", 1, 1), "unknown network 'mpl'; did you mean 'mlp'"),
        (lambda: build("mlp", 1, 1, {"hiden": [3]}), "'hiden'; did you mean 'hidden'"),
        (lambda: build("mlp", 1, 1, {"activation": "thanh"}), "did you mean 'tanh'"),
        (lambda: build("mlp", 1, 1, {"hidden": [0]}), r"hidden = \(0,\)"),
        (lambda: build("mlp", 1, 0), r"outputs = \(0,\)"),
        (lambda: build("convnet", 4, 1), "needs .channels, height, width."),
        (lambda: build("convnet", (1, 3, 3), 1), "at least 4 x 4 pixels"),
        (lambda: build("resnet", (1, 3, 3), 1), "a resnet of 3 stages needs .* at least 4 x 4 pixels"),
        (lambda: build("resnet", (1, 8, 8), 1, {"blocks": 0}), r"blocks = \(0,\)"),
    ],
)
def test_a_wrong_network_names_the_remedy(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def make_system(replicas=3, **options):
    x = torch.linspace(-1, 1, 20)[:, None]
    network = md.networks.mlp(1, 1, (8,))
    return md.ParticleSystem(network, mse_loss, x, x.sin(), replicas=replicas, dtype=torch.float64, **options)


def test_minimisation_is_torch_adam_in_every_replica():
    system = make_system()
    start = system.positions(seed=1)
    before = start.clone()
    together = md.minimise(system, start, 50, 1e-2, progress=False)
    assert torch.equal(start, before)
    assert (system.energy(together) < 0.5 * system.energy(start)).all()
    for replica in range(3):
        network = system.module(start[replica])
        adam = torch.optim.Adam(network.parameters(), lr=1e-2)
        for _ in range(50):
            adam.zero_grad()
            mse_loss(network(system.inputs), system.targets).backward()
            adam.step()
        torch.testing.assert_close(together[replica], system.table.flatten(network), rtol=1e-6, atol=1e-8)


def test_minimisation_is_watched_at_its_cadence():
    system = make_system()
    seen = []
    last = md.minimise(
        system, system.positions(seed=1), 20, 1e-2, progress=False, every=10, watch=lambda q: seen.append(q.clone())
    )
    assert len(seen) == 3
    assert torch.equal(seen[0], system.positions(seed=1))
    assert torch.equal(seen[-1], last)


def test_minimisation_stays_within_walls():
    system = make_system(prior=md.Box(0.1))
    q = md.minimise(system, torch.zeros(3, system.dof), 50, 0.05, progress=False)
    assert q.abs().max() <= 0.1


def test_minimisation_that_cannot_be_says_so():
    system = make_system()
    with pytest.raises(ValueError, match="rate = 0"):
        md.minimise(system, system.positions(), 10, 0, progress=False)
    lost = system.positions(seed=1)
    lost[1] = float("inf")
    with pytest.raises(ValueError, match=r"replica 1 \(1 of 3\)"):
        md.minimise(system, lost, 1, 0.1, progress=False)
