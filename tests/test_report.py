"""Law: the report shows every figure whose data were recorded, names what is missing, and needs no network."""

import contextlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from systems import Z

import trajectories
from trajectories import Writer, info, report, statistics
from trajectories.report import drawing, page, reading, run_figures, study_figures
from trajectories.report.drawing import Missing
from trajectories.report.equilibrium import equilibrium
from trajectories.report.sections import Section, sections

REPLICAS, DOF, SAMPLES, TEMPERATURE, WIDTH = 6, 20, 120, 0.05, 0.3
TITLES = (
    "Energy and loss",
    "Temperature",
    "Kinetic energy against its law",
    "Conserved quantity",
    "Autocorrelation",
    "Block averages",
    "Spectral density",
    "Mean squared displacement",
    "Velocities: correlation and vibrations",
    "Distances between replicas",
    "Overlap of replicas",
    "Principal components",
    "Diffusion map",
    "Ensemble prediction",
    "Temperatures side by side",
    "Equipartition by layer",
    "Entropy by its estimators",
)
TABLES = ("Averages and their convergence", "Scores", "Laws of the canonical ensemble")
NOVEL = "Away from the test set"
OF_LADDERS = (
    "Prediction at any temperature",
    "Energy and heat capacity",
    "Free energy and entropy",
    "Microcanonical temperature",
)


