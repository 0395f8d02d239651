"""Study files: what they say is what is swept over, and what came out is a table and a page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import distributed
import numpy as np
import pytest
import typer
import xarray
from test_cli import call
from test_config import PLAIN
from typer.testing import CliRunner

import mdnet as md
import trajectories
from mdnet.commands import sweep as command
from mdnet.config import ConfigError
from mdnet.sweep import grid, illustrate, planning, read, sweep, table
from mdnet.sweep.records import Record, Run

STUDY = """
run = "plain.toml"
out = "runs/heat"
workers = 1

[set]
run.steps = 20
report.scalars = 1
report.frames = 0
report.evaluate = 0
report.predictions = 0

[over]
thermostat.temperature = [0.1, 0.2]
run.seed = "0:3"
"""

app = typer.Typer()
app.command()(command.sweep)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.toml").write_text(PLAIN + '\n[system]\nprior = { kind = "gaussian" }\n')
    (tmp_path / "heat.toml").write_text(STUDY)
    return tmp_path


def cli(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_study_says_what_the_command_line_says(folder):
    """Law: a study is its run file with its keys, in the words of the command line."""
    found = read("heat.toml")
    assert found.over == grid.parse(["thermostat.temperature=0.1,0.2", "run.seed=0:3"])
    assert (found.file, found.out, found.workers, found.pack) == (Path("plain.toml"), Path("runs/heat"), 1, True)
    assert "run.steps=20" in found.overrides
    told = cli("heat.toml", "--dry-run")
    assert told.exit_code == 0, told.stderr
    assert "runs/heat/temperature=0.2,seed=2: thermostat.temperature=0.2 run.seed=2" in told.stdout
    assert "6 runs in 1 simulation" in told.stdout
    more = cli("heat.toml", "--dry-run", "--over", "run.seed=0:5", "--over", "data.seed=1,2", "--out", "b", "--no-pack")
    assert "b/temperature=0.2,seed=4,data.seed=2" in more.stdout.replace("run.seed", "seed")
    assert "20 runs\n" in more.stdout


def test_the_example_can_be_run():
    example = Path(md.__file__).parent / "examples" / "study.toml"
    found = read(example)
    assert (found.out, found.pack) == (Path("runs/study"), True)
    assert len(planning.plan(found.file, found.over, found.overrides)) == 36


def test_runs_are_listed_one_by_one_and_taken_with_what_is_swept_over(folder):
    text = STUDY.replace("thermostat.temperature = [0.1, 0.2]\n", "")
    text += "\n[[runs]]\nthermostat.temperature = 0.1\nintegrator.dt = 0.01\n"
    text += "\n[[runs]]\nintegrator.dt = 0.02\nthermostat.temperature = 0.3\n"
    (folder / "heat.toml").write_text(text)
    runs = grid.product(read("heat.toml").over)
    assert [tuple(run.values()) for run in runs[2:4]] == [(0.1, 0.01, 2), (0.3, 0.02, 0)]
    (folder / "heat.toml").write_text('run = "plain.toml"\n[over]\n"run.seed,data.seed" = [[1, 2], [3, 4]]\n')
    assert grid.product(read("heat.toml").over)[1] == {"run.seed": 3, "data.seed": 4}
    (folder / "heat.toml").write_text('run = "plain.toml"\n[[runs]]\nrun.seed = 7\n[[runs]]\nrun.seed = 9\n')
    assert read("heat.toml").over == {"run.seed": [7, 9]}


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("workers = 1", "wokers = 1", "unknown key 'wokers'; did you mean 'workers'?"),
        ("workers = 1", "workers = 0", "workers = 0 must be a whole number, 1 or more"),
        ("workers = 1", 'pack = "yes"', "pack = 'yes' must be true or false"),
        ('run = "plain.toml"', "", "run is missing; it must be the path of a run file"),
        ('"0:3"', "3", "[over] run.seed = 3 must be a list of values, as in [0.01, 0.02], or a range"),
        ('"0:3"', '"3:0"', "the range 3:0 holds no number"),
        ("[0.1, 0.2]", "[]", "thermostat.temperature: there are no values"),
        ("[0.1, 0.2]", "[0.1, -1]", "3 of 6 combinations cannot run"),
        ("run.steps = 20", "run.seed = 20", "run.seed: set (--set) and swept over (--over)"),
        ('run = "plain.toml"', 'run = "plane.toml"', "cannot read the run file plane.toml"),
        ("[over]", "[[runs]]\nintegrator.dt = 1.0\n[[runs]]\ndata.seed = 1\n[over]", "number 2 gives data.seed"),
        ("[over]", "[over", "heat.toml is not TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_study_is_told(folder, before, after, message):
    assert before in STUDY
    (folder / "heat.toml").write_text(STUDY.replace(before, after))
    refused = cli("heat.toml")
    assert refused.exit_code == 1
    assert message in refused.stderr
    assert not (folder / "runs").exists()


def test_a_study_ends_in_a_table_and_a_page(folder):
    """Law: a number of the table is the mean of the last half of its run's samples, with an error over replicas."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50
    ) as there:
        done = cli("heat.toml", "--scheduler", there.scheduler_address, "--set", "system.replicas=5")
    assert done.exit_code == 0, done.stderr
    assert "6 of 6 runs finished" in done.stdout
    with xarray.open_dataset("runs/heat/results.nc", engine="h5netcdf") as stored:
        assert stored.load().identical(table("runs/heat"))
        row = stored.sel(run="temperature=0.2,seed=1")
        with trajectories.open(folder / "runs/heat" / str(row["folder"].item())) as run:
            values = run.observables["potential_energy"].values[:, int(row["first_replica"]) :][:, :5]
        half = values[len(values) // 2 :].mean(0)
        assert float(row["potential_energy"]) == pytest.approx(half.mean())
        assert float(row["potential_energy_error"]) == pytest.approx(half.std(ddof=1) / np.sqrt(5))
        assert stored.attrs["thermostat.friction"] == 1.0
    page = trajectories.report.write([folder / "runs/heat"], folder / "report.html").read_text()
    for text in ("6 runs over thermostat.temperature, run.seed", "temperature=0.2,seed=1", "over run.seed; bars are",
                 "potential_energy against thermostat.temperature"):  # fmt: skip
        assert text in page
    with pytest.raises(ConfigError, match="holds no sweep"):
        table(folder)


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ("[[runs]]\nthermostat.temperature = 0.1\n[over]\nthermostat.temperature = [0.2]", "is in .* or twice in one"),
        ('[over]\nrun.seed = [1]\n"run.seed" = [2]', "run.seed is given twice|overwrite"),
        ('[over]\n"run.seed,run.seed" = [[1, 2]]', "a key is there twice"),
        ("[over]\nrun.seed = [1, 1.0]", "is there twice"),
        ("[set]\nrun.bogus = {}\n[over]\nrun.seed = [1]", "bogus"),
        ('out = ""\n[over]\nrun.seed = [1]', "out = '' must be the path"),
    ],
)
def test_keys_that_would_be_lost_are_refused(folder, over, told):
    head, _, rest = over.partition("\n") if over.startswith("out") else ("", "", over)
    (folder / "lost.toml").write_text(f'run = "plain.toml"\n{head}\n{rest}\n')
    done = cli("lost.toml", "--dry-run")
    assert done.exit_code == 1
    assert re.search(told, " ".join(done.stderr.split())), done.stderr


