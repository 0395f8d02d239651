"""Law: every score of an ensemble agrees with its closed form, its errors cover, and MBAR moves it in temperature."""

import math
import os
import re

import numpy as np
import pytest
from scipy import stats
from systems import Z

import trajectories
from trajectories import ensemble
from trajectories.ensemble.blocks import Stored
from trajectories.ensemble.novelty import auroc
from trajectories.report import ensemble_figures, prediction_figures
from trajectories.report.drawing import Missing

LADDER = np.array([0.5, 1.0, 2.0, 4.0])
WANTED = 1.4  # between two rungs


def noise(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed + 1_000_003 * int(os.environ.get("SEED_OFFSET", "0")))


def z_of(repeats, exact) -> float:
    """The worst deviation of the mean of independent repeats (n, ...) from the exact value, in standard errors."""
    repeats = np.asarray(repeats, dtype=float)
    return float(np.max(np.abs(repeats.mean(0) - exact) / (repeats.std(0, ddof=1) / math.sqrt(len(repeats)))))


def assert_as_wide(errors, repeats, what: str = "error bar", longest: float = 1.0) -> None:
    """Error bars are 1 to ``longest`` times the scatter of repeats (n,), within five standard errors of the latter."""
    ratio = math.sqrt(np.square(errors).mean()) / np.std(repeats, ddof=1)
    gate = Z / math.sqrt(2 * (len(repeats) - 1))
    assert -gate < math.log(ratio) < gate + math.log(longest), f"{what} is {ratio:.2f} of the scatter"


class Linear:
    """f(x) = x q with U = U_0 + (q - mean) K (q - mean)/2: at T, f has mean x mean and variance T x K^-1 x."""

    def __init__(self, points: int = 5, dof: int = 3):
        rng = np.random.default_rng(0)
        root = rng.normal(size=(dof, dof)) + 2 * np.eye(dof)
        self.stiffness, self.x = root @ root.T, rng.normal(size=(points, dof))
        self.mean, self.targets = rng.normal(size=dof), rng.normal(size=(points, 1))
        self.value = (self.x @ self.mean)[:, None]  # (points, 1)
        self.variance = np.einsum("pi,ij,pj->p", self.x, np.linalg.inv(self.stiffness), self.x)[:, None]  # at T = 1

    def sample(self, rng, temperatures):
        """Exact samples at temperatures (samples, replicas): outputs (samples, replicas, points, 1) and energies."""
        root = np.linalg.cholesky(np.linalg.inv(self.stiffness))
        off = np.sqrt(temperatures)[..., None] * (rng.normal(size=(*temperatures.shape, len(root))) @ root.T)
        energies = 7.0 + 0.5 * np.einsum("sri,ij,srj->sr", off, self.stiffness, off)
        return ((self.mean + off) @ self.x.T)[..., None], energies


MODEL = Linear()


def test_the_two_ensembles_average_over_different_axes():
    logits = noise(9).normal(size=(5, 3, 7, 4))
    assert ensemble.mean(logits, over="samples").shape == (3, 7, 4)
    assert ensemble.mean_softmax(logits).shape == (7, 4)
    np.testing.assert_allclose(
        ensemble.mean_softmax(logits, over="samples").mean(axis=0), ensemble.mean_softmax(logits)
    )
    np.testing.assert_allclose(ensemble.vote(logits).sum(axis=-1), 1.0)
    assert ensemble.accuracy(ensemble.vote(logits, over="samples"), np.zeros(7, int)).shape == (3,)
    np.testing.assert_allclose(ensemble.spread(logits), logits.std(axis=(0, 1)))
    np.testing.assert_allclose(ensemble.spread(logits + 1e6, over="samples"), logits.std(axis=0), rtol=1e-6)
    with pytest.raises(ValueError, match="allowed are 'samples'"):
        ensemble.mean(logits, over="all")
    with pytest.raises(ValueError, match=r"\(samples, replicas, points, outputs\)"):
        ensemble.mean(logits[0])


