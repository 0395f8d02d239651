"""The tasks of the entropy landscape are the published ones, and baselines are networks at the losses they are for."""

import numpy as np
import pytest
import torch

import mdnet as md
from mdnet.experiments.landscape.baselines import crossings, first_passages
from mdnet.experiments.landscape.networks import layer_norm_resnet, three_blocks
from mdnet.experiments.landscape.tasks import TASKS
from mdnet.experiments.landscape.tasks.houses import houses
from mdnet.experiments.landscape.tasks.images import cats_and_dogs, digits, draw
from mdnet.experiments.landscape.tasks.passages import LENGTH, n_grams, passages, surprisal
from mdnet.experiments.landscape.tasks.spirals import arms, wave

REGRESSION = TASKS["spiral-regression"]


def parameters(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("task", "width", "count"),
    [
        ("spiral-regression", 30, 1051),
        ("spiral-regression", 1000, 1_005_001),
        ("spiral-classification", 3, 116),
        ("mnist", 2, 362),
        ("mnist", 3, 646),
        ("mnist", 4, 1002),
        ("cifar", 6, 43_604),
        ("house-prices", 10, 314 * 10 + 21),
        ("language", 10, 768 * 10 + 21),
    ],
)
def test_networks_have_the_published_numbers_of_parameters(task, width, count):
    assert parameters(TASKS[task].network(width)) == count


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_tasks_are_whole(task):
    """Law: the window and the range of y hold several bins, and what is shortened says so."""
    assert TASKS[task.name] is task
    assert task.low < task.high
    assert task.y_low < task.y_high
    assert task.cells
    assert ("shortened" in task.name) == ("shortened" in task.title) == (not task.needs)
    assert all(axis.bins > 20 for axis in task.axes)
    network = task.network(task.cells[0][0])
    assert set(task.box(network)) == {name for name, _ in network.named_parameters()}


def test_boxes_are_the_published_ones():
    """Law: 2/sqrt(outputs) for matrices and kernels and 2/sqrt(size) for vectors; 2/sqrt(6); 3/sqrt(size[0])."""
    spiral = REGRESSION.box(REGRESSION.network(30))
    assert spiral["hidden2.weight"] == pytest.approx(2 / 30**0.5)
    assert spiral["output.weight"] == spiral["output.bias"] == 2
    digits = TASKS["mnist"].box(three_blocks(2))
    assert digits["convolution2.weight"] == pytest.approx(2 / (2 * 9) ** 0.5)
    assert digits["output.weight"] == pytest.approx(2 / 10**0.5)
    assert set(TASKS["spiral-classification"].box(TASKS["spiral-classification"].network(3)).values()) == {2 / 6**0.5}
    houses = TASKS["house-prices"].box(TASKS["house-prices"].network(10))
    assert houses["hidden1.weight"] == houses["hidden1.bias"] == pytest.approx(3 / 10**0.5)
    assert houses["output.weight"] == 3


@pytest.mark.parametrize("make", [three_blocks, lambda c: layer_norm_resnet((c, 2 * c, 4 * c, 8 * c))])
def test_convolutional_networks_take_replicas_and_rows_one_by_one(make):
    """Law: the loss of all rows is the mean of the rows' losses, and replicas together say what each says alone."""
    image = (1, 28, 28) if make is three_blocks else (3, 32, 32)
    name = "mnist" if make is three_blocks else "cifar"
    inputs, targets = torch.rand(4, *image), torch.randint(2, (4,))
    system = md.ParticleSystem(make(2), TASKS[name].loss, inputs, targets, replicas=2, dtype=torch.float64)
    q = system.positions(seed=3)
    u, f = system.force(q)
    alone = md.ParticleSystem(make(2), TASKS[name].loss, inputs[:1], targets[:1], replicas=2, dtype=torch.float64)
    rows = [alone.evaluate(alone.loss, q, inputs[k : k + 1], targets[k : k + 1]) for k in range(4)]
    torch.testing.assert_close(u, torch.stack(rows).mean(0))
    torch.testing.assert_close(f[1:], system.force(q[1:])[1])


