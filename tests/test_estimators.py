"""Law: the estimators keep scikit-learn's contract, and their ensembles are the thermal ones."""

from __future__ import annotations

import doctest
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris, make_moons
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from mdnet.estimators import SimmeringClassifier, SimmeringRegressor, base, choosing
from mdnet.estimators.ensemble import Recipe, Rows
from mdnet.networks import mlp

Z = 5.0
SMALL = {
    "temperature": 1e-3,
    "mode": "retrofit",
    "adam_steps": 80,
    "heat_steps": 5,
    "sample_steps": 20,
    "replicas": 1,
    "random_state": 0,
}
BOTH = pytest.mark.parametrize("make", [SimmeringClassifier, SimmeringRegressor])


@pytest.fixture
def natively(monkeypatch):
    """As users run it, for fits that are too long for plain torch."""
    monkeypatch.delenv("MDNET_ROUTE", raising=False)


def rows(seed, n=40):
    """Two features, and a class that is also a number."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    return x, (x[:, 0] + 0.3 * rng.normal(size=n) > 0).astype(int)


@parametrize_with_checks([SimmeringClassifier(**SMALL), SimmeringRegressor(**SMALL)])
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@pytest.mark.slow
@BOTH
def test_scikit_learn_accepts_the_defaults(make, natively):
    results = check_estimator(make(), on_skip=None)
    assert {each["status"] for each in results} <= {"passed", "skipped"}
    assert [each["check_name"] for each in results if each["status"] == "skipped"] == ["check_array_api_input"]


@BOTH
def test_one_random_state_makes_a_fit_and_leaves_the_world_alone(make, seed):
    x, y = rows(seed)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    outside, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    options = SMALL | {"temperature": "auto", "random_state": 7, "adam_steps": 30}
    first = make(**options).fit(x, y)
    assert torch.equal(torch.get_rng_state(), outside)
    np.testing.assert_array_equal(np.random.get_state()[1], numpys)  # noqa: NPY002
    torch.manual_seed(2)
    second, other = make(**options).fit(x, y), make(**options | {"random_state": 8}).fit(x, y)
    np.testing.assert_array_equal(first.positions_, second.positions_)
    assert (first.positions_ != other.positions_).any()
    said = "predict_proba" if make is SimmeringClassifier else "predict"
    np.testing.assert_array_equal(getattr(first, said)(x), getattr(second, said)(x))
    assert torch.get_num_threads() == 1


@BOTH
def test_a_pickle_and_a_clone_predict_the_same(make, seed):
    x, y = rows(seed)
    model = make(**SMALL).fit(x, y)
    said = "predict_proba" if make is SimmeringClassifier else "predict_std"
    expected = getattr(model, said)(x)
    np.testing.assert_array_equal(getattr(pickle.loads(pickle.dumps(model)), said)(x), expected)
    np.testing.assert_array_equal(getattr(clone(model).fit(x, y), said)(x), expected)


def test_the_probabilities_are_the_mean_over_the_members(seed):
    x, y = rows(seed)
    model = SimmeringClassifier(**SMALL | {"temperature": 0.1}).fit(x, y)
    inputs = torch.as_tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32)
    members = []
    for weights in torch.as_tensor(model.positions_):
        torch.nn.utils.vector_to_parameters(weights, model.network_.parameters())
        members.append(model.network_(inputs).detach().softmax(-1))
    np.testing.assert_allclose(model.predict_proba(x), torch.stack(members).mean(0), atol=1e-6)
    assert torch.stack(members).std(0).max() > 1e-3


def test_classes_are_strings_in_a_data_frame(seed):
    pandas = pytest.importorskip("pandas")
    x, y = rows(seed)
    frame = pandas.DataFrame(x, columns=["left", "right"])
    model = SimmeringClassifier(**SMALL).fit(frame, np.array(["no", "yes"])[y])
    assert list(model.feature_names_in_) == ["left", "right"]
    assert list(model.classes_) == ["no", "yes"]
    np.testing.assert_allclose(model.predict_proba(frame).sum(1), 1)
    assert model.score(frame, np.array(["no", "yes"])[y]) > 0.8
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["right", "left"]])


def test_several_numbers_are_learnt_at_once_in_their_own_units(seed):
    x, _ = rows(seed, 60)
    y = np.stack([x[:, 0], 1000 + 100 * x[:, 1]], 1)
    options = SMALL | {"adam_steps": 300}
    model = SimmeringRegressor(**options).fit(x, y)
    mean, std = model.predict(x, return_std=True)
    assert mean.shape == std.shape == y.shape
    assert model.score(x, y) > 0.95
    scaled = SimmeringRegressor(**options).fit(x, y * [1000, 1]).predict(x, return_std=True)
    np.testing.assert_allclose(scaled, (mean * [1000, 1], std * [1000, 1]), rtol=1e-3)
    assert SimmeringRegressor(**SMALL).fit(x, y[:, 0]).predict_std(x).shape == (60,)


def test_a_constant_input_says_nothing(seed):
    x, y = rows(seed)
    model = SimmeringClassifier(**SMALL).fit(np.column_stack([x, np.full(len(x), 7.0)]), y)
    assert model.score(np.column_stack([x, np.full(len(x), 7.0)]), y) > 0.8


@BOTH
def test_a_prediction_in_pieces_is_the_whole(make, seed, monkeypatch):
    x, y = rows(seed)
    model = make(**SMALL).fit(x, y)
    whole = model.predict(x)
    monkeypatch.setattr(base, "_NUMBERS", 1)
    np.testing.assert_allclose(model.predict(x), whole, rtol=1e-12)


def test_what_cannot_be_learnt_is_refused_in_the_words_of_scikit_learn(seed):
    x, y = rows(seed)
    with pytest.raises(ValueError, match="Found array with 1 sample"):
        SimmeringRegressor(**SMALL).fit(x[:1], y[:1])
    with pytest.raises(ValueError, match="at least 2 classes in the data, but the data contains only one class"):
        SimmeringClassifier(**SMALL).fit(x, np.zeros(len(x)))
    with pytest.raises(ValueError, match="Unknown label type"):
        SimmeringClassifier(**SMALL).fit(x, x[:, 0])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"temperature": -1.0}, "temperature = -1.0 must be 'auto', or a number"),
        ({"temperature": "hot"}, "temperature = 'hot' must be"),
        ({"mode": "abinitio"}, "did you mean 'ab-initio'"),
        ({"thermostat": "nose-hoover"}, "did you mean 'nose-hoover-chain'"),
        ({"activation": "than"}, "did you mean 'tanh'|known: "),
        ({"hidden": (0,)}, "every size must be one or more"),
        ({"replicas": 0}, "replicas = 0"),
        ({"sample_steps": 0}, "sample_steps = 0 must be 1 or more"),
        ({"adam_steps": -1}, "adam_steps = -1"),
    ],
)
def test_parameters_out_of_range_are_told_at_fit(wrong, told, seed):
    with pytest.raises(ValueError, match=told):
        SimmeringRegressor(**SMALL | wrong).fit(*rows(seed))


@pytest.mark.parametrize("thermostat", ["andersen", "langevin", "nose-hoover-chain"])
@pytest.mark.parametrize("mode", ["retrofit", "ab-initio"])
def test_every_bath_learns_in_either_mode(thermostat, mode, seed):
    x, y = rows(seed)
    options = SMALL | {"thermostat": thermostat, "mode": mode, "heat_steps": 100, "sample_steps": 60, "dt": 0.1}
    model = SimmeringClassifier(**options, restraint=mode == "retrofit").fit(x, y)
    assert model.positions_.shape == (60, 2 * 32 + 32 + 32 * 32 + 32 + 32 * 2 + 2)
    assert model.score(x, y) > 0.8


def test_at_zero_temperature_the_minima_of_adam_predict(seed):
    x, y = rows(seed)
    model = SimmeringRegressor(**SMALL | {"temperature": 0, "replicas": 3}).fit(x, y)
    assert len(model.positions_) == 3
    one = SimmeringRegressor(**SMALL | {"temperature": 0}).fit(x, y)
    np.testing.assert_allclose(model.positions_[:1], one.positions_, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(one.predict_std(x), 0)
    other = SimmeringRegressor(**SMALL | {"temperature": 0, "mode": "ab-initio"}).fit(x, y)
    np.testing.assert_array_equal(other.positions_, one.positions_)


@pytest.mark.parametrize("thermostat", ["andersen", "langevin"])
def test_a_linear_regression_has_its_exact_posterior(thermostat, seed):
    """Law: without hidden layers q is normal, covariance (2 A/T + 1)^-1 with A = <x x>, and so is what it says."""
    rng = np.random.default_rng(seed + 1)
    x, replicas, temperature = rng.normal(size=(40, 2)), 64, 0.2
    y = x @ [1.0, -0.5] + 0.5 * rng.normal(size=40)
    model = SimmeringRegressor(
        (), temperature=temperature, replicas=replicas, adam_steps=100, heat_steps=100, sample_steps=1000, dt=0.2,
        thermostat=thermostat, random_state=seed % 1000,
    ).fit(x, y)  # fmt: skip
    new = rng.normal(size=(5, 2)) * 2

    def design(inputs):
        return np.column_stack([(inputs - x.mean(0)) / x.std(0), np.ones(len(inputs))])

    precision = 2 * design(x).T @ design(x) / len(x) / temperature + np.eye(3)
    centre = np.linalg.solve(precision, 2 * design(x).T @ ((y - y.mean()) / y.std()) / len(x) / temperature)
    exact = y.mean() + y.std() * design(new) @ centre
    variance = y.var() * np.einsum("ni,ij,nj->n", design(new), np.linalg.inv(precision), design(new))
    whole, moments = model.positions_, []
    for replica in range(replicas):
        model.positions_ = whole[replica::replicas]  # an ensemble of its own
        mean, std = model.predict(new, return_std=True)
        moments.append((mean - exact, std**2 + (mean - exact) ** 2 - variance))
    errors = np.array(moments)  # (replicas, 2, rows)
    assert np.abs(errors.mean(0) / errors.std(0, ddof=1) * replicas**0.5).max() < Z


def test_the_spread_is_larger_where_there_were_no_rows(natively, seed):
    for k in range(4):
        rng = np.random.default_rng(seed + k)
        x = rng.uniform(-1, 1, size=(40, 1))
        y = np.sin(3 * x[:, 0]) + 0.2 * rng.normal(size=40)
        model = SimmeringRegressor(temperature=0.002, random_state=k).fit(x, y)
        inside = model.predict_std(np.linspace(-0.9, 0.9, 20)[:, None])
        outside = model.predict_std(np.concatenate([np.linspace(-3, -2, 10), np.linspace(2, 3, 10)])[:, None])
        assert outside.mean() > 2 * inside.mean()


def test_its_probabilities_are_better_than_those_of_adam_where_labels_are_noisy(natively, seed):
    for k in range(3):
        rng = np.random.default_rng(seed + k)
        x, y = make_moons(620, noise=0.2, random_state=(seed + k) % 2**32)
        y = np.where(rng.random(620) < 0.15, 1 - y, y)
        model = SimmeringClassifier(temperature=1 / 120, random_state=k).fit(x[:120], y[:120])
        adam = clone(model).set_params(temperature=0).fit(x[:120], y[:120])
        warm, cold = (log_loss(y[120:], each.predict_proba(x[120:])) for each in (model, adam))
        assert warm < 0.9 * cold


def test_a_search_in_a_pipeline_finds_a_temperature(seed):
    """At T = 100 the prior alone is left, so that the search has something to find."""
    x, y = load_iris(return_X_y=True)
    chosen = np.random.default_rng(seed).permutation(150)[:90]
    network = SimmeringClassifier(**SMALL | {"heat_steps": 100, "sample_steps": 50})
    search = GridSearchCV(
        make_pipeline(MinMaxScaler(), network), {"simmeringclassifier__temperature": [1e-3, 100.0]}, cv=2,
        scoring="neg_log_loss",
    ).fit(x[chosen], y[chosen])  # fmt: skip
    assert search.best_params_ == {"simmeringclassifier__temperature": 1e-3}
    assert search.score(x, y) > -0.5


def test_the_temperature_is_chosen_by_rows_that_were_not_learnt(seed):
    """Numbers without noise want it cold, labels that are nothing but noise hot: one draw may err, three do not."""
    recipe = Recipe(True, "ab-initio", 0, 150, 150, "langevin", 0.2, False)
    mse, cross_entropy = torch.nn.functional.mse_loss, torch.nn.functional.cross_entropy
    ratios = []
    for k in range(3):
        noise = torch.Generator().manual_seed(seed + k)
        x = torch.randn(60, 2, generator=noise)
        clean, random = torch.sin(2 * x[:, :1]), torch.randint(2, (60,), generator=noise)
        cold = choosing.chosen_temperature(Rows(mlp(2, 1, (16,)), mse, x, clean), recipe, 0)
        hot = choosing.chosen_temperature(Rows(mlp(2, 2, (16,)), cross_entropy, x, random), recipe, 0)
        ratios.append(hot / cold)
    assert np.log(ratios).mean() > np.log(3)


def test_few_rows_leave_no_choice():
    x, y = rows(0, choosing.FEWEST - 1)
    model = SimmeringClassifier(**SMALL | {"temperature": "auto"}).fit(x, y)
    assert model.temperature_ == pytest.approx(1 / (choosing.FEWEST - 1))


@BOTH
def test_its_example_runs(make, natively):
    (example,) = doctest.DocTestFinder(recurse=False).find(make, globs={make.__name__: make})
    assert 3 <= len(example.examples) <= 4
    assert doctest.DocTestRunner().run(example).failed == 0