def test_averaging_never_loses_in_convex_scores():
    rng = noise(10)
    logits, labels, targets = rng.normal(size=(6, 4, 50, 3)), rng.integers(0, 3, 50), rng.normal(size=(50, 3))
    members = ensemble.probabilities(logits)
    assert ensemble.nll(ensemble.mean_softmax(logits), labels) <= ensemble.nll(members, labels).mean()
    assert ensemble.brier(ensemble.mean_softmax(logits), labels) <= ensemble.brier(members, labels).mean()
    gap = ensemble.mse(logits, targets).mean() - ensemble.mse(ensemble.mean(logits), targets)
    assert gap == pytest.approx(np.square(ensemble.spread(logits)).mean())  # ambiguity decomposition


def test_calibration_of_labels_drawn_from_the_prediction():
    rng = noise(11)
    chances = ensemble.probabilities(2 * rng.normal(size=(20_000, 3)))
    labels = (rng.random(20_000)[:, None] > chances.cumsum(axis=1)).sum(axis=1)
    found = ensemble.calibration(chances, labels)
    filled = found.counts > 0
    assert found.counts.sum() == 20_000
    z = (found.accuracy - found.confidence)[filled] / found.error[filled]
    assert np.abs(z).max() < Z
    sharper = chances**3 / (chances**3).sum(1, keepdims=True)
    wrong = ensemble.calibration(sharper, labels)
    assert np.nanmax(np.abs(wrong.accuracy - wrong.confidence) / wrong.error) > 4 * Z
    assert wrong.ece > 5 * found.ece


def test_the_error_of_a_bin_covers_and_is_never_zero():
    rng = noise(12)
    right = rng.random((4000, 30)) < 0.7
    chances = np.stack([np.full((4000, 30), 0.65), np.full((4000, 30), 0.35)], axis=-1)
    found = [ensemble.calibration(p, np.where(yes, 0, 1)) for p, yes in zip(chances, right, strict=True)]
    errors, accuracies = (np.array([getattr(one, name)[6] for one in found]) for name in ("error", "accuracy"))
    assert errors.mean() == pytest.approx(accuracies.std(), rel=Z / math.sqrt(2 * 4000) + 0.02)  # of order 1/n
    assert ensemble.calibration(chances[0], np.zeros(30, int)).error[6] > 0


def test_r2_is_one_for_the_truth_and_zero_for_its_mean():
    targets = noise(12).normal(size=(30, 2))
    assert ensemble.r2(targets, targets) == 1
    assert ensemble.r2(np.broadcast_to(targets.mean(axis=0), (30, 2)), targets) == pytest.approx(0)
    assert ensemble.probabilities(np.zeros((5, 1))).tolist() == [[0.5, 0.5]] * 5


def test_brier_scores_by_hand():
    assert ensemble.brier([[1.0, 0.0], [0.0, 1.0]], [0, 1]) == 0
    assert ensemble.brier([[1.0, 0.0], [0.0, 1.0]], [1, 0]) == 2
    assert ensemble.brier([[0.6, 0.3, 0.1]], [1]) == pytest.approx(0.36 + 0.49 + 0.01)


def test_gaussian_nll_of_its_own_law_is_the_entropy():
    rng = noise(13)
    f, s = rng.normal(size=(400, 20, 2)), 0.3
    y = f + s * rng.normal(size=f.shape)
    nll = [ensemble.gaussian_nll(one, truth, s) for one, truth in zip(f, y, strict=True)]
    assert z_of(nll, 0.5 * math.log(2 * math.pi * math.e * s**2)) < Z
    with pytest.raises(ValueError, match="must be positive"):
        ensemble.gaussian_nll(f[0], y[0], 0.0)