def test_the_wave_is_the_published_data():
    """Law: numpy's seed 1, x = 10 rand(N, 2) - 5, y = sin(atan2(x_1, x_0) - 2|x|), the first half to train on."""
    rows = wave(100)
    assert rows.inputs.shape == (50, 2)
    assert rows.test_targets.shape == (50, 1)
    x = torch.cat([rows.inputs, rows.test_inputs])
    assert x[0].tolist() == pytest.approx([-0.82977995, 2.20324493], abs=1e-6)  # numpy's first two numbers of seed 1
    y = torch.sin(torch.atan2(x[:, 1], x[:, 0]) - 2 * x.norm(dim=1))
    torch.testing.assert_close(torch.cat([rows.targets, rows.test_targets])[:, 0], y, atol=2e-5, rtol=0)
    assert x.abs().max() <= 5


def test_the_arms_are_spirals_with_as_many_points_of_each_class(seed):
    """Law: 20 points a class and part; turned back by 2 r a class lies on a half line, up to the noise."""
    rows = arms(80, 1 + seed)
    assert rows.targets.bincount().tolist() == rows.test_targets.bincount().tolist() == [20, 20]
    clean = arms(8000, 1 + seed, noise=0.0)
    radius = clean.inputs.norm(dim=1)
    angle = torch.atan2(clean.inputs[:, 1], clean.inputs[:, 0]) - 2 * radius - torch.pi * clean.targets
    torch.testing.assert_close(torch.cos(angle), torch.ones_like(angle), atol=1e-4, rtol=0)
    assert 1 <= radius.min() < radius.max() <= 5
    assert radius.mean() == pytest.approx(3, abs=5 * (4 / 12**0.5) / 4000**0.5)
    away = arms(8000, 1 + seed).inputs - clean.inputs
    assert away.std() == pytest.approx(0.1, rel=5 / (2 * 8000) ** 0.5)


@pytest.mark.parametrize("make", [wave, arms])
def test_spirals_of_a_seed_are_one_and_of_two_seeds_differ(make):
    """The same seed gives the same data, another seed others; odd numbers of points are refused."""
    one, again, other = make(40, 1), make(40, 1), make(40, 2)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one.inputs, other.inputs)
    assert not (one.inputs[:, None] == one.test_inputs).all(-1).any()
    with pytest.raises(ValueError, match="multiple of"):
        make(41, 1)


def test_images_are_drawn_as_scikit_learn_draws_them():
    """Law: train_test_split(train_size=n, random_state=seed) keeps these rows in this order, so seed 1 is published."""
    from sklearn.model_selection import train_test_split

    expected, _ = train_test_split(np.arange(1000), train_size=60, random_state=1)
    assert draw(1000, 60, 1).tolist() == expected.tolist()
    assert draw(1000, 60, 2).tolist() != expected.tolist()
    with pytest.raises(ValueError, match="at most all 1000"):
        draw(1000, 1002, 1)


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Archives of MNIST's and CIFAR-10's form, whose first pixel is the image's number."""
    generator = np.random.default_rng(0)
    for name, shape in (("mnist", (28, 28)), ("cifar10", (32, 32, 3))):
        pixels = generator.integers(0, 256, (250, *shape), dtype=np.uint8)
        pixels[:, 0, 0] = np.arange(250).reshape(250, *[1] * (len(shape) - 2))
        labels = np.arange(250, dtype=np.uint8) % 10
        np.savez(
            tmp_path / f"{name}.npz", x_train=pixels[:200], y_train=labels[:200],
            x_test=pixels[200:], y_test=labels[200:],
        )  # fmt: skip
    monkeypatch.setenv("MDNET_DATA", str(tmp_path))


def test_images_are_raw_training_pixels_of_the_classes_that_are_told_apart(pictures):
    """Law: pixels 0 to 255 of training images alone, in two parts without a common row; cats are 0 and dogs 1."""
    for make, labels in ((digits, lambda number: number % 10), (cats_and_dogs, lambda number: number % 10 == 5)):
        rows = make(20)
        train, test = (x[:, 0, 0, 0].round().int() for x in (rows.inputs, rows.test_inputs))
        assert rows.inputs.max() > 200
        assert len(train) == len(test) == 10
        assert not set(train.tolist()) & set(test.tolist())
        assert max(*train, *test) < 200
        assert torch.equal(rows.targets, labels(train).long())
        assert torch.equal(rows.test_targets, labels(test).long())


HOUSES = "Lot_Area,Street,Sale_Price\n" + "".join(
    f"{k},{'Pave' if k % 3 else 'Grvl'},{1000 + k**2}\n" for k in range(40)
)


