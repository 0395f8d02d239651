"""Law: the report shows every figure whose data were recorded, names what is missing, and needs no network."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import trajectories
from trajectories import Writer, report

REPLICAS, DOF, SAMPLES, TEMPERATURE = 6, 20, 120, 0.05
TITLES = (
    "Energy and loss",
    "Temperature",
    "Kinetic energy against its law",
    "Conserved quantity",
    "Ensemble prediction",
)


def problem(kind: str, rng) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Test data of a kind of problem, and predictions (samples, replicas, points, outputs)."""
    x = np.linspace(-2, 2, 25)
    noise = rng.normal(size=(4, REPLICAS, 25, 1))
    if kind == "curve":
        test = {"inputs": x[:, None], "targets": np.sin(x)[:, None] + 0.1, "truth": np.sin(x)}
        return test, np.sin(x)[:, None] + 0.1 * noise
    if kind == "many inputs":
        test = {"inputs": rng.normal(size=(25, 3)), "targets": rng.normal(size=25)}
        return test, test["targets"][:, None] + 0.1 * noise
    test = {"inputs": rng.normal(size=(25, 3)), "targets": rng.integers(0, 3, 25)}
    return test, np.eye(3)[test["targets"]] + rng.normal(size=(4, REPLICAS, 25, 3))


def simulate(folder: Path, kind: str) -> Path:
    """Write what a canonical run would, without running one."""
    rng = np.random.default_rng(0)
    test, predictions = problem(kind, rng)
    kinetic = rng.gamma(DOF / 2, TEMPERATURE, size=(SAMPLES, REPLICAS))
    series = {
        "potential_energy": rng.gamma(DOF / 2, TEMPERATURE, size=(SAMPLES, REPLICAS)),
        "train/loss": rng.random((SAMPLES, REPLICAS)),
        "test/loss": rng.random((SAMPLES, REPLICAS)),
        "kinetic_energy": kinetic,
        "temperature": 2 * kinetic / DOF,
        "set_temperature": np.where(np.arange(SAMPLES) < 20, 1.0, TEMPERATURE)[:, None] * np.ones(REPLICAS),
        "conserved": 1 + 1e-4 * rng.normal(size=(SAMPLES, REPLICAS)),
    }
    settings = {"scheme": "BAOAB", "test": test, "source": "class <Net>:\n" * 100}
    table = [("w", (DOF,), 0)]
    with Writer.create(
        folder / "trajectory.h5", table=table, replicas=REPLICAS, masses=np.ones(DOF), parameters=settings
    ) as writer:
        for i in range(SAMPLES):
            for name, values in series.items():
                writer.observable(name, i, 0.1 * i, values[i])
        for i, prediction in enumerate(predictions):
            writer.observable("test/prediction", 30 * i, 3.0 * i, prediction)
    return folder


def requests(page: str) -> list[str]:
    """Addresses in the page other than the names of XML namespaces."""
    return [found for found in re.findall(r".{0,16}https?://", page) if not re.search(r'xmlns(:\w+)?="http://', found)]


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("curve", ["± 2 sd of members", "truth", "mean squared error"]),
        ("many inputs", ["predicted = true", "R²"]),
        ("classes", ["perfect calibration", "expected calibration error", "number of members"]),
    ],
)
def test_every_figure_of_a_full_run(tmp_path, kind, shown):
    page = report.write([simulate(tmp_path / "run", kind)], tmp_path / "report.html").read_text(encoding="utf-8")
    for title in TITLES:
        assert f"<h3>{title}</h3><svg" in page.replace("</h3>\n", "</h3>")
    for text in [*shown, "5 to 95 % of 6 replicas", "Kolmogorov-Smirnov p", "set temperature", "k_B = 1", "BAOAB"]:
        assert text in page
    assert "Not shown" not in page
    assert "class &lt;Net&gt;" in page
    assert requests(page) == []
    assert not re.search(r"<(script|link|img|image|iframe)\b|url\((?!#)|@import", page)
    assert "prefers-color-scheme: dark" in page


def test_what_is_missing_is_said(tmp_path):
    table = [("w", (2,), 0)]
    with Writer.create(tmp_path / "trajectory.h5", table=table, replicas=1, masses=np.ones(2), parameters={}) as writer:
        for i in range(5):
            writer.observable("kinetic_energy", i, 0.1 * i, np.ones(1))
            writer.observable("train/loss", i, 0.1 * i, np.full(1, np.nan))
    page = report.write([tmp_path], tmp_path).read_text(encoding="utf-8")
    for reason in [
        "the run diverged",
        "did not record “temperature”",
        "did not record “set_temperature”",
        "did not record “conserved”",
        "did not record “test/prediction”",
        "no parameters are stored",
    ]:
        assert reason in page


def test_a_figure_that_breaks_does_not_break_the_report(tmp_path, monkeypatch):
    from trajectories.report import run_figures

    def broken(run):
        raise ZeroDivisionError("by chance")

    monkeypatch.setattr(run_figures, "loss", broken)
    page = report.write([simulate(tmp_path, "curve")], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "could not be drawn: ZeroDivisionError: by chance" in page
    assert page.count("<svg") == len(TITLES) - 1


def test_results_come_first_and_verdicts_are_worded(tmp_path):
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