@pytest.mark.parametrize("over", ["everything", "samples"])
def test_quantiles_are_those_of_numpy_and_of_the_weighted_law(over):
    rng = noise(14)
    q = np.array([0.05, 0.5, 0.9])
    values = rng.normal(size=(40, 3, 4, 2))
    axes = (0, 1) if over == "everything" else 0
    np.testing.assert_allclose(
        ensemble.quantiles(values, q, over=over), np.quantile(values, q, axis=axes, method="hazen")
    )
    assert ensemble.quantiles(values, 0.5, over=over).shape == values.mean(axis=axes).shape
    some = (np.arange(40) % 2).astype(float)[:, None] * np.ones(3)
    np.testing.assert_allclose(
        ensemble.quantiles(values, q, over=over, weights=some), ensemble.quantiles(values[1::2], q, over=over)
    )
    wide = 1.5 * rng.normal(size=(500, 30, 4, 1))  # (.., 4 points) of one law, moved to N(0.5, 1) by weights
    found = []
    for r in range(30):
        one = wide[:, r : r + 1, :1]
        share = stats.norm(0.5).pdf(one)[..., 0, 0] / stats.norm(0, 1.5).pdf(one)[..., 0, 0]
        found.append(ensemble.quantiles(one, q, over=over, weights=share).ravel())
    assert z_of(found, stats.norm(0.5).ppf(q)) < Z
    assert (
        z_of([ensemble.quantiles(wide[:, r : r + 1], q).mean(axis=(1, 2)) for r in range(30)], stats.norm(0.5).ppf(q))
        > Z
    )
    with pytest.raises(ValueError, match="between 0 and 1"):
        ensemble.quantiles(values, 50)


@pytest.mark.parametrize(("members", "level"), [(9, 0.8), (19, 0.9), (19, 0.5)])
def test_intervals_hold_the_share_that_they_claim(members, level):
    """Target and members are exchangeable at each point, so the share is exact for these numbers of members."""
    rng = noise(15)
    points = 20_000
    predictions, targets = rng.normal(size=(members, 1, points, 1)), rng.normal(size=(points, 1))
    error = math.sqrt(level * (1 - level) / points)
    assert abs(ensemble.coverage(predictions, targets, level) - level) < Z * error
    assert ensemble.coverage(0.7 * predictions, targets, level) < level - 2 * Z * error
    with pytest.raises(ValueError, match=r"such as 0\.9"):
        ensemble.coverage(predictions, targets, 90)


def test_the_transform_is_the_predictive_distribution():
    rng = noise(16)
    targets = rng.normal(size=(50, 1))
    same = np.broadcast_to(np.full((50, 1), 0.3), (4, 2, 50, 1))
    np.testing.assert_allclose(ensemble.pit(same, targets, noise=0.7), stats.norm(0.3, 0.7).cdf(targets))
    two = np.stack([same[:, 0], same[:, 1] + 1], axis=1)
    share = np.broadcast_to([0.25, 0.75], (4, 2))
    mixture = 0.25 * stats.norm(0.3, 0.7).cdf(targets) + 0.75 * stats.norm(1.3, 0.7).cdf(targets)
    np.testing.assert_allclose(ensemble.pit(two, targets, noise=0.7, weights=share), mixture)


def test_disagreement_is_nothing_among_equals_and_log_k_among_opposites():
    rng = noise(17)
    logits = rng.normal(size=(1, 1, 6, 3))
    same = np.broadcast_to(logits, (4, 5, 6, 3))
    np.testing.assert_allclose(ensemble.mutual_information(same), 0, atol=1e-12)
    np.testing.assert_allclose(
        ensemble.predictive_entropy(same), stats.entropy(ensemble.probabilities(logits[0, 0]), axis=-1)
    )
    sure = 100 * np.eye(3)[np.arange(3)][:, None, None, :]  # three members, each sure of another class
    assert ensemble.mutual_information(sure) == pytest.approx(math.log(3))
    assert ensemble.mutual_information(rng.normal(size=(4, 5, 6, 3)), over="samples").shape == (5, 6)


def test_the_auroc_of_two_normal_laws_and_its_error():
    rng = noise(18)
    found = np.array([auroc(rng.normal(size=40), 1 + rng.normal(size=60)) for _ in range(400)])
    assert z_of(found[:, 0], stats.norm.cdf(1 / math.sqrt(2))) < Z
    assert_as_wide(found[:, 1], found[:, 0])
    assert auroc(np.zeros(5), np.zeros(7))[0] == 0.5


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_spread_tells_inputs_on_which_members_disagree(kind):
    rng = noise(19)
    outputs = 1 if kind == "regression" else 3
    inside, outside = (a * rng.normal(size=(6, 8, 40, outputs)) for a in (0.3, 3.0))
    found = ensemble.ood_spread(inside, outside, kind=kind)
    assert found.auroc.value == 1.0
    same = ensemble.ood_spread(inside, 0.3 * rng.normal(size=(6, 8, 60, outputs)), kind=kind)
    assert abs(same.auroc.value - 0.5) < Z * same.auroc.data
    expected = ensemble.spread(outside)[:, 0] if kind == "regression" else ensemble.mutual_information(outside)
    np.testing.assert_allclose(found.outside, expected)
    with pytest.raises(ValueError, match="same samples and replicas"):
        ensemble.ood_spread(inside, outside[1:], kind=kind)