def problem(kind: str, rng) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Test data of a kind of problem, and predictions (samples, replicas, points, outputs)."""
    x = np.linspace(-2, 2, 25)
    noise = rng.normal(size=(40, REPLICAS, 25, 1))
    if kind == "curve":
        test = {"inputs": x[:, None], "targets": np.sin(x)[:, None] + 0.1, "truth": np.sin(x)}
        return test, np.sin(x)[:, None] + 0.1 * noise
    if kind == "many inputs":
        test = {"inputs": rng.normal(size=(25, 3)), "targets": rng.normal(size=25)}
        return test, test["targets"][:, None] + 0.1 * noise
    test = {"inputs": rng.normal(size=(25, 3)), "targets": rng.integers(0, 3, 25)}
    return test, np.eye(3)[test["targets"]] + rng.normal(size=(40, REPLICAS, 25, 3))


def simulate(folder: Path, kind: str, *, temperatures=TEMPERATURE, heated=20, samples=SAMPLES, seed=0) -> Path:
    """Write what a canonical run of harmonic modes would, without running one: U and K are Gamma(N_f/2, T)."""
    rng = np.random.default_rng(seed)
    test, predictions = problem(kind, rng)
    levels = np.broadcast_to(temperatures, (REPLICAS,))
    kinetic = rng.gamma(DOF / 2, levels, size=(samples, REPLICAS))
    series = {
        "potential_energy": rng.gamma(DOF / 2, levels, size=(samples, REPLICAS)),
        "train/loss": rng.random((samples, REPLICAS)),
        "test/loss": rng.random((samples, REPLICAS)),
        "kinetic_energy": kinetic,
        "temperature": 2 * kinetic / DOF,
        "set_temperature": np.where(np.arange(samples)[:, None] < heated, 1.0, levels),
        "conserved": 1 + 1e-4 * rng.normal(size=(samples, REPLICAS)),
    }
    settings = {"scheme": "BAOAB", "seed": seed, "test": test, "source": "class <Net>:\n" * 100}
    table = [("w", (DOF - 4,), 0), ("b", (4,), DOF - 4)]
    with Writer.create(
        folder / "trajectory.h5", table=table, replicas=REPLICAS, masses=np.ones(DOF), parameters=settings
    ) as writer:
        for i in range(samples):
            for name, values in series.items():
                writer.observable(name, i, 0.1 * i, values[i])
            position = WIDTH * rng.normal(size=(REPLICAS, DOF))
            writer.frame(i, 0.1 * i, position, velocity=np.sqrt(levels)[:, None] * rng.normal(size=(REPLICAS, DOF)))
        for i, prediction in enumerate(predictions):
            writer.observable("test/prediction", 3 * i, 0.3 * i, prediction)
    return folder


@pytest.fixture
def few_figures(monkeypatch):
    """Let pages show two figures of a run, where the test is not about figures."""
    few = [
        Section("run", "The run", {"Energy and loss": run_figures.loss, "Conserved quantity": run_figures.conserved})
    ]
    monkeypatch.setattr(page, "sections", lambda run: few)


def requests(page: str) -> list[str]:
    """Addresses in the page other than the names of XML namespaces."""
    return [found for found in re.findall(r".{0,16}https?://", page) if not re.search(r'xmlns(:\w+)?="http://', found)]


@pytest.mark.parametrize(
    ("kind", "shown", "caption"),
    [
        ("curve", ["5 to 95 % of members", "truth"], "mean squared error"),
        ("many inputs", ["predicted = true"], "R²"),
        ("classes", ["perfect calibration", "number of members"], "expected calibration error"),
    ],
)
def test_predictions_are_drawn_as_their_kind_needs(tmp_path, kind, shown, caption):
    with trajectories.open(simulate(tmp_path, kind)) as run:
        drawn = next(one for one in sections(run) if one.anchor == "ensemble").items["Ensemble prediction"](run)
    for text in shown:
        assert text in drawn.svg
    assert caption in drawn.caption


def test_every_figure_of_a_full_run(tmp_path):
    shown = report.write([simulate(tmp_path / "run", "curve")], tmp_path / "report.html").read_text(encoding="utf-8")
    flat = shown.replace("</h3>\n", "</h3>")
    for title in TITLES:
        assert f"<h3>{title}</h3><svg" in flat
    for title in TABLES:
        assert f'<h3>{title}</h3><div class="scroll">' in flat
    for text in ["5 to 95 % of 6 replicas", "Kolmogorov-Smirnov p", "set temperature", "k_B = 1", "BAOAB"]:
        assert text in shown
    assert "could not be drawn" not in shown
    assert set(re.findall(r"<p><b>(.*?)</b>", shown)) == {*OF_LADDERS, NOVEL}
    assert "class &lt;Net&gt;" in shown
    assert requests(shown) == []
    assert not re.search(r"<(script|link|img|image|iframe)\b|url\((?!#)|@import", shown)
    assert "prefers-color-scheme: dark" in shown


def test_what_is_missing_is_said(tmp_path):
    table = [("w", (2,), 0)]
    with Writer.create(tmp_path / "trajectory.h5", table=table, replicas=1, masses=np.ones(2), parameters={}) as writer:
        for i in range(5):
            writer.observable("kinetic_energy", i, 0.1 * i, np.ones(1))
            writer.observable("train/loss", i, 0.1 * i, np.full(1, np.nan))
    page = report.write([tmp_path], tmp_path).read_text(encoding="utf-8")
    assert "<figure" not in page  # no empty boxes
    assert "<summary>Not shown, and why" in page
    for reason in [
        "the run diverged",
        "did not record “temperature”",
        "did not record “set_temperature”",
        "did not record “conserved”",
        "did not record “test/prediction”",
        "no parameters are stored",
    ]:
        assert reason in page


def test_a_figure_that_breaks_does_not_break_the_report(tmp_path, few_figures, monkeypatch):
    def broken(run):
        raise ZeroDivisionError("by chance")

    monkeypatch.setitem(page.sections(None)[0].items, "Energy and loss", broken)
    shown = report.write([simulate(tmp_path, "curve")], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<b>Energy and loss</b>: it could not be drawn: ZeroDivisionError: by chance" in shown
    assert shown.count("<svg") == shown.count("<figure") == 1


def test_results_come_first_and_verdicts_are_worded(tmp_path, few_figures):
    results = {
        "title": "Equation of state",
        "columns": ["T", "mean"],
        "rows": [[0.1, 1.23456789], [0.2, None]],
        "checks": [
            {"name": "slope", "expectation": "0.5", "measured": "0.49 ± 0.02", "verdict": "pass"},
            {"name": "sign", "expectation": "+", "measured": "-", "verdict": "not reproduced"},
        ],
        "notes": ["four seeds <each>"],
    }
    folder = simulate(tmp_path / "a", "curve")
    (folder / "results.json").write_text(json.dumps(results))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "results.json").write_text(json.dumps(results))
    page = report.write([folder, tmp_path / "b"], tmp_path / "both.html").read_text(encoding="utf-8")
    assert page.index("Equation of state") < page.index("Energy and loss")
    assert "1.235" in page
    assert '<td class="good">pass</td>' in page
    assert '<td class="bad">not reproduced</td>' in page
    assert "four seeds &lt;each&gt;" in page
    assert page.count("Equation of state") == 2
    assert "No trajectory:" in page  # a folder with results alone is shown as far as it goes


def test_studies_follow_the_checks_with_their_pictures(tmp_path):
    """A folder that is about runs below it needs no trajectory; each study has a table, pictures and an entry above."""
    study = {"title": "How hot?", "columns": ["T"], "rows": [["0.5"]], "caption": "three seeds"}
    study["figures"] = [{"title": "Window", "file": name, "caption": "bars: 1 se"} for name in ("a.svg", "b.svg")]
    (tmp_path / "a.svg").write_text('<svg width="1" height="1"></svg>')
    (tmp_path / "results.json").write_text(json.dumps({"title": "All", "studies": [study], "runs": ["free"]}))
    page = report.write([tmp_path], tmp_path).read_text(encoding="utf-8")
    assert page.count("How hot?") == 2
    assert page.index("three seeds") < page.index("bars: 1 se")
    assert "b.svg cannot be read" in page
    assert "No trajectory" not in page


def test_nothing_to_report_is_an_error(tmp_path):
    with pytest.raises(trajectories.NotATrajectory, match="no such file"):
        report.write([tmp_path], tmp_path / "r.html")
    with pytest.raises(ValueError, match="at least one run"):
        report.write([], tmp_path / "r.html")


def test_replicas_with_test_sets_of_their_own_are_not_mixed(tmp_path):
    """Each replica is judged on its own rows: perfect predictions stay perfect however the sets differ."""
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(3, 7, 1))
    test = {"inputs": rng.normal(size=(3, 7, 2)), "targets": targets, "per_replica": True}
    with trajectories.Writer.create(
        tmp_path / "trajectory.h5", table=[("w", (2,), 0)], replicas=3, masses=np.ones(2), parameters={"test": test}
    ) as writer:
        for step in range(4):
            writer.observable("test/prediction", step, float(step), targets + 0.0)
    page = trajectories.report.write([tmp_path], tmp_path).read_text()
    assert "3 replicas pooled" in page
    assert "R² 1.0000" in page


def captions(folder: Path) -> dict[str, str]:
    """The captions of all figures and tables of a run by title, unless they cannot be drawn."""
    with trajectories.open(folder) as run:
        found = {}
        for section in sections(run):
            for title, draw in section.items.items():
                with contextlib.suppress(Missing, trajectories.TrajectoryError):
                    found[title] = draw(run).caption
        return found


def told(caption: str, pattern: str) -> statistics.Estimate:
    """The number with its error that a caption tells after ``pattern``."""
    found = re.search(pattern + r" ?\(?(-?\d[\d.]*) ± (\d[\d.]*\d)(?:\)e([-+]\d+))?", caption)
    assert found, caption
    scale = 10.0 ** int(found[3] or 0)
    return statistics.Estimate(float(found[1]) * scale, float(found[2]) * scale)


def test_numbers_in_captions_are_those_of_the_law(tmp_path, seed):
    """White noise of known width: every number with an error bar agrees with its exact value."""
    found = captions(simulate(tmp_path, "curve", samples=400, seed=seed + 5))
    temperature = told(found["Velocities: correlation and vibrations"], re.escape("C(0) ="))
    assert abs(temperature.z(TEMPERATURE)) < Z
    assert abs(told(found["Mean squared displacement"], "D =").z(0)) < Z  # white noise stays
    assert abs(told(found["Overlap of replicas"], "mean").z(0)) < Z
    assert f"0 ± {DOF**-0.5:.2g} (sd)" in found["Overlap of replicas"]
    energy = told(found["Block averages"], "potential energy")
    assert abs(energy.z(DOF / 2 * TEMPERATURE)) < Z
    assert abs(told(found["Temperature"], "half:").z(TEMPERATURE)) < Z
    share = re.search(r"first 10 ([\d.]+)%", found["Principal components"])
    assert 50 < float(share[1]) < 60  # 10 of 20 equal ones, and what is picked of the noise


def test_averages_are_those_of_the_equilibrated_samples(tmp_path, seed):
    """The table's numbers are those of the statistics on the samples that its note names, after the schedule."""
    with trajectories.open(simulate(tmp_path, "curve", samples=300, seed=seed)) as run:
        found = equilibrium(run)
        assert set(found) == {"potential_energy", "kinetic_energy", "temperature", "train/loss", "test/loss"}
        one, values = found["potential_energy"], run.observables["potential_energy"].values
        assert one.from_step >= 20  # where the temperature is set to its last value
        mean = statistics.mean(values[one.from_step :])
        assert (one.mean, one.error) == pytest.approx(mean, rel=1e-12)
        assert one.inefficiency == pytest.approx(statistics.inefficiency(values[one.from_step :]))
        assert one.effective_samples == pytest.approx((300 - one.from_step) * REPLICAS / one.inefficiency)
        assert abs(mean.z(DOF / 2 * TEMPERATURE)) < Z
        table = sections(run)[1].items["Averages and their convergence"](run)
        assert [row[0] for row in table.rows] == list(found)
        row = table.rows[list(found).index("potential_energy")]
        assert dict(zip(table.columns, row, strict=True))["R-hat"] == f"{one.rhat:.3f}"


