"""The presets on images: what U is on blocks of rows, that replicas do not mix, where data come from, and a sweep."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.nn.functional import cross_entropy

import mdnet as md
import trajectories
from integrators import SGD
from mdnet.bench import sweep_of_rates
from mdnet.bench.products import ProductConv2d, by_products
from mdnet.bench.rate import Timing
from mdnet.bench.sweep_of_rates import Case, Way
from mdnet.experiments.free_energy import images
from mdnet.experiments.free_energy.figures import free_energies
from mdnet.experiments.free_energy.images import InBlocks, cifar
from mdnet.experiments.free_energy.sweep import sweep
from mdnet.networks import preact_resnet18, scale_invariant_convnet

SIDE = 8
NETWORKS = {
    "convnet": partial(scale_invariant_convnet, (3, SIDE, SIDE), 10, 2),
    "resnet": partial(preact_resnet18, (3, SIDE, SIDE), 10, 1),
}
PARTICLES = {("convnet", "up"): 24_408, ("convnet", "op"): 1_550_016, ("resnet", "up"): 43_692}
QUICK = Timing(rounds=2, seconds=0.01)


def rows(n=20):
    return torch.randn(n, 3, SIDE, SIDE), torch.randint(10, (n,))


def system(network="convnet", replicas=2, route="eager", data=None, dtype=torch.float64):
    inputs, targets = data or rows()
    made = NETWORKS[network]()
    return md.ParticleSystem(made, cross_entropy, inputs, targets, replicas=replicas, route=route, dtype=dtype)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A folder with few random images in the form of CIFAR-10."""
    draw = np.random.default_rng(0)
    arrays = {
        f"{kind}_{part}": values
        for part, n in (("train", 120), ("test", 40))
        for kind, values in (("x", draw.integers(0, 256, (n, 32, 32, 3), np.uint8)), ("y", np.arange(n) % 10))
    }
    np.savez(tmp_path / "cifar10.npz", **arrays)
    monkeypatch.setenv("MDNET_DATA", str(tmp_path))
    return arrays