class Networks:
    """Networks linear in 4 inputs, each off a common one that is itself wrong, and points with noisy truths."""

    def __init__(self, kind: str):
        self.kind, self.outputs = kind, 3 if kind == "classification" else 1
        self.common = np.random.default_rng(5).normal(size=(4, self.outputs))

    def points(self, rng, number: int):
        """Inputs (number, 4) and labels (number,), or values (number, 1)."""
        x = rng.normal(size=(number, 4))
        f = x @ self.common
        if self.kind == "regression":
            return x, f + 0.5 * rng.normal(size=f.shape)
        return x, (rng.random((number, 1)) > ensemble.probabilities(f).cumsum(axis=1)).sum(axis=1)

    def members(self, rng, replicas: int):
        """Weights (3, replicas, 4, outputs): replicas are independent, samples of one are not."""
        shape = (replicas, 4, self.outputs)
        return 0.6 * self.common + 0.6 * rng.normal(size=(1, *shape)) + 0.2 * rng.normal(size=(3, *shape))


def predicted(x, networks):
    return np.einsum("pd,srdk->srpk", x, networks)


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_both_error_bars_are_as_wide_as_the_scatter(kind):
    """Sampling errors against new members at fixed points, data errors against new points for fixed members."""
    rng, problem = noise(20), Networks(kind)
    (x, truth), fixed = problem.points(rng, 60), problem.members(rng, 12)
    runs = [ensemble.assess(predicted(x, problem.members(rng, 12)), truth, noise=0.5) for _ in range(40)]
    sets = [ensemble.assess(predicted(x, fixed), y, noise=0.5) for x, y in (problem.points(rng, 60) for _ in range(40))]
    for which, several in (("sampling", runs), ("data", sets)):
        for who, found in several[0].scores.items():
            for name in found:
                scores = [one.scores[who][name] for one in several]
                errors, values = [getattr(one, which) for one in scores], [one.value for one in scores]
                longest = 2.0 if which == "sampling" and name[:3] in ("ece", "cov") else 1.0  # as `scatter` says
                assert_as_wide(errors, values, f"{which} error of {name} of {who}", longest)


def test_dependent_replicas_need_to_be_told():
    """Four copies of each network: the error bar is half of the true one unless they are taken together."""
    rng, problem = noise(21), Networks("regression")
    x, y = problem.points(rng, 60)
    copies = np.repeat(np.arange(8), 4)
    ratio = []
    for _ in range(20):
        outputs = predicted(x, problem.members(rng, 8))[:, copies]
        found = [ensemble.scored(ensemble.mse, outputs, y, combination="mean", together=t) for t in (None, copies)]
        ratio.append(found[1].sampling / found[0].sampling)
    assert np.mean(ratio) == pytest.approx(2 * math.sqrt(31 / 28), rel=0.15)


def test_few_replicas_take_blocks_of_time():
    rng = noise(22)
    truth = np.zeros((1, 1))
    repeats = [
        ensemble.scored(lambda f, y: f[0, 0], rng.normal(size=(160, 2, 1, 1)), truth, combination="mean")
        for _ in range(100)
    ]
    assert_as_wide([one.sampling for one in repeats], [one.value for one in repeats])
    assert "32 blocks of time" in str(ensemble.assess(rng.normal(size=(160, 2, 5, 1)), np.zeros((5, 1))))
    assert ensemble.assess(rng.normal(size=(1, 1, 5, 1)), np.zeros(5)).scores["mean"]["mse"].sampling == math.inf