def test_a_ladder_is_told_of_its_coldest_replicas(tmp_path, seed):
    """Replicas at several temperatures are not one ensemble; those at the lowest one are, and the page says so."""
    levels = [0.05, 0.05, 0.1, 0.1, 0.2, 0.2]
    with trajectories.open(simulate(tmp_path, "curve", temperatures=levels, heated=0, samples=300, seed=seed)) as run:
        found, chosen = equilibrium(run)["temperature"], reading.group(run)
        assert chosen.replicas.tolist() == [0, 1]
        assert chosen.start == 0
        assert "2 of 6 replicas" in chosen.note
        assert abs(statistics.Estimate(found.mean, found.error).z(0.05)) < Z
        everyone = statistics.mean(run.observables["temperature"].values)
        assert everyone.value > 0.1  # control
        assert reading.weights(run).values.shape[1] == 2
        items = {title: draw for section in sections(run) for title, draw in section.items.items()}
        table = items["Averages and their convergence"](run)
        assert "2 of 6 replicas, at the lowest of 3 temperatures, T = 0.05" in table.caption
        for title in OF_LADDERS:
            assert items[title](run).svg.startswith("<svg")


def test_of_a_long_series_a_bounded_part_is_read(tmp_path):
    table = [("w", (40,), 0), ("b", (10,), 40)]
    with Writer.create(
        tmp_path / "trajectory.h5", table=table, replicas=2, masses=np.ones(50), parameters={}
    ) as writer:
        for i in range(2500):
            writer.observable("potential_energy", 4 * i, 0.4 * i, np.array([i, -i], dtype=np.float64))
        for i in range(30):
            writer.frame(300 * i, 30.0 * i, np.arange(100.0).reshape(2, 50) + i)
    with trajectories.open(tmp_path) as run:
        stride, steps, times, values = reading.strided(run.observables["potential_energy"], 200, fewest=10)
        assert stride == 25
        np.testing.assert_array_equal(steps, 100 * np.arange(100))
        np.testing.assert_array_equal(values[:, 0], 25 * np.arange(100))
        np.testing.assert_allclose(times, 10.0 * np.arange(100))
        assert reading.strided(run.observables["potential_energy"])[0] == 1
        assert reading.cadence(run.observables["potential_energy"]) == (0, 9996, 4)
        found = reading.weights(run, frames=5, coordinates=10)
        assert found.coordinates.tolist() == [*range(8), 40, 41]  # in proportion to the tensors
        assert len(found.values) <= 5
        assert "10 of 50 coordinates" in found.note
        assert "one in" in found.note
        frame = int(found.times[0] / 30)
        np.testing.assert_array_equal(found.values[0, 1], 50 + frame + found.coordinates)