@pytest.mark.parametrize("route", ["eager", "module"])
def test_u_is_the_mean_over_blocks_each_with_its_own_statistics(route):
    """Law: U = sum_b (n_b/n) U_b and f likewise, U_b of the system that has block b alone."""
    inputs, targets = rows(20)
    whole = system(route=route, data=(inputs, targets))
    q = whole.positions(seed=1)
    blocks = [system(data=(inputs[b], targets[b])).force(q) for b in (slice(8), slice(8, 16), slice(16, 20))]
    expected = [0.4 * a + 0.4 * b + 0.2 * c for a, b, c in zip(*blocks, strict=True)]
    one = whole.force(q)
    whole.force = InBlocks(whole, 8)
    for found, wanted, together in zip(whole.force(q), expected, one, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
        assert (found - together).abs().max() > 1e-3  # the statistics of 8 rows are not those of 20
    torch.testing.assert_close(whole.energy(q), expected[0], rtol=1e-10, atol=0)
    torch.testing.assert_close(whole.minibatch(4).mean(q)[1], expected[1], rtol=1e-10, atol=1e-12)
    whole.force = InBlocks(whole, 20)
    torch.testing.assert_close(whole.force(q)[1], one[1], rtol=1e-10, atol=1e-12)


def test_a_block_of_one_row_is_refused():
    with pytest.raises(ValueError, match="block = 1: BatchNorm"):
        InBlocks(system(), 1)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_replica_does_not_see_the_others(network):
    """Law: energy and force of a replica are the same alone, beside others, and by the bare module."""
    data = rows()
    together = system(network, 3, data=data)
    q = together.positions(seed=1)
    u, f = together.force(q)
    for route in ("eager", "module"):
        alone = system(network, 1, route, data)
        for r in range(3):
            mine = alone.force(q[[r]])
            torch.testing.assert_close(mine[0][0], u[r], rtol=1e-10, atol=0)
            torch.testing.assert_close(mine[1][0], f[r], rtol=1e-8, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_compiled_steps_are_the_steps(network):
    """Law: SGD on the sphere, with the same minibatches, goes where it goes uncompiled."""
    data, ends = rows(), []
    for route in ("eager", "compiled"):
        made = system(network, 2, route, data)
        sgd = SGD(made.minibatch(6), torch.tensor([[0.01], [0.02]], dtype=torch.float64), radius=1.0)
        torch.manual_seed(5)
        run = md.Simulation(made, sgd, positions=made.positions(seed=1), seed=3)
        run.run(2, progress=False)  # rounding of 1e-14 grows a thousandfold a step where a batch is so small
        ends.append(run.phase.q.clone())
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("which", images.PUBLISHED)
def test_the_published_forms_are_the_papers(which):
    model = images.PUBLISHED[which]
    network = model.network()
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == PARTICLES[which]
    assert f"D = {PARTICLES[which]:,}" in model.title
    assert (len(model.rates), model.steps, model.batch, model.samples, model.stride, model.k) == (
        22, 1_600_000, 128, 1000, 1, 50,
    )  # fmt: skip
    assert (min(model.rates), max(model.rates)) == pytest.approx((1e-4, 0.1))
    assert "ortened" not in model.title + model.note
    since = model.looks.steps[-model.last]
    assert since == pytest.approx(1_600_000 ** (1 - 50 / 200), rel=0.05)  # the last 50 of 200 log-spaced looks
    assert sum(at >= since for at in model.entropy_at.steps) == pytest.approx(50, abs=2)


@pytest.mark.parametrize("which", images.MODELS)
def test_shortened_forms_say_so_and_what_they_are(which):
    model = images.MODELS[which]
    assert which in images.PUBLISHED
    assert (model.name, model.regime) == which
    assert model.title.startswith("Shortened: ")
    assert model.note.startswith("Shortened")
    count = sum(p.numel() for p in model.network().parameters() if p.requires_grad)
    assert f"(D = {count if count < 10_000 else format(count, ',')})" in model.title
    assert f"{model.steps} iterations" in model.note
    assert model.looks.steps[-model.last] >= model.window  # stationary values of the time that entropies are of


def test_images_are_averaged_over_squares_and_standardised(archive):
    (inputs, targets), (test, labels) = cifar(120, 16, 30)
    assert (inputs.shape, test.shape) == ((120, 3, 16, 16), (30, 3, 16, 16))
    assert len(labels) == 30
    torch.testing.assert_close(inputs.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(inputs.std((0, 2, 3), correction=0), torch.ones(3), rtol=1e-5, atol=0)
    squares = archive["x_train"].reshape(120, 16, 2, 16, 2, 3).mean((2, 4)).transpose(0, 3, 1, 2)
    correlation = np.corrcoef(np.sort(squares[:, 0].ravel()), np.sort(inputs[:, 0].numpy().ravel()))[0, 1]
    assert correlation > 1 - 1e-9
    assert sorted(targets.tolist()) == sorted(archive["y_train"].tolist())


def test_the_published_form_wants_all_images(archive):
    with pytest.raises(FileNotFoundError, match=r"all 50000 images .* has 120; put cifar-10-batches-py"):
        images.PUBLISHED["convnet", "up"].data()


def test_without_data_the_error_says_what_is_wanted(monkeypatch, tmp_path):
    monkeypatch.setenv("MDNET_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"'cifar10' needs the file .* let MDNET_DATA name that folder"):
        images.MODELS["convnet", "up"].data()


def small(model, seeds=2):
    data = rows(24), rows(8)
    return replace(
        model, network=NETWORKS[model.name], data=lambda: data, rates=[0.01, 0.02, 0.03], seeds=seeds, steps=14,
        batch=6, samples=8, stride=1, k=3, points=4, settled=0, entropies=2, last=3, route="eager", block=10,
    )  # fmt: skip


def test_snapshots_that_have_no_room_are_refused_before_anything_begins(monkeypatch):
    model = small(images.MODELS["convnet", "up"])
    each = model.samples * model.system(1).dof * 4
    monkeypatch.setenv("MDNET_MEMORY", str(each))  # room for three
    assert model.system(3).replicas == 3
    with pytest.raises(ValueError, match=r"snapshots of 4 replicas, .* run 3 \(rates x seeds\) at a time"):
        model.system(4)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_sweep_of_a_shortened_form(tmp_path, name):
    """Its file holds U on blocks, the entropies and the test metrics, and every replica stays on the sphere."""
    model = small(images.MODELS[name, "up"], seeds=1)
    inputs, targets = model.data()[0]
    folder = sweep(model, tmp_path / "run", progress=False)
    with trajectories.open(folder) as run:
        names = {"potential_energy", "graph_entropy", "gradient_squared", "noise_squared", "test/accuracy", "test/loss"}
        assert names <= set(run.observables)
        first = run.observables["potential_energy"].values[0]
    q = model.system(3).positions(0)[:1]
    blocks = [(inputs[b], targets[b]) for b in (slice(10), slice(10, 20), slice(20, 24))]
    weighed = sum(len(y) / 24 * md.ParticleSystem(model.network(), cross_entropy, x, y).energy(q) for x, y in blocks)
    np.testing.assert_allclose(first, weighed.expand(3), rtol=1e-4)  # in float32, and on the unit sphere


def test_free_energies_are_drawn_in_units_of_a_temperature_that_is_not_zero():
    """Where the loss goes to zero T is 0, and F/T is no number: only the other states are drawn."""
    free = SimpleNamespace(
        star=np.array([-1, 1, 2, -1]), value=np.arange(16.0).reshape(4, 4), at_own=2, told=2, shuffled=np.ones(3),
        excess=SimpleNamespace(error=np.ones((4, 4))),
    )  # fmt: skip
    heat = SimpleNamespace(value=np.array([np.nan, 0.0, 1e-3, np.nan]))
    told = SimpleNamespace(free_energy=free, temperature=heat, held_out=SimpleNamespace(at_own=3, told=4))
    found = SimpleNamespace(rates=np.array([1e-3, 2e-3, 4e-3, 8e-3]), thermodynamics=told)
    (axes,) = free_energies(found).figure.axes
    assert axes.get_legend_handles_labels()[1] == ["T of η = 0.004"]


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (1, 2, 0), (2, 3, 0), ((3, 1), 1, 0)])
def test_a_convolution_is_a_matrix_product(kernel, stride, padding):
    """Law: values and slopes of both are the same, with weights of their own in every replica."""
    convolution = nn.Conv2d(3, 5, kernel, stride, padding, bias=False).double()
    x = torch.randn(4, 7, 3, 9, 8, dtype=torch.float64)
    weights = torch.randn(4, *convolution.weight.shape, dtype=torch.float64, requires_grad=True)
    found = []
    for module in (convolution, ProductConv2d(convolution)):
        y = vmap(lambda w, x, module=module: functional_call(module, {"weight": w}, (x,)))(weights, x)
        found.append((y, torch.autograd.grad(y.square().sum(), weights)[0]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_only_plain_convolutions_become_products():
    made = by_products(
        nn.Sequential(nn.Conv2d(2, 2, 3, bias=False), nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 1, groups=2, bias=False))
    )
    assert [type(layer) for layer in made] == [ProductConv2d, nn.Conv2d, nn.Conv2d]
    network = NETWORKS["resnet"]()
    kinds = {type(module) for module in by_products(network).modules()}
    assert ProductConv2d in kinds
    assert nn.Conv2d not in kinds
    assert [*by_products(network).state_dict()] == [*network.state_dict()]


def test_a_sweep_is_timed_beside_single_runs(monkeypatch):
    """Law: its throughput over that of runs in turn is R t_1/t_R, for times t_1 and t_R of a step."""
    ways = [Way("eager"), Way("eager", products=True)]
    case = Case("small", NETWORKS["convnet"], (3, SIDE, SIDE), 16, 4, ways, [Way("eager")])
    monkeypatch.setattr(
        sweep_of_rates.timing, "turns",
        lambda calls, **_: {
            name: [seconds * run.block] for (name, run), seconds in zip(calls.items(), (2.0, 8.0, 4.0), strict=True)
        },
    )  # fmt: skip
    table = sweep_of_rates.sweep_table(case, torch.device("cpu"), 1, QUICK)
    columns = ("what", "replicas", "convolutions", "rate", "over_runs")
    assert [tuple(row[name] for name in columns) for row in table.rows] == [
        ("8 runs in turn", 1, "torch's", 0.5, 1.0),
        ("one run", 8, "torch's", 1.0, 2.0),
        ("one run", 8, "products", 2.0, 4.0),
    ]
    assert table.rows[-1]["note"].startswith("fastest: eager with products;")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_eight_rates_of_convnet_are_one_run_on_a_gpu():
    """Law: eight rates as replicas of one run have at least 3 times the throughput of runs one after another."""
    table = sweep_of_rates.sweep_table(sweep_of_rates.convnet(10_000), torch.device("cuda"), 1, Timing())
    table.show()
    assert max(row["over_runs"] for row in table.rows) >= 3
