"""Data sets: found where they are said to be, split without leaks, joined without mixing."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import torch

import mdnet as md
from mdnet.data.sources import FOLDER


@pytest.fixture(autouse=True)
def _no_folder(monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)


@pytest.mark.parametrize(
    ("name", "shape", "outputs", "rows"),
    [
        ("sine", (1,), 1, 241),
        ("iris", (4,), 3, 150),
        ("digits", (64,), 10, 1797),
        ("auto-mpg", (9,), 1, 392),
        ("auto-mpg-single", (1,), 1, 392),
    ],
)
def test_sets_that_need_no_files(name, shape, outputs, rows):
    dataset = md.data.load(name)
    assert (dataset.shape, dataset.outputs, len(dataset)) == (shape, outputs, rows)
    assert dataset.inputs.dtype == torch.float32
    assert len(dataset.features) == shape[0]
    if dataset.kind == "regression":
        assert (dataset.targets.dtype, dataset.targets.shape) == (torch.float32, (rows, 1))
    else:
        assert (dataset.targets.dtype, dataset.targets.shape) == (torch.int64, (rows,))
        assert dataset.targets.unique().tolist() == list(range(outputs))


def test_cars_are_read_as_they_stand():
    dataset = md.data.load("auto-mpg")
    assert dataset.features[:6] == (
        "cylinders", "displacement", "horsepower", "weight", "acceleration", "model_year",
    )  # fmt: skip
    assert dataset.inputs[0].tolist() == [8, 307, 130, 3504, 12, 70, 1, 0, 0]  # chevrolet chevelle malibu
    assert dataset.targets[0].item() == 18
    assert dataset.inputs[:, 6:].sum(1).eq(1).all()  # one origin each
    assert torch.equal(md.data.load("auto-mpg-single").inputs, dataset.inputs[:, 2:3])


def test_the_sine_holds_its_truth_apart():
    dataset = md.data.sine(rows=40, noise=0.3, seed=1)
    split = md.data.split(dataset, standardise=False)
    x, y = split.test
    torch.testing.assert_close(y, torch.sin(2 * torch.pi * x))
    assert len(split.train[0]) == 40
    assert (dataset.targets[:40] - torch.sin(2 * torch.pi * dataset.inputs[:40])).std().item() == pytest.approx(
        0.3, 0.4
    )
    assert not torch.equal(dataset.targets[:40], md.data.sine(rows=40, seed=2).targets[:40])


def test_images_come_from_the_folder_with_their_own_division(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    pixels = np.arange(6 * 4 * 4 * 3, dtype=np.uint8).reshape(6, 4, 4, 3)
    labels = np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8)
    np.savez(tmp_path / "cifar10_10k.npz", x_train=pixels[:4], y_train=labels[:4], x_test=pixels[4:], y_test=labels[4:])
    dataset = md.data.load("cifar10")
    assert dataset.shape == (3, 4, 4)
    assert dataset.inputs[0, 2, 1, 3].item() == pytest.approx(pixels[0, 1, 3, 2] / 255)
    split = md.data.split(dataset, 3, standardise=False)
    assert torch.equal(split.test[0], dataset.inputs[4:])
    assert {row.sum().item() for row in split.train[0]} <= {row.sum().item() for row in dataset.inputs[:4]}


def test_tables_turn_text_into_columns(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    table = 'carat,cut,price\n0.5,"Very Good",100\n0.7,Fair,200\n\n0.9,Fair,300\n'
    (tmp_path / "diamonds.csv.gz").write_bytes(gzip.compress(table.encode()))
    dataset = md.data.load("diamonds")
    assert dataset.features == ("carat", "cut=Fair", "cut=Very Good")
    torch.testing.assert_close(dataset.inputs, torch.tensor([[0.5, 0, 1], [0.7, 1, 0], [0.9, 1, 0]]))
    assert dataset.targets.tolist() == [[100], [200], [300]]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("price,x\n1,2\n3,\n", "column 'x' holds numbers, but '' in data row 2"),
        ("price,x\n1,2\n3,nan\n", "but 'nan' in data row 2"),
        ("price,x\n1,2\n3\n", "data row 2 has 1 values, the heading has 2"),
        ("cost,x\n1,2\n", "no column 'price'; it has cost, x"),
        ("price,x\n", "no data rows"),
        ("", "no data rows"),
    ],
)
def test_a_bad_table_says_where(tmp_path, monkeypatch, table, message):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    (tmp_path / "diamonds.csv").write_text(table)
    with pytest.raises(ValueError, match=message):
        md.data.load("diamonds")


def test_what_is_not_there_says_where_it_is_had(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="did you mean 'auto-mpg'"):
        md.data.load("auto_mpg")
    with pytest.raises(FileNotFoundError, match=r"needs the file mnist\.npz.*names no folder.*get it from"):
        md.data.load("mnist")
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        md.data.load("mnist")


def test_a_split_learns_its_scale_from_training_rows_alone():
    dataset = md.data.load("auto-mpg")
    split = md.data.split(dataset, 100, seed=3)
    x, y = split.train
    assert (len(x), len(split.test[0])) == (100, 292)
    for part in (x, y):
        torch.testing.assert_close(part.mean(0), torch.zeros(part.shape[1]), atol=1e-5, rtol=0)
        torch.testing.assert_close(part.std(0, correction=0), torch.ones(part.shape[1]), atol=1e-5, rtol=0)
    assert abs(split.test[0].mean()) > 1e-3  # the test rows have another mean
    rows = torch.cat([split.inputs_scale.back(x), split.inputs_scale.back(split.test[0])])
    torch.testing.assert_close(rows.sort(0).values, dataset.inputs.sort(0).values, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(split.targets_scale.forward(split.targets_scale.back(y)), y)


def test_a_split_is_its_seed_and_draws_no_row_twice():
    rows = torch.arange(50.0)[:, None]
    dataset = md.data.DataSet("rows", rows, rows, "regression", "here")
    split = md.data.split(dataset, 0.6, test=10, seed=1, standardise=False)
    drawn = torch.cat([split.train[0], split.test[0]]).flatten().tolist()
    assert len(split.train[0]) == 30
    assert len(set(drawn)) == len(drawn) == 40
    again = md.data.split(dataset, 0.6, test=10, seed=1, standardise=False)
    assert torch.equal(split.train[0], again.train[0])
    assert not torch.equal(split.train[0], md.data.split(dataset, 30, seed=2, standardise=False).train[0])


def test_constant_columns_stay_finite():
    x = torch.cat([torch.ones(10, 1), torch.randn(10, 1)], 1)
    split = md.data.split(md.data.DataSet("x", x, torch.randn(10, 1), "regression", "here"), 5)
    assert torch.isfinite(split.train[0]).all()
    assert split.train[0][:, 0].eq(0).all()


def test_a_stratified_split_keeps_the_shares():
    split = md.data.split(md.data.load("iris"), 60, seed=1, stratified=True)
    assert split.train[1].bincount().tolist() == [20, 20, 20]
    assert split.test[1].bincount().tolist() == [30, 30, 30]


@pytest.mark.parametrize("options", [{"train": 150}, {"train": 0}, {"train": 1.5}, {"train": 10, "test": 141}])
def test_a_split_refuses_rows_that_are_not_there(options):
    with pytest.raises(ValueError, match=r"(train|test) = .*rows"):
        md.data.split(md.data.load("iris"), **options)


def test_label_noise_replaces_its_share():
    clean = torch.randint(10, (10_000,))
    noisy = md.data.label_noise(clean, 0.2, 10, seed=1)
    wrong = (noisy != clean).sum().item()
    assert wrong <= 2000
    assert abs(wrong - 1800) < 5 * (2000 * 0.1 * 0.9) ** 0.5
    assert torch.equal(noisy, md.data.label_noise(clean, 0.2, 10, seed=1))
    with pytest.raises(ValueError, match=r"label_noise = 2"):
        md.data.label_noise(clean, 2, 10, seed=1)


def test_stacked_splits_are_separate_runs():
    """Energies and test losses of one stacked system equal those of one system for each split."""
    splits = [md.data.split(md.data.sine(seed=s), 30, seed=s, standardise=False) for s in range(3)]
    stack = md.data.stack(splits)
    network, loss = md.networks.mlp(1, 1, (5,)), torch.nn.functional.mse_loss
    together = md.ParticleSystem(
        network, loss, stack.inputs, stack.targets, index=stack.index, replicas=3, dtype=torch.float64
    )
    q = together.positions(seed=1)
    losses = together.evaluate(loss, q, *stack.test, per_replica=True)
    outputs = together.output(q, stack.test[0], per_replica=True)
    for r, split in enumerate(splits):
        alone = md.ParticleSystem(network, loss, *split.train, dtype=torch.float64)
        torch.testing.assert_close(together.energy(q)[r], alone.energy(q[r : r + 1])[0])
        torch.testing.assert_close(losses[r], alone.evaluate(loss, q[r : r + 1], *split.test)[0])
        torch.testing.assert_close(outputs[r], alone.output(q[r : r + 1], split.test[0])[0])
    with pytest.raises(ValueError, match="splits to stack"):
        md.data.stack([*splits, md.data.split(md.data.sine(seed=9), 20)])
