"""The command line: a run and its continuation, messages instead of tracebacks, and exit codes that mean something."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from test_config import PLAIN
from typer.testing import CliRunner

import trajectories
from mdnet.cli import app


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.toml").write_text(PLAIN)
    return tmp_path


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def process(*words, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "mdnet", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def contents(run_folder):
    with trajectories.open(run_folder) as run:
        series = {name: (s.steps, s.values) for name, s in run.observables.items()}
        return series | {"position": (run.steps, np.asarray(run.positions))}


def test_a_run_says_where_its_trajectory_lies(folder):
    done = call("run", "plain.toml")
    assert done.exit_code == 0, done.stderr
    assert "trajectory: runs/plain/trajectory.h5" in done.stdout
    assert "mdnet report runs/plain" in done.stdout
    with trajectories.open("runs/plain") as run:
        assert run.steps.tolist() == [0]
        assert run.observables["temperature"].steps.tolist() == [0, 10]
        assert run.parameters["run_file"]["thermostat"]["name"] == "langevin"
        assert run.parameters["test"]["targets"].shape == (201, 1)


@pytest.mark.parametrize("resumed", ["plain.toml", "runs/plain"])
def test_a_resumed_run_equals_an_uninterrupted_one(folder, resumed):
    report = ["--set", "report.frames=5", "--set", "start.adam_steps=20"]
    assert call("run", "plain.toml", "--set", "run.steps=40", *report, "--out", "whole").exit_code == 0
    assert call("run", "plain.toml", "--set", "run.steps=17", *report).exit_code == 0
    report = report if resumed.endswith("toml") else []
    done = call("run", resumed, "--resume", "--set", "run.steps=40", *report)
    assert done.exit_code == 0, done.stderr
    whole, parts = contents("whole"), contents("runs/plain")
    assert whole.keys() == parts.keys()
    for name in whole:
        np.testing.assert_array_equal(whole[name][0], parts[name][0], err_msg=name)
        np.testing.assert_array_equal(whole[name][1], parts[name][1], err_msg=name)
    again = call("run", "runs/plain", "--resume")
    assert again.exit_code == 0
    assert "has its 40 steps already" in again.stdout


def test_a_run_in_the_way_is_kept_unless_forced(folder):
    assert call("run", "plain.toml").exit_code == 0
    before = contents("runs/plain")
    refused = call("run", "plain.toml", "--set", "run.seed=1")
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert "--resume" in refused.stderr
    np.testing.assert_array_equal(before["position"][1], contents("runs/plain")["position"][1])
    other = call("run", "plain.toml", "--resume", "--set", "run.seed=1")
    assert other.exit_code == 1
    assert "seed: saved 0, now 1" in other.stderr
    assert call("run", "plain.toml", "--set", "run.seed=1", "--force").exit_code == 0
    assert not np.array_equal(before["kinetic_energy"][1], contents("runs/plain")["kinetic_energy"][1])


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "nothing.toml"], 1, "cannot read the run file nothing.toml"),
        (["run", "plain.toml", "--set", "thermostat.temprature=1"], 1, "[thermostat] unknown key 'temprature'"),
        (["run", "plain.toml", "--set", "run.steps"], 1, "is not KEY=VALUE"),
        (["run", "plain.toml", "--set", "data.name=mnist"], 1, "needs the file mnist.npz"),
        (["run", "plain.toml", "--set", "data.train=300"], 1, "has 40 rows to train on"),
        (["run", "plain.toml", "--set", "integrator.dt=1e9"], 1, "dt = 1e+09 is unstable: the largest frequency"),
        (["run", "plain.toml", "--resume"], 1, "no readable checkpoint"),
        (["run", "plain.toml", "--resume", "--force"], 2, "one of the two"),
        (["run"], 2, "Missing argument"),
        (["run", "plain.toml", "--steps", "3"], 2, "No such option"),
        (["info", "nothing"], 1, "there is no such file"),
        (["report", "plain.toml"], 1, "plain.toml"),
    ],
)
def test_an_error_is_one_message(folder, monkeypatch, words, code, message):
    monkeypatch.delenv("MDNET_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "500")
    failed = call(*words)
    assert failed.exit_code == code
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr
    assert failed.exception is None or isinstance(failed.exception, SystemExit)


def test_info_and_report(folder):
    assert call("run", "plain.toml").exit_code == 0
    told = call("info", "runs/plain")
    assert told.exit_code == 0
    assert "temperature" in told.stdout
    facts = json.loads(call("info", "runs/plain/trajectory.h5", "--json").stdout)
    assert (facts["replicas"], facts["dof"]) == (1, 13)
    written = call("report", "runs/plain", "--out", "page.html")
    assert written.exit_code == 0, written.stderr
    assert "page.html" in written.stdout
    assert "<svg" in (folder / "page.html").read_text()


def test_a_wall_clock_ends_a_run_that_can_go_on(folder):
    done = call("run", "plain.toml", "--set", "run.steps=1000000", "--set", "run.wall_clock=0.2")
    assert done.exit_code == 0
    assert "out of time at step" in done.stdout
    assert "mdnet run runs/plain --resume" in done.stdout


def test_a_signal_stops_softly_with_a_checkpoint(folder):
    running = process("run", "plain.toml", "--set", "run.steps=100000000")
    try:
        give_up = time.monotonic() + 60
        while not list(folder.glob("runs/plain/checkpoint-*.pt")) and time.monotonic() < give_up:
            time.sleep(0.1)
        time.sleep(0.5)
        os.kill(running.pid, signal.SIGTERM)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130, err
    assert "interrupted at step" in out
    steps = int(out.split("interrupted at step ")[1].split()[0])
    assert (folder / f"runs/plain/checkpoint-{steps:012d}.pt").exists()
    assert call("run", "runs/plain", "--resume", "--set", f"run.steps={steps + 5}").exit_code == 0


def test_the_program_itself(folder):
    version = process("--version")
    wrong = process("run", "plain.toml", "--set", "network.name=mpl")
    out, _ = version.communicate(timeout=60)
    _, err = wrong.communicate(timeout=60)
    assert out.startswith("mdnet ")
    assert wrong.returncode == 1
    assert "did you mean 'mlp'" in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sine", "compare_thermostats", "posterior"])
def test_examples_run(folder, name):
    done = subprocess.run([sys.executable, "-m", f"mdnet.examples.{name}"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_command_line_starts_without_the_libraries_that_need_not_be_there():
    """A plain install has none of the extras; commands that want one say so when they are used."""
    extras = "hdf5plugin", "dask", "distributed", "xarray", "h5netcdf", "tensorboard", "physical_validation", "pandas"
    code = f"import sys; sys.modules.update(dict.fromkeys({extras})); from mdnet.cli import app; app(['--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "reproduce" in done.stdout