@pytest.mark.slow
def test_the_page_does_not_grow_with_the_run(tmp_path):
    short, long = (simulate(tmp_path / str(n), "many inputs", samples=n) for n in (500, 5000))
    sizes = [len(report.write([one], tmp_path / f"{one.name}.html").read_text()) for one in (short, long)]
    assert sizes[1] < 1.25 * sizes[0]
    assert max(sizes) < 1e6


def test_runs_side_by_side(tmp_path, few_figures, seed):
    """What differs is listed, what is the same is not; averages are compared in standard errors."""
    runs = [
        simulate(tmp_path / name, "curve", temperatures=level, samples=300, seed=seed + one)
        for name, level, one in (("cold", 0.05, 1), ("cold again", 0.05, 2), ("hot", 0.1, 3))
    ]
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(trajectories.open(run)) for run in runs]
        rows = {row[0]: row[1:] for row in study_figures.differing(opened).rows}
        assert rows["seed"] == [str(seed + one) for one in (1, 2, 3)]
        assert "scheme" not in rows
        assert "source" not in rows
        averages = study_figures.averages(opened)["potential_energy"]
        for one, level in zip(averages, (0.05, 0.05, 0.1), strict=True):
            assert abs(one.z(DOF / 2 * level)) < Z
        assert float({row[0]: row for row in study_figures.averages_table(opened).rows}["potential_energy"][-1]) > Z
        alike = {row[0]: row for row in study_figures.averages_table(opened[:2]).rows}
        assert float(alike["potential_energy"][-1]) < Z
    shown = report.write(runs, tmp_path / "all.html").read_text(encoding="utf-8")
    assert "<h3>Averages of each run</h3>\n<svg" in shown
    assert [shown.index(f"<h2>{name}</h2>") for name in ("Runs side by side", "cold", "cold again", "hot")] == sorted(
        shown.index(f"<h2>{name}</h2>") for name in ("Runs side by side", "cold", "cold again", "hot")
    )
    anchors, links = set(re.findall(r' id="([^"]+)"', shown)), re.findall(r'<a [^>]*href="#([^"]+)"', shown)
    assert len(links) == 1 + 3 * 3
    assert set(links) <= anchors
    alone = report.write(runs[:1], tmp_path / "one.html").read_text(encoding="utf-8")
    assert "Runs side by side" not in alone