def test_what_does_not_fit_is_refused():
    logits, labels = noise(23).normal(size=(4, 4, 7, 3)), np.zeros(7, int)
    with pytest.raises(ValueError, match="allowed are 'classification' and 'regression'"):
        ensemble.assess(logits, labels, kind="ranking")
    with pytest.raises(ValueError, match="labels run from 3"):
        ensemble.assess(logits, labels + 3)
    with pytest.raises(ValueError, match="end in the shape of the targets"):
        ensemble.assess(logits, np.zeros((7, 2)))
    with pytest.raises(ValueError, match="one finite number, not negative"):
        ensemble.mean(logits, weights=-np.ones((4, 4)))
    with pytest.raises(ValueError, match="allowed are mean, mean_softmax, vote"):
        ensemble.scored(ensemble.nll, logits, labels, combination="median")
    with pytest.raises(ValueError, match="no sample"):
        ensemble.mean(logits[:0])


def test_a_file_is_read_in_blocks_with_the_same_result(tmp_path, monkeypatch):
    rng = noise(24)
    outputs, labels = rng.normal(size=(30, 4, 9, 3)), rng.integers(0, 3, 9)
    share = rng.random((30, 4))
    whole = ensemble.assess(outputs, labels), ensemble.quantiles(outputs, 0.3, weights=share), ensemble.spread(outputs)
    store(tmp_path, {"test/prediction": outputs}, {})
    monkeypatch.setattr(Stored.blocks, "__defaults__", (7 * outputs[0].nbytes,))
    monkeypatch.setattr(Stored.columns, "__defaults__", (2 * outputs[:, :, 0].nbytes,))
    assert len(list(Stored(outputs).blocks())) == 5
    picked = [block for _, block in Stored(outputs, rows=[1, 3, 20, 29]).blocks()]
    np.testing.assert_array_equal(np.concatenate(picked), outputs[[1, 3, 20, 29]])
    with trajectories.open(tmp_path) as run:
        found = run.observables["test/prediction"]
        assert str(ensemble.assess(found, labels)) == str(whole[0])
        np.testing.assert_allclose(ensemble.quantiles(found, 0.3, weights=share), whole[1])
        np.testing.assert_allclose(ensemble.spread(found), whole[2])


def store(folder, series: dict[str, np.ndarray], parameters: dict, *, every: dict[str, int] | None = None) -> None:
    """Write series (samples, replicas, ...) as a run of one weight would."""
    replicas = next(iter(series.values())).shape[1]
    with trajectories.Writer.create(
        folder / "trajectory.h5", table=[("w", (1,), 0)], replicas=replicas, masses=np.ones(1), parameters=parameters
    ) as writer:
        for name, values in series.items():
            for i, value in enumerate(values):
                step = i * (every or {}).get(name, 1)
                writer.observable(name, step, 0.1 * step, value)


def ladders(rng, samples: int, copies: int, levels=LADDER):
    """Outputs and energies of ladders side by side, and the temperature of each replica, (4 copies,)."""
    temperatures = np.tile(levels, copies)
    return *MODEL.sample(rng, np.broadcast_to(temperatures, (samples, len(temperatures)))), temperatures


@pytest.fixture(scope="module")
def reweighted():
    """Twelve independent repeats: outputs, temperatures, energies and the weights at the wanted temperature."""
    rng = noise(25)
    repeats = []
    for _ in range(12):
        outputs, energies, temperatures = ladders(rng, 60, 4)
        share = ensemble.weights(energies, temperatures, WANTED, together=np.repeat(np.arange(4), 4))
        repeats.append((outputs, energies, temperatures, share))
    return repeats


def test_weights_give_the_moments_between_the_rungs(reweighted):
    """The mean does not depend on T and the variance is T x K^-1 x; without weights it belongs to no temperature."""
    means = [ensemble.mean(outputs, weights=share) for outputs, *_, share in reweighted]
    spreads = [np.square(ensemble.spread(outputs, weights=share)) for outputs, *_, share in reweighted]
    assert z_of(means, MODEL.value) < Z
    assert z_of(spreads, WANTED * MODEL.variance) < Z
    assert z_of([np.square(ensemble.spread(outputs)) for outputs, *_ in reweighted], WANTED * MODEL.variance) > 2 * Z
    q = np.array([0.05, 0.25, 0.95])[:, None, None]
    exact = stats.norm(MODEL.value, np.sqrt(WANTED * MODEL.variance)).ppf(q)
    found = [ensemble.quantiles(outputs, q.ravel(), weights=share) for outputs, *_, share in reweighted]
    assert z_of(found, exact) < Z


