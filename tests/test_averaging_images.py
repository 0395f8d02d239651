"""Data averaging on images: the published network, its numbers of epochs, splits of images, and metrics on blocks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.functional import cross_entropy

import trajectories
from mdnet.experiments.data_averaging import images
from mdnet.experiments.data_averaging.images import cifar
from mdnet.experiments.data_averaging.method import particles, starts, sweep
from mdnet.experiments.data_averaging.models import sampled
from mdnet.networks import build, preact_resnet

SIDE, CLASSES = 8, 3
SMALL = partial(preact_resnet, (3, SIDE, SIDE), CLASSES, (2, 3), 1)


def test_the_residual_network_has_the_published_number_of_parameters():
    """Law: 32, 64, 128 and 256 filters, two blocks each, norms first and none last: 2,796,202 parameters."""
    network = build("preact-resnet", (3, 32, 32), 10)
    assert sum(p.numel() for p in network.parameters()) == 2_796_202
    kernels = [m.kernel_size for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert (kernels.count((3, 3)) + 1, kernels.count((1, 1))) == (18, 3)
    seen = []
    network.stage4_block2.register_forward_hook(lambda module, given, out: seen.append(tuple(out.shape)))
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert seen == [(2, 256, 4, 4)]


def test_the_residual_network_is_its_formula():
    """Law: conv, then S + conv(relu(norm(conv(y)))), y = relu(norm(x)), then the mean over pixels and a line."""

    def norm(x, layer):
        scale, shift = (v[:, None, None] for v in (layer.weight, layer.bias))
        apart = x - x.mean((0, 2, 3), keepdim=True)
        return apart / (apart.square().mean((0, 2, 3), keepdim=True) + layer.eps).sqrt() * scale + shift

    network = SMALL().double()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.normal_()
                layer.bias.normal_()
    x = torch.randn(5, 3, SIDE, SIDE, dtype=torch.float64)
    z = functional.conv2d(x, network.convolution.weight, padding=1)
    for block, stride in ((network.stage1_block1, 1), (network.stage2_block1, 2)):
        y = norm(z, block.norm1).relu()
        inner = norm(functional.conv2d(y, block.convolution1.weight, stride=stride, padding=1), block.norm2).relu()
        skip = z if stride == 1 else functional.conv2d(y, block.skip.weight, stride=stride)
        z = skip + functional.conv2d(inner, block.convolution2.weight, padding=1)
    expected = z.mean((2, 3)) @ network.output.weight.T + network.output.bias
    torch.testing.assert_close(network(x), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("side", [4, 5, 9])
@pytest.mark.parametrize("name", ["resnet", "preact-resnet"])
def test_all_pixels_that_are_left_are_averaged(name, side):
    """Law: whatever the height and width, one number a channel is left, the mean over its pixels."""
    network, left = build(name, (1, side, side + 1), 2, {"channels": (2, 3, 2)}), []
    network.mean.register_forward_hook(lambda module, given, out: left.append((given[0].mean((2, 3)), out)))
    assert network(torch.randn(3, 1, side, side + 1)).shape == (3, 2)
    torch.testing.assert_close(left[0][1][:, :, 0, 0], left[0][0])


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        ((3, 4, 8), {}, "a preact_resnet of 4 stages needs .* at least 8 x 8 pixels"),
        ((3, 8, 8), {"blocks": 0}, r"blocks = \(0,\)"),
        ((3, 8, 8), {"channels": (4, 0)}, r"channels = \(4, 0\)"),
        ((3, 8, 8), {"activation": "rleu"}, "did you mean 'relu'"),
    ],
)
def test_a_wrong_residual_network_names_the_remedy(size, options, message):
    with pytest.raises(ValueError, match=message):
        build("preact-resnet", size, 2, options)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A folder with few random images in the form of CIFAR-10."""
    draw = np.random.default_rng(0)
    arrays = {
        f"{kind}_{part}": values
        for part, n in (("train", 50), ("test", 20))
        for kind, values in (("x", draw.integers(0, 256, (n, 32, 32, 3), np.uint8)), ("y", np.arange(n) % 10))
    }
    np.savez(tmp_path / "cifar10.npz", **arrays)
    monkeypatch.setenv("MDNET_DATA", str(tmp_path))
    return arrays


def test_training_and_test_images_are_merged_averaged_over_squares_and_standardised(archive):
    inputs, targets = cifar(16)
    pixels = np.concatenate([archive["x_train"], archive["x_test"]]).reshape(70, 16, 2, 16, 2, 3).mean((2, 4))
    squares = pixels.transpose(0, 3, 1, 2)
    mean, sd = (f((0, 2, 3), keepdims=True) for f in (squares.mean, partial(squares.std, ddof=1)))
    np.testing.assert_allclose(inputs.numpy(), (squares - mean) / sd, rtol=0, atol=1e-5)
    assert targets.tolist() == [*(np.arange(50) % 10), *(np.arange(20) % 10)]
    assert cifar()[0].shape == (70, 3, 32, 32)


def test_the_published_form_wants_all_images(archive):
    with pytest.raises(FileNotFoundError, match=r"all 60000 images .* has 70; put cifar-10-batches-py"):
        images.PUBLISHED["resnet"].data()