def test_ids_of_figures_do_not_clash_and_names_are_escaped(tmp_path, few_figures):
    first = simulate(tmp_path / 'a "b" & <c> \\1', "curve")
    shown = report.write([first, simulate(tmp_path / "d", "curve", seed=1)], tmp_path / "r.html").read_text()
    ids = re.findall(r' id="([^"]+)"', shown)
    assert len(ids) == len(set(ids))
    assert "<c>" not in shown
    assert "a &#34;b&#34; &amp; &lt;c&gt; \\1" in shown or "a &quot;b&quot; &amp; &lt;c&gt; \\1" in shown


@pytest.mark.parametrize(
    ("word", "kind"),
    [("passed", "good"), ("Failed", "bad"), ("open", "open"), ("not judged", "open"), ("not converged", "bad"),
     ("converged", "good"), ("no", "bad"), ("none", "open"), ("not reproduced", "bad"), (None, "open")],
)  # fmt: skip
def test_verdicts_have_their_colour(word, kind):
    assert page._judged(word) == kind


def test_a_summary_is_the_same_for_people_and_programs(tmp_path, seed):
    folder = simulate(tmp_path, "classes", samples=300, seed=seed)
    found = json.loads(json.dumps(info.summary(folder), allow_nan=False))
    keys = "path bytes replicas dof degrees_of_freedom frames steps dtype series"
    assert set(found) == {*keys.split(), "statistics", "checks", "ensemble", "entropy", "parameters"}
    mean = found["statistics"]["kinetic_energy"]
    assert abs(statistics.Estimate(mean["mean"], mean["error"]).z(DOF / 2 * TEMPERATURE)) < Z
    assert {"mean", "error", "inefficiency", "effective_samples", "rhat", "from_step"} <= set(mean)
    verdicts = {one["name"]: one["verdict"] for one in found["checks"]}
    assert verdicts["kinetic energy, mean"] == verdicts["equipartition"] == "passed"
    scores = {(one["score"], one["of"]): one for one in found["ensemble"]}
    assert 0 <= scores["accuracy", "member"]["value"] <= 1
    gaussian = next(one for one in found["entropy"] if one["name"] == "gaussian" and one["of"] == f"{DOF} coordinates")
    exact = DOF / 2 * np.log(2 * np.pi * np.e * WIDTH**2)
    assert abs(statistics.Estimate(gaussian["value"], gaussian["error"]).z(exact)) < Z
    lines = info.text(folder)
    for words in ("R-hat", "kinetic energy, mean", "accuracy", "entropy in nats", "scheme = BAOAB"):
        assert words in lines
    assert "\x1b" not in lines


def test_curves_have_bounded_points():
    x, values = np.arange(100_000.0), np.random.default_rng(0).normal(size=(100_000, 3))
    svg = drawing.render(lambda axes: drawing.band(axes, x, values, drawing.BLUE, "x"), "a curve")
    assert len(svg) < 60_000
    assert "var(--blue)" in svg


def test_lists_of_unequal_lengths_may_differ(tmp_path):
    for name, widths in (("a", [[1], [2, 3]]), ("b", [[1], [2, 3], [4]])):
        told = {"widths": widths, "same": [[5], [6, 7]]}
        (tmp_path / name).mkdir()
        path = tmp_path / name / "trajectory.h5"
        Writer.create(path, table=[("w", (1,), 0)], replicas=1, masses=np.ones(1), parameters=told).close()
    with trajectories.open(tmp_path / "a") as a, trajectories.open(tmp_path / "b") as b:
        assert {row[0] for row in study_figures.differing([a, b]).rows} == {"widths"}


@pytest.mark.parametrize("step", [2e-6, 1.0])
def test_long_numbers_below_an_axis_are_few(step):
    svg = drawing.render(lambda axes: axes.plot(0.004988 + step * np.arange(8), range(8)), "numbers")
    places = re.findall(r"<text[^>]*>([^<]+)</text>", svg.split('id="matplotlib.axis_2"')[0])
    assert sum(map(len, places)) <= 60