def test_houses_are_standardised_by_their_training_rows(tmp_path, monkeypatch):
    """Law: numbers and ln price have mean 0 and sd 1 in training; categories stay 0 and 1; parts have no common row."""
    (tmp_path / "ames.csv").write_text(HOUSES)
    monkeypatch.setenv("MDNET_DATA", str(tmp_path))
    rows = houses(40, 1)
    for x in (rows.inputs[:, :1], rows.targets):
        assert x.mean().abs() < 1e-5
        assert x.std(correction=0) == pytest.approx(1, abs=1e-5)
    assert set(rows.inputs[:, 1:].unique().tolist()) == {0.0, 1.0}
    assert not torch.isin(rows.inputs[:, 0], rows.test_inputs[:, 0]).any()
    assert torch.equal(houses(40, 1).inputs, rows.inputs)
    assert not torch.equal(houses(40, 2).inputs, rows.inputs)
    with pytest.raises(ValueError, match="at most all 40"):
        houses(42)


@pytest.fixture
def plays(tmp_path, monkeypatch):
    letters = np.random.default_rng(0).choice(list("abcd ,\n"), 60 * LENGTH)
    (tmp_path / "tinyshakespeare.txt").write_text("".join(letters))
    monkeypatch.setenv("MDNET_DATA", str(tmp_path))


def test_passages_are_points_on_a_sphere_with_a_standardised_property(plays):
    """Law: 448 of 561 train; embeddings have 768 numbers and length one; the property has mean 0, sd 1 in training."""
    rows = passages(30, 1)
    assert rows.inputs.shape == (24, 768)
    assert rows.test_targets.shape == (6, 1)
    torch.testing.assert_close(rows.inputs.norm(dim=1), torch.ones(24))
    assert rows.targets.mean().abs() < 1e-5
    assert rows.targets.std(correction=0) == pytest.approx(1, abs=1e-5)
    assert torch.equal(passages(30, 1).inputs, rows.inputs)
    assert not torch.equal(passages(30, 2).inputs, rows.inputs)
    with pytest.raises(ValueError, match="passages"):
        passages(31, 1)


def test_n_grams_are_counted_by_what_they_are_and_not_where():
    """Law: each n-gram counts once, n characters have 3 n - 3, and a text that is turned round has the same letters."""
    text = np.random.default_rng(1).integers(0, 60, (2, 50))
    counts = n_grams(text)
    assert counts.sum(1).tolist() == [3 * 50 - 3] * 2
    assert not np.array_equal(counts[0], counts[1])
    periodic = np.tile([1, 2, 3, 4, 5], 8)[None]
    shifted = np.roll(periodic, 1, axis=1)
    assert np.abs(n_grams(periodic) - n_grams(shifted)).sum() <= 10  # but for the ends
    assert len(np.flatnonzero(n_grams(periodic)[0])) <= 15


def test_surprisal_is_that_of_the_counts():
    """Law: after "ab" came "a" twice of two times, so that of three characters p = (2 + 1)/(2 + 3)."""
    a, b, c = range(3)
    others = np.array([[a, b, a, b, a, c]])  # triples aba, bab, aba, bac
    assert surprisal(np.array([[a, b, a]]), others)[0] == pytest.approx(-np.log(3 / 5))
    assert surprisal(np.array([[a, b, c]]), others)[0] == pytest.approx(-np.log(1 / 5))
    assert surprisal(np.array([[c, c, a]]), others)[0] == pytest.approx(np.log(3))