def test_without_data_the_error_says_what_is_wanted(monkeypatch, tmp_path):
    monkeypatch.setenv("MDNET_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"'cifar10' needs the file .* let MDNET_DATA name that folder"):
        images.MODELS["resnet"].data()


def test_the_published_form_is_the_papers():
    """Law: 300 max(1, min(4, 1 + (2e-4/T - 1)/4)) epochs of 50,000 images, rates and batches as published."""
    model = images.PUBLISHED["resnet"]
    count = sum(p.numel() for p in model.network().parameters())
    assert count == 2_796_202
    assert f"{count:,}" in model.title
    assert (min(model.rates), max(model.rates), *np.sort(model.batch)[[0, -1]]) == (0.0075, 0.1, 20, 2000)
    assert (model.splits, model.decay, model.train, model.test, model.last) == (3, 5e-4, 50_000, 10_000, 50)
    for rate, batch, end in zip(model.rates, model.batch, model.ends, strict=True):
        epochs = 300 * max(1, min(4, 1 + (2e-4 * batch / rate - 1) / 4))
        assert end == pytest.approx(epochs * 50_000 / batch, abs=1)
    assert model.temperatures.min() < 2e-4 < model.temperatures.max()
    assert "hortened" not in model.title + model.note


def test_neighbouring_published_temperatures_differ_in_rate_and_batch():
    """Law: no neighbours share rate or batch, but at the highest three, so that T is not a name for either."""
    model = images.PUBLISHED["resnet"]
    pairs = list(pairwise(zip(model.rates, model.batch, strict=True)))
    assert all(one[0] != other[0] and one[1] != other[1] for one, other in pairs[:-2])


def test_the_shortened_form_says_so_and_what_it_is():
    model = images.MODELS["resnet"]
    assert model.title.startswith("Shortened: ")
    assert model.note.startswith("Shortened")
    assert model.name in images.PUBLISHED
    count = sum(p.numel() for p in model.network().parameters())
    assert f"({count:,} parameters)" in model.title
    assert f"on {model.train} CIFAR-10 images" in model.title
    assert f"batch {model.batch} alone" in model.note
    assert f"equal rate x steps of {model.exposure:g} " in model.note
    assert model.decay == images.PUBLISHED["resnet"].decay


def small(**changes):
    data = torch.randn(40, 3, SIDE, SIDE), torch.randint(CLASSES, (40,))
    shape = {
        "network": SMALL, "data": lambda: data, "rates": [0.01, 0.02, 0.04], "batch": 4, "train": 24, "test": 12,
        "splits": 2, "exposure": 0.8, "early": 3, "last": 3, "block": 5,
    }  # fmt: skip
    return replace(images.MODELS["resnet"], **shape | changes)


def read(folder):
    with trajectories.open(folder) as run:
        return {name: series.values[:] for name, series in run.observables.items()}, run.parameters["sweep"]


@pytest.mark.parametrize("name", ["sgd", "momentum-cosine"])
def test_each_temperature_is_a_run_of_its_own_on_the_same_data_sets(tmp_path, name):
    """Law: a file a temperature, its replicas the data sets; all begin alike, and each ends at its own step."""
    model = small()
    folders = sweep(model, tmp_path, name=name, progress=False)
    assert len(folders) == len(model.rates)
    first = []
    for place, folder in enumerate(folders):
        values, told = read(folder)
        assert (told["rate"], told["seed"]) == (pytest.approx([model.rates[place]] * 2), pytest.approx([0, 1]))
        assert all(np.isfinite(series).all() for series in values.values())
        with trajectories.open(folder) as run:
            assert run.observables["test/loss"].steps[-1] == model.ends[place]
        first.append({key: series[0] for key, series in values.items() if key != "minibatch_energy"})
    assert {"potential_energy", "test/loss", "test/accuracy"} <= set(first[0])
    for other in first[1:]:
        for key, value in first[0].items():
            np.testing.assert_array_equal(value, other[key])
    assert first[0]["test/loss"][0] != first[0]["test/loss"][1]


def test_metrics_are_means_over_blocks_each_with_its_own_statistics(tmp_path):
    """Law: the loss that is written is sum_b (n_b/n) of the loss of a network that sees block b alone."""
    model = small(dtype=torch.float64)
    values, _ = read(sweep(model, tmp_path, progress=False)[0])
    inputs, targets = model.data()
    train, test = sampled(model, "split", 0)
    system = particles(model, train)
    q = starts(model, system, 0)
    for name, rows in (("potential_energy", train), ("test/loss", test)):
        for r, own in enumerate(rows):
            network = system.module(q[r])
            losses = [
                cross_entropy(network(inputs[some].double()), targets[some], reduction="sum").item()
                for some in own.split(5)
            ]
            assert values[name][0, r] == pytest.approx(sum(losses) / len(own), rel=1e-9)
            whole = cross_entropy(network(inputs[own].double()), targets[own]).item()
            assert abs(values[name][0, r] - whole) > 1e-4  # the statistics of 5 rows are not those of all


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_the_published_network_learns_on_a_gpu(tmp_path):
    """Law: three data sets of the published network in one run, at published rates, fit images that they can learn."""
    labels = torch.arange(3000) % 10
    data = torch.randn(3000, 3, 32, 32) + labels[:, None, None, None] / 3, labels
    model = replace(
        images.PUBLISHED["resnet"], data=lambda: data, rates=[0.02, 0.05, 0.1], batch=500, train=2000, test=1000,
        epochs=12, early=2, last=4,
    )  # fmt: skip
    for folder in sweep(model, tmp_path, device="cuda", progress=False):
        values, _ = read(folder)
        assert (values["potential_energy"][-1] < 0.7 * values["potential_energy"][0]).all()