def test_weights_are_boltzmann_factors(reweighted):
    """With one temperature w ~ exp(-E (1/T - 1/T_1)); on a rung that was run, all its samples count."""
    _, energies, temperatures, share = reweighted[0]
    here = temperatures == 1.0
    alone = np.asarray(ensemble.weights(energies[:, here], temperatures[here], WANTED))
    expected = np.exp(-energies[:, here] * (1 / WANTED - 1))
    np.testing.assert_allclose(alone, expected / expected.sum(), rtol=1e-9)
    assert share.values.sum() == pytest.approx(1)
    assert share.effective == pytest.approx(1 / np.square(share.values).sum())
    assert share.effective > ensemble.weights(energies[:, here], temperatures[here], WANTED).effective
    assert ensemble.weights(energies, temperatures, 1.0).effective > here.sum() * len(energies)
    elsewhere = ensemble.weights(energies, temperatures, 3.0, together=np.repeat(np.arange(4), 4))
    np.testing.assert_allclose(share.at(3.0).values, elsewhere.values, rtol=1e-9)


def test_errors_at_the_wanted_temperature_cover(reweighted):
    """The members' mse is <(f - y)^2> = (mean - y)^2 + T x K^-1 x, and its error holds that of the free energies."""
    exact = float((np.square(MODEL.value - MODEL.targets) + WANTED * MODEL.variance).mean())
    found = [ensemble.assess(outputs, MODEL.targets, weights=share) for outputs, *_, share in reweighted]
    scores = [one.scores["member"]["mse"] for one in found]
    assert z_of([one.value for one in scores], exact) < Z
    assert_as_wide([one.sampling for one in scores], [one.value for one in scores])
    assert found[0].source == "4 independent groups of replicas"


def test_too_few_effective_samples_and_schedules_are_refused(reweighted):
    _, energies, temperatures, share = reweighted[0]
    with pytest.raises(ValueError, match="run a rung nearer to it"):
        ensemble.weights(energies, temperatures, 0.001)
    with pytest.raises(ValueError, match="run a rung nearer to it"):
        share.at(0.001)
    with pytest.raises(ValueError, match="must be positive"):
        share.at(0.0)
    with pytest.raises(ValueError, match="take the part at fixed temperatures"):
        ensemble.weights(energies, np.linspace(1, 2, energies.size).reshape(energies.shape), WANTED)
    with pytest.raises(ValueError, match="do not fit"):
        ensemble.weights(energies, temperatures[:3], WANTED)
    with pytest.raises(ValueError, match="do not fit"):
        ensemble.assess(np.zeros((3, 2, 1, 1)), np.zeros((1, 1)), weights=share)