@pytest.mark.parametrize(
    ("make", "file"),
    [(digits, "mnist.npz"), (cats_and_dogs, "cifar10.npz"), (houses, "ames.csv"), (passages, "tinyshakespeare.txt")],
)
def test_absent_data_say_what_to_get(make, file, tmp_path, monkeypatch):
    """A task whose file is absent names the file, where it is had and where to put it."""
    monkeypatch.setenv("MDNET_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=file) as told:
        make(100)
    assert "https://" in str(told.value) or "http://" in str(told.value) or "package" in str(told.value)
    assert "MDNET_DATA" in str(told.value)


def test_first_passages_lie_on_the_line_between_looks():
    """Law: y at the first crossing, linear between looks; nan for tracks that begin below or never come there."""
    x = np.array([[0.0, 0.0, -2.0], [-1.0, -0.5, -3.0], [0.5, -0.9, 0.0], [-3.0, -0.9, -3.0]])
    y = np.array([[1.0, 2.0, 0.0], [3.0, 4.0, 0.0], [0.0, 5.0, 0.0], [9.0, 5.0, 0.0]])
    found = first_passages(x, y, np.array([-0.5, -1.0, -2.0]))
    expected = [[2.0, 3.0, 9 * 2.5 / 3.5], [4.0, np.nan, np.nan], [np.nan, np.nan, np.nan]]
    np.testing.assert_allclose(found, expected)


LEVELS = (0.2, -0.2, -0.6)
QUICK = REGRESSION.baseline._replace(epochs=300)


@pytest.fixture(scope="module")
def trained():
    return crossings(REGRESSION, 8, 40, LEVELS, seeds=4, seed=5, baseline=QUICK, progress=False)


def test_crossings_lie_within_their_paths(trained):
    """Law: a metric is between those of the looks around it, and a level that is lower is crossed later."""
    assert trained.reached.all()
    assert (trained.train[-1:].min(0) <= 0).all()
    for k in range(4):
        looks = [int(np.argmax(trained.train[:, k] <= level)) for level in LEVELS]
        assert looks == sorted(looks)
        for look, metric in zip(looks, trained.metric[k], strict=True):
            before, after = trained.test[look - 1, k], trained.test[look, k]
            assert min(before, after) - 1e-9 <= metric <= max(before, after) + 1e-9
    np.testing.assert_allclose(trained.mean, trained.metric.mean(0))
    np.testing.assert_allclose(trained.error, trained.metric.std(0, ddof=1) / 2)


def test_networks_are_trained_together_as_alone(trained):
    """Law: a seed's network is the same in any company, as far as rounding lets it: start, order of rows, and path."""
    alone = crossings(REGRESSION, 8, 40, (0.2,), seeds=1, seed=7, baseline=QUICK._replace(epochs=20), progress=False)
    together = trained.train[: len(alone.train), 2]
    np.testing.assert_allclose(alone.train[:, 0], together, rtol=1e-3)
    assert not np.allclose(trained.train[:, 1], trained.train[:, 2])


def test_training_is_that_of_torch(trained):
    """Law: after one epoch of SGD by whole batches q' = q - rate dL/dq of a network of Kaiming's weights."""
    plan = QUICK._replace(method="sgd", batch=20, rate=0.01, epochs=1)
    one = crossings(REGRESSION, 8, 40, (-9.0,), seeds=1, seed=5, baseline=plan, progress=False)
    network, rows = REGRESSION.network(8), REGRESSION.data(40, 1)
    normal = torch.randn(parameters(network), generator=torch.Generator().manual_seed(5))
    parts = normal.split([p.numel() for p in network.parameters()])
    with torch.no_grad():
        for p, part in zip(network.parameters(), parts, strict=True):
            p.copy_(part.view_as(p) * (2 / p.shape[1]) ** 0.5 if p.ndim > 1 else torch.zeros_like(p))
    loss = REGRESSION.loss(network(rows.inputs), rows.targets)
    assert one.train[0, 0] == pytest.approx(loss.log().item(), rel=1e-5)
    loss.backward()
    torch.optim.SGD(network.parameters(), 0.01).step()
    assert one.train[1, 0] == pytest.approx(REGRESSION.loss(network(rows.inputs), rows.targets).log().item(), rel=1e-4)
    assert not one.reached.any()
    assert np.isnan(one.mean[0])


def test_boxed_networks_stay_in_the_box():
    """Law: Kaiming's weights leave the box of the landscape, and boxed training does not."""
    plan = QUICK._replace(epochs=5)
    free, boxed = (
        crossings(REGRESSION, 8, 40, (-9.0,), seeds=2, baseline=plan, boxed=boxed, progress=False)
        for boxed in (False, True)
    )
    assert (free.outside > 0).all()
    assert (boxed.outside == 0).all()


@pytest.mark.parametrize(
    ("change", "told"), [({"method": "adm"}, "adam"), ({"batch": 21}, "1 to 20 rows"), ({"rate": 0.0}, "rate")]
)
def test_baselines_out_of_range_are_refused(change, told):
    with pytest.raises(ValueError, match=told):
        crossings(REGRESSION, 8, 40, LEVELS, seeds=1, baseline=QUICK._replace(**change), progress=False)