def test_a_run_file_that_is_not_there_is_told(folder):
    done = cli("nofile.toml")
    assert (done.exit_code, "cannot read the run file nofile.toml" in done.stderr) == (1, True)
    assert cli("heat.toml", "--scheduler", "foo").exit_code == 1


@pytest.mark.parametrize("text", ['{"runs": 3}', '{"format": 1, "over": ["a"], "base": {}, "runs": {}}', "{}"])
def test_a_damaged_record_is_told(folder, text):
    (folder / "bad").mkdir()
    (folder / "bad/sweep.json").write_text(text)
    done = call("report", "bad")
    assert done.exit_code == 1
    assert "is not the record of a sweep" in done.stderr


def test_a_finished_run_whose_folder_is_gone_runs_again(folder):
    words = "plain.toml", "--over", "run.seed=0:2", "--set", "run.steps=20", "--workers", "1", "--out", "runs/gone"
    assert cli(*words).exit_code == 0
    before = table("runs/gone")
    for place in (folder / "runs/gone").glob("pack-*"):
        shutil.rmtree(place)
    assert "2 of 2 runs finished" in cli(*words).stdout
    np.testing.assert_array_equal(table("runs/gone")["potential_energy"], before["potential_energy"])


def test_a_study_that_was_killed_is_reported_as_far_as_it_came(folder):
    """Law: `mdnet report` tells how the runs stand now, whatever the sweep had time to write."""
    record = Record(folder / "killed", ["run.seed"], {})
    record.runs = {f"seed={seed}": Run(record.out, f"seed={seed}", {"run.seed": seed}) for seed in (0, 1)}
    assert call("run", "plain.toml", "--out", "killed/seed=0", "--set", "run.steps=20").exit_code == 0
    record.runs["seed=0"].steps = 20
    record.save()
    done = call("report", "killed")
    assert done.exit_code == 0, done.stderr
    page = (folder / "killed/report.html").read_text()
    assert "0 finished, 0 failed, 2 pending" in page
    assert "potential_energy" in page


def test_pictures_have_error_bars_over_seeds_and_a_line_for_each_other_value(folder, monkeypatch):
    drawn = []
    monkeypatch.setattr("mdnet.figures.curves", lambda lines, **axes: drawn.append((lines, axes)))
    monkeypatch.setattr("mdnet.figures.save", lambda figure, path: path)
    values = [{"a.dt": dt, "b.size": size, "run.seed": s} for dt in (0.1, 0.2) for size in (4, 8) for s in (0, 1)]
    record = Record(folder, ["a.dt", "b.size", "run.seed"], {})
    for number, each in enumerate(values):
        record.runs[str(number)] = Run(folder, str(number), each, "failed" if number == 7 else "finished", error="no")
    record.save()
    found = table(folder)
    u = np.array([1.0, 3, 10, 10, 5, 7, 20, np.nan])
    monkeypatch.setattr(
        "mdnet.sweep.results.table",
        lambda _: found.assign(potential_energy=("run", u), potential_energy_error=("run", u / 10)),
    )
    path = illustrate(folder)
    lines, axes = drawn[0]
    assert axes["x"] == "a.dt"
    assert [line.label for line in lines] == ["size = 4", "size = 8"]
    np.testing.assert_allclose([lines[0].y, lines[0].error], [[2, 6], [1, 1]])
    np.testing.assert_allclose([lines[1].y, lines[1].error], [[10, 20], [0, 2]])  # a single run has its own error
    page = json.loads(path.read_text())
    assert "7 failed at step 0: no" in page["notes"]
    assert [row[-1] for row in page["rows"]][-1] is None
    assert len(page["figures"]) == 2
    assert "without a value: 1 of the runs" in page["figures"][0]["caption"]


def test_without_xarray_one_line_says_what_to_install(folder, monkeypatch):
    monkeypatch.setattr("mdnet.sweep.results.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs xarray: pip install 'mdnet\[cluster\]'"):
        sweep("plain.toml", {"run.seed": [1]}, out="runs/a")
    assert not (folder / "runs").exists()