@pytest.mark.parametrize("walks", [False, True], ids=["ladder", "replica exchange"])
def test_a_run_predicts_at_a_temperature_between_its_own(tmp_path, walks):
    """Energies are recorded twice as often as predictions; replicas keep their temperature, or exchange it."""
    rng = noise(26)
    rung = np.tile(np.arange(4), (200, 6))
    if walks:
        rung = rng.permuted(rung.reshape(200, 6, 4), axis=-1).reshape(200, 24)
    outputs, energies = MODEL.sample(rng, LADDER[rung])
    series = {
        "test/prediction": outputs[::2],
        "potential_energy": energies,
        "set_temperature": LADDER[rung],
    }
    tempering = {}
    if walks:
        tempering = {"tempering": {"ladder": LADDER, "tempered": "all"}}
        series |= {"tempering/rung": rung, "tempering/pair": 0 * rung, "tempering/accepted": 0 * rung}
        series["tempering/energy"] = energies
    store(tmp_path, series, tempering, every={"test/prediction": 2})
    with trajectories.open(tmp_path) as run:
        found = ensemble.at_temperature(run, WANTED)
        outputs, share = ensemble.on_ladder(run, WANTED, start=20)
        few, _ = ensemble.on_ladder(run, WANTED, most=10)
        late = ensemble.at_temperature(run, WANTED, start=190, classes=True)
        with pytest.raises(trajectories.NotRecorded, match="no step from 1000 on"):
            ensemble.on_ladder(run, WANTED, start=1000)
    assert (np.abs(found.mean - MODEL.value) / found.error).max() < 2 * Z  # six units: Student's t, 5
    assert np.abs(found.spread / np.sqrt(WANTED * MODEL.variance) - 1).max() < Z / math.sqrt(2 * found.effective)
    assert outputs.shape == (90, 24, 5, 1)
    assert few.shape == (10, 24, 5, 1)
    assert share.source == "6 independent groups of replicas"
    np.testing.assert_allclose(late.mean.sum(axis=-1), 1)


def test_the_figures_tell_the_numbers_of_the_file(tmp_path):
    """Spread on far inputs, and the score against temperature, drawn from one ladder of runs."""
    rng = noise(27)
    outputs, energies, temperatures = ladders(rng, 120, 5)
    series = {
        "test/prediction": outputs,
        "far/prediction": 3 * outputs[:, :, :4],
        "potential_energy": energies,
        "set_temperature": np.broadcast_to(temperatures, energies.shape),
    }
    store(tmp_path, series, {"test": {"inputs": MODEL.x, "targets": MODEL.targets}})
    with trajectories.open(tmp_path) as run:
        away, scores = ensemble_figures.novelty(run), ensemble_figures.at_temperatures(run)
        late, share = ensemble.on_ladder(run, LADDER[0])
        cold = np.flatnonzero(temperatures == LADDER[0])
        expected = ensemble.ood_spread(outputs[60:, cold], 3 * outputs[60:, cold, :4], kind="regression")
        assert f"(AUROC) of {expected.auroc}" in away.caption
        assert "far, 4 points" in away.svg
        assert "5 independent groups of replicas" in scores.caption
        best = re.search(r"best at T = (\S+), with (\S+) ", scores.caption)
        found = ensemble.assess(late, MODEL.targets, weights=share.at(float(best[1])))
        lowest = found.scores["mean"]["mse"].value
        assert f"{lowest:.4g}" == best[2]
        at_rungs = [ensemble.mse(ensemble.mean(late, weights=share.at(T)), MODEL.targets) for T in LADDER]
        assert lowest <= min(at_rungs) * (1 + 1e-3)  # T is read from the caption, to four digits
    assert "mean squared error" in scores.svg


def test_a_figure_that_lacks_data_says_which(tmp_path):
    outputs = np.zeros((8, 4, 5, 1))
    same = {
        "test/prediction": outputs,
        "potential_energy": outputs[..., 0, 0],
        "set_temperature": 1 + outputs[..., 0, 0],
    }
    store(tmp_path, same, {"test": {"targets": MODEL.targets}})
    with trajectories.open(tmp_path) as run:
        with pytest.raises(Missing, match="one set of inputs alone"):
            ensemble_figures.novelty(run)
        with pytest.raises(Missing, match="all replicas are at one temperature"):
            ensemble_figures.at_temperatures(run)


def test_the_reliability_diagram_counts_its_points(tmp_path):
    rng = noise(28)
    logits, labels = 2 * rng.normal(size=(6, 4, 40, 3)), rng.integers(0, 3, 40)
    store(tmp_path, {"test/prediction": logits}, {"test": {"inputs": np.zeros((40, 2)), "targets": labels}})
    with trajectories.open(tmp_path) as run:
        picture = prediction_figures.prediction(run)
    chances = ensemble.mean_softmax(logits[3:])
    assert f"calibration error {ensemble.calibration(chances, labels).ece:.4f}" in picture.caption
    assert f"accuracy {float(ensemble.accuracy(chances, labels)):.4f}" in picture.caption
    assert "ensemble ± 1 se" in picture.svg
    assert "points" in picture.svg
