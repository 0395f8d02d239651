"""Sweeps of separate runs: each is as `mdnet run` makes it, whatever happens to the workers."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import distributed
import numpy as np
import psutil
import pytest
import typer
from test_cli import call, contents
from test_config import PLAIN
from typer.testing import CliRunner

import trajectories
from mdnet import checkpoint
from mdnet.commands import sweep as command
from mdnet.config import ConfigError
from mdnet.sweep import cluster, crew, grid, work
from mdnet.sweep import sweep as conduct
from mdnet.sweep.cluster import ClusterError
from trajectories.storage.disk import Disk

FREQUENT = ["report.frames=5", "report.scalars=5", "report.evaluate=0", "report.predictions=0"]
LONG = ["run.steps=600", "run.checkpoint_every=100", *FREQUENT]
NOWHERE = "tcp://127.0.0.1:1"  # nobody answers there

sweep = functools.partial(conduct, pack=False)

app = typer.Typer()
app.command()(command.sweep)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.toml").write_text(PLAIN)
    return tmp_path


def cli(*words):
    return CliRunner().invoke(app, [*(str(word) for word in words), "--no-pack"])


def alone(out, *values):
    """The same run by `mdnet run`."""
    done = call("run", "plain.toml", "--out", out, *(word for value in values for word in ("--set", value)))
    assert done.exit_code == 0, done.stderr
    return Path(out)


def assert_same(one, other):
    first, second = contents(one), contents(other)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name][0], second[name][0], err_msg=name)
        np.testing.assert_array_equal(first[name][1], second[name][1], err_msg=name)


def begun(*folders, steps=100):
    """Wait until runs have a checkpoint after so many steps."""
    give_up = time.monotonic() + 120
    for folder in folders:
        while not any(int(path.stem[11:]) >= steps for path in checkpoint.found(folder)):
            assert time.monotonic() < give_up, f"{folder} was not begun"
            time.sleep(0.01)


def children():
    """The worker processes below this one."""
    found = set()
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            if "spawn_main" in "".join(child.cmdline()):
                found.add(child.pid)
    return found


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("run.seed=0:3", [0, 1, 2]),
        ("run.seed=8:0:-4,7", [8, 4, 7]),
        ("integrator.dt=0.01,1e-3", [0.01, 0.001]),
        ("integrator.scheme=BAOAB,outer(VERLET)", ["BAOAB", "outer(VERLET)"]),
        ('integrator.scheme="BAOAB", OBABO', ["BAOAB", "OBABO"]),
        ("network.hidden=[4],[8, 8]", [[4], [8, 8]]),
        ('system.prior={kind="gaussian", variance=1.0}', [{"kind": "gaussian", "variance": 1.0}]),
        ("data.standardise=true,false", [True, False]),
        ("system.device=cuda:0", ["cuda:0"]),
    ],
)
def test_values_are_read_as_in_a_run_file(option, values):
    key = option.partition("=")[0]
    combinations = grid.product(grid.parse([option]))
    assert [combination[key] for combination in combinations] == values
    for combination, value in zip(combinations, values, strict=True):
        (override,) = grid.overrides(combination)
        assert tomllib.loads(f"value = {override.partition('=')[2]}")["value"] == value


def test_the_grid_is_the_product_of_all_keys_and_some_vary_together():
    over = grid.parse(["thermostat.temperature,integrator.dt=0.01,0.1;0.02,0.05", "run.seed=0:2"])
    keys = ["thermostat.temperature", "integrator.dt", "run.seed"]
    rows = [[0.01, 0.1, 0], [0.01, 0.1, 1], [0.02, 0.05, 0], [0.02, 0.05, 1]]
    assert grid.product(over) == [dict(zip(keys, row, strict=True)) for row in rows]
    assert grid.names(grid.product(over))[1] == "temperature=0.01,dt=0.1,seed=1"
    same = {("thermostat.temperature", "integrator.dt"): [(0.01, 0.1), (0.02, 0.05)], "run.seed": np.arange(2)}
    assert grid.names(grid.product(same)) == grid.names(grid.product(over))


def test_names_are_safe_and_never_two_the_same():
    odd = ["outer(VERLET)", "outer[VERLET]", "a/b", "..", "0.1", 0.1, 1, 1.5, "", [4, 4], "x" * 300, "true", True]
    names = grid.names([{"run.seed": value} for value in odd])
    assert len({name.casefold() for name in names}) == len(odd)
    assert all(set(name) <= set("=-.,+_") | set(map(chr, range(48, 58))) or name.isascii() for name in names)
    assert not [name for name in names if set(name) & set("/()[]{}*?'\" \\") or len(name) > 255]
    keys = ["schedule.dt.start", "schedule.temperature.start", "integrator.dt"]
    assert grid.names([dict.fromkeys(keys, 1)]) == ["dt.start=1,temperature.start=1,dt=1"]
    for twice in ([0.1, 0.10], [1, 1.0], ["BAOAB", "baoab"]):
        with pytest.raises(ConfigError, match="is there twice"):
            grid.names([{"a": value} for value in twice])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["run.seed"], "is not KEY=VALUES"),
        (["run.seed="], "is not KEY=VALUES"),
        ([".seed=1"], "is not KEY=VALUES"),
        (["run.seed=3:3"], "the range 3:3 holds no number"),
        (["run.seed=1,2", "run.seed=3"], "run.seed twice"),
        (["run.seed=1", "run.seed,integrator.dt=1,2"], "run.seed: swept over twice"),
        (["run.seed,integrator.dt=1,0.1;2"], "vary together"),
        ([], "nothing to sweep over"),
    ],
)
def test_a_grid_that_is_none_is_told(folder, options, message):
    words = [word for option in options for word in ("--over", option)]
    refused = cli("plain.toml", "--out", "runs/a", *words)
    assert refused.exit_code == 1
    assert message in refused.stderr
    assert not (folder / "runs").exists()


def test_each_run_is_the_one_that_mdnet_run_makes(folder, address):
    """Law: bit for bit the same trajectory, in a folder to resume and to open with others."""
    over = {"thermostat.temperature": [0.01, 0.02], "run.seed": range(2)}
    with pytest.warns(UserWarning, match="no prior") as said:
        result = sweep("plain.toml", over, out="runs/a", overrides=FREQUENT, scheduler=address, progress=False)
    assert sum("no prior" in str(each.message) for each in said) == 1, "what all runs say is told once"
    assert [run.state for run in result] == ["finished"] * 4
    for run in result:
        plain = alone(f"alone/{run.name}", *FREQUENT, *grid.overrides(run.values))
        assert_same(run.folder, plain)
        assert (run.folder / "run.toml").read_text() == (plain / "run.toml").read_text()
    assert result[0.02, 1].folder == folder / "runs/a/temperature=0.02,seed=1"
    observables = contents(result[0.02, 1].folder)
    assert result[0.02, 1].energy == observables["potential_energy"][1][-1].mean()
    assert result[0.02, 1].temperature == observables["temperature"][1][-1].mean()
    resumed = call("run", result[0.02, 1].folder, "--resume", "--set", "run.steps=25")
    assert resumed.exit_code == 0, resumed.stderr
    assert_same(result[0.02, 1].folder, alone("long", *FREQUENT, *grid.overrides(run.values), "run.steps=25"))
    study = trajectories.open_many(result.folders)
    assert sorted(study["run_file.run.seed"].values) == [0, 0, 1, 1]


def test_what_is_finished_is_not_run_again_and_a_grid_grows(folder, address):
    def states():
        return {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.glob("runs/a/*/*")}

    words = ["plain.toml", "--out", "runs/a", "--over", "thermostat.temperature=0.01,0.02"]
    first = cli(*words, "--over", "run.seed=0:1", "--scheduler", address)
    assert first.exit_code == 0, first.stderr
    assert "2/2 finished" in first.stderr
    assert "2 of 2 runs finished" in first.stdout
    assert "mdnet report runs/a\n" in first.stdout
    before = states()
    again = cli(*words, "--over", "run.seed=0:1", "--scheduler", NOWHERE)  # it is not asked
    assert again.exit_code == 0, again.stderr
    assert states() == before
    grown = cli(*words, "--over", "run.seed=0:2", "--scheduler", address)
    assert grown.exit_code == 0, grown.stderr
    assert "2/2 finished" in grown.stderr
    after = states()
    assert {path: after[path] for path in before} == before
    assert len(after) == 2 * len(before)
    record = json.loads((folder / "runs/a/sweep.json").read_text())
    assert {name: run["tries"] for name, run in record["runs"].items()} == dict.fromkeys(record["runs"], 1)
    longer = cli(*words, "--over", "run.seed=0:2", "--set", "run.steps=15", "--scheduler", address)
    assert longer.exit_code == 0, longer.stderr
    assert_same("runs/a/temperature=0.01,seed=1", alone("long", "thermostat.temperature=0.01", "run.seed=1",
                                                          "run.steps=15"))  # fmt: skip


def test_another_sweep_in_the_folder_is_refused(folder, address):
    assert cli("plain.toml", "--out", "runs/a", "--over", "run.seed=0", "--scheduler", address).exit_code == 0
    changed = cli("plain.toml", "--out", "runs/a", "--over", "run.seed=0:2", "--set", "integrator.dt=0.02")
    assert changed.exit_code == 1
    assert "integrator.dt: 0.01 there, now 0.02" in changed.stderr
    other = cli("plain.toml", "--out", "runs/a", "--over", "data.seed=0:2")
    assert other.exit_code == 1
    assert "it sweeps over run.seed, now data.seed" in other.stderr
    (folder / "runs/a/sweep.json").write_text("{}")
    broken = cli("plain.toml", "--out", "runs/a", "--over", "run.seed=0")
    assert broken.exit_code == 1
    assert "is not the record of a sweep" in broken.stderr
    with Disk(folder / "runs/a/sweep.lock"):
        twice = cli("plain.toml", "--out", "runs/a", "--over", "run.seed=0")
    assert twice.exit_code == 1
    assert "sweep.lock is being written by another process" in twice.stderr


def test_all_that_is_wrong_is_told_before_anything_runs(folder):
    failed = cli(
        "plain.toml", "--out", "runs/a", "--over", "thermostat.temperature=0.1,-1", "--over", "integrator.dt=0.1,no"
    )
    assert failed.exit_code == 1
    assert "3 of 4 combinations cannot run" in failed.stderr
    for place in ("temperature=0.1,dt=no", "temperature=-1,dt=0.1", "temperature=-1,dt=no"):
        assert place in failed.stderr
    assert "[integrator] dt = 'no'" in failed.stderr
    both = cli("plain.toml", "--out", "runs/a", "--over", "run.seed=0:2", "--set", "run.seed=3")
    assert both.exit_code == 1
    assert "run.seed: set (--set) and swept over (--over)" in both.stderr
    nothing = cli("nothing.toml", "--out", "runs/a", "--over", "run.seed=0:20")
    assert nothing.exit_code == 1
    assert nothing.stderr.count("cannot read the run file nothing.toml") == 1
    file = cli("plain.toml", "--out", "plain.toml", "--over", "run.seed=0:2")
    assert file.exit_code == 1
    assert "plain.toml cannot hold a sweep: File exists; choose another folder" in file.stderr
    assert not (folder / "runs").exists()


def test_a_dry_run_prints_the_runs_and_does_nothing(folder):
    told = cli("plain.toml", "--out", "runs/a", "--over", "run.seed=0:2", "--scheduler", NOWHERE, "--dry-run")
    assert told.exit_code == 0, told.stderr
    assert "runs/a/seed=1: run.seed=1" in told.stdout
    assert "2 runs" in told.stdout
    assert not (folder / "runs").exists()


def test_without_dask_one_line_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    failed = cli("plain.toml", "--out", "runs/a", "--over", "run.seed=0:2")
    assert failed.exit_code == 1
    assert failed.stderr.strip() == "a sweep needs dask.distributed: pip install 'mdnet[cluster]'"


def test_a_scheduler_that_does_not_answer_is_told(folder, monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT", 0.2)
    failed = cli("plain.toml", "--out", "runs/a", "--over", "run.seed=0:2", "--scheduler", NOWHERE)
    assert failed.exit_code == 1
    assert f"no scheduler answers at '{NOWHERE}'" in failed.stderr


def test_a_run_that_fails_is_listed_and_the_others_go_on(folder, address):
    words = ["plain.toml", "--out", "runs/a", "--over", "integrator.dt=1e9,0.01", "--scheduler", address]
    failed = cli(*words)
    assert failed.exit_code == 1
    assert "dt=1000000000 failed: DivergenceError" in failed.stdout
    assert "1 of 2 runs finished, 1 failed" in failed.stdout
    runs = json.loads((folder / "runs/a/sweep.json").read_text())["runs"]
    assert {name: (run["state"], run["tries"]) for name, run in runs.items()} == {
        "dt=1000000000": ("failed", 1), "dt=0.01": ("finished", 1),
    }  # fmt: skip
    assert "is unstable: the largest frequency" in runs["dt=1000000000"]["error"]
    bad = sweep("plain.toml", {"data.train": [10, 300]}, out="runs/b", scheduler=address, progress=False)
    assert [run.state for run in bad] == ["finished", "failed"]
    assert "has 40 rows to train on" in bad.failed[0].error
    assert bad.folders == [bad[10].folder]


def test_runs_in_one_process_do_not_share_random_numbers(folder, monkeypatch):
    """Law: a worker with two threads gives the bits of two workers; a run out of time goes on where it was."""
    monkeypatch.setattr(work, "_tell", lambda *_: None)
    files = [tomllib.loads(PLAIN) for _ in range(2)]
    results = {}

    def go(seed):
        tables = files[seed] | {"run": {"steps": 200, "seed": seed}}
        results[seed] = work.work("topic", str(seed), [tables], str(folder / f"two/{seed}"))

    threads = [threading.Thread(target=go, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(2):
        assert results[seed].state == "finished"
        assert_same(folder / f"two/{seed}", alone(f"alone/{seed}", "run.steps=200", f"run.seed={seed}"))
    files[0]["run"] = {"steps": 200, "wall_clock": 0.01}
    first = work.work("topic", "x", [files[0]], str(folder / "short"))
    assert (first.state, 0 < first.steps < 200) == ("pending", True)
    work.stop("topic")
    assert work.work("topic", "x", [files[0]], str(folder / "short")).state == "pending"
    del files[0]["run"]["wall_clock"]
    assert work.work("other", "x", [files[0]], str(folder / "short")).state == "finished"
    assert_same(folder / "short", "alone/0")


def test_a_signal_stops_softly_and_the_same_call_goes_on(folder, address):
    """Law: Ctrl-C, which a terminal sends to the workers too, leaves a whole record, and changes no bit."""
    words = ["plain.toml", "--out", "runs/a", *(word for value in LONG for word in ("--set", value))]
    code = "import typer; from mdnet.commands.sweep import sweep; typer.run(sweep)"
    running = subprocess.Popen(
        [sys.executable, "-c", code, *words, "--no-pack", "--over", "run.seed=0:3",
         "--set", "run.steps=1000000", "--workers", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        begun(folder / "runs/a/seed=0")
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=100)
    finally:
        running.kill()
    assert running.returncode == 130, err
    assert "0 of 3 runs finished, 0 failed; to go on" in out
    assert "killed" not in err
    run = json.loads((folder / "runs/a/sweep.json").read_text())["runs"]["seed=0"]
    assert run["state"] == "pending"
    assert run["steps"] == int(checkpoint.found(folder / "runs/a/seed=0")[-1].stem[11:]) >= 100
    assert not (folder / "runs/a/seed=2").exists()
    more = f"run.steps={run['steps'] + 50}"
    done = cli(*words, "--over", "run.seed=0:1", "--set", more, "--scheduler", address)
    assert done.exit_code == 0, done.stderr
    assert_same("runs/a/seed=0", alone("whole", *LONG, more))


@pytest.mark.slow
def test_a_signal_while_the_workers_start_stops_softly(folder):
    """Law: Ctrl-C, which a terminal sends to the workers too, ends them as softly before they are up."""
    code = "import typer; from mdnet.commands.sweep import sweep; typer.run(sweep)"
    running = subprocess.Popen(
        [sys.executable, "-c", code, "plain.toml", "--out", "runs/a", "--over", "run.seed=0:2", "--workers", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        below = psutil.Process(running.pid).children
        while not any("spawn_main" in "".join(child.cmdline()) for child in below()):
            assert running.poll() is None, running.communicate()
            time.sleep(0.01)
        time.sleep(0.2)
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=100)
    finally:
        running.kill()
    assert running.returncode == 130, err
    assert "0 of 2 runs finished, 0 failed; to go on" in out
    assert "Traceback" not in err


def test_a_sweep_without_workers_waits_until_it_is_stopped(folder):
    with distributed.LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0", silence_logs=50) as idle:
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.warns(UserWarning, match="has no workers yet"):
            result = sweep("plain.toml", {"run.seed": [1]}, out="runs/a", scheduler=idle.scheduler_address)
    assert result.interrupted
    assert (result[1].state, result[1].tries, result.folders) == ("pending", 0, [])


def killed_once_begun(address, folder, held):
    """Kill the worker of a run once it has a checkpoint; `held` gets the file it writes, which thereby stays itself."""
    begun(folder)
    held.append((folder / "trajectory.h5").open())
    with distributed.Client(address, set_as_default=False) as client:
        pids = client.run(os.getpid).values()
    (pid,) = [pid for pid in pids if any("trajectory.h5" in file.path for file in psutil.Process(pid).open_files())]
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("retries", [3, 0])
def test_a_run_whose_worker_is_killed_ends_on_another_as_if_it_had_not(folder, address, capsys, retries):
    """Law: SIGKILL in the middle of a run changes no bit of it; more kills than retries are a failure."""
    run, held = folder / "runs/a/seed=1", []
    killer = threading.Thread(target=killed_once_begun, args=(address, run, held), daemon=True)
    killer.start()
    options = {"overrides": LONG, "scheduler": address}
    result = sweep("plain.toml", {"run.seed": [1]}, out="runs/a", retries=retries, **options)
    killer.join()
    if retries:
        assert result[1].tries == 2
        assert "seed=1: its worker was killed; it goes on from step" in capsys.readouterr().err
    else:
        assert "its worker was killed 1 times" in result.failed[0].error
        assert result[1].steps >= 100
        result = sweep("plain.toml", {"run.seed": [1]}, out="runs/a", **options)
    assert result[1].state == "finished"
    with held[0] as file:
        assert os.fstat(file.fileno()).st_ino == (run / "trajectory.h5").stat().st_ino, "begun anew, not gone on with"
    assert_same(run, alone("whole", *LONG, "run.seed=1"))


@pytest.mark.slow
def test_all_workers_of_this_machine_may_be_killed(folder):
    """Law: the same with processes of its own, both killed at once and started anew; none of them is left."""
    before, folders = children(), [folder / f"runs/a/seed={seed}" for seed in range(2)]

    def kill():
        begun(*folders)
        for pid in children() - before:
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    long = [*LONG, "run.steps=4000"]  # so that the first has not ended when the second begins
    result = sweep("plain.toml", {"run.seed": range(2)}, out="runs/a", overrides=long, workers=2, progress=False)
    killer.join()
    assert [(run.state, run.tries) for run in result] == [("finished", 2)] * 2
    for seed in range(2):
        assert_same(folders[seed], alone(f"whole/{seed}", *long, f"run.seed={seed}"))
    assert children() == before


@pytest.mark.slow
def test_a_sweep_whose_processes_do_not_come_back_says_so_and_goes_on_later(folder, monkeypatch):
    """Where no process comes back the sweep ends with an error instead of waiting, and the same call goes on."""
    monkeypatch.setattr(crew, "_PATIENCE", 3.0)
    before, over = children(), threading.Event()

    def kill():
        begun(folder / "runs/a/seed=0")
        while not over.wait(0.02):
            for pid in children() - before:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    options = {"out": "runs/a", "overrides": [*LONG, "run.steps=4000"], "workers": 1, "progress": False}
    with pytest.raises(ClusterError, match="none started anew in 3 s"):
        sweep("plain.toml", {"run.seed": [0]}, retries=1000, **options)
    over.set()
    killer.join()
    assert sweep("plain.toml", {"run.seed": [0]}, **options)[0].state == "finished"
