"""Runs joined into one simulation: the same systems, the same laws, and nothing lost when it goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from test_config import PLAIN

import mdnet as md
import trajectories
from mdnet import config
from mdnet.sweep import illustrate, packing, planning, sweep, table
from mdnet.sweep.packed import Packed, refuse_unlike
from mdnet.sweep.work import checkpointed

QUIET = ["report.frames=0", "report.scalars=10", "report.evaluate=10", "report.predictions=0"]
DESCENT = """
[network]
name = "mlp"
hidden = [4]

[data]
name = "iris"
train = 60

[integrator]
method = "sgd"
dt = 0.05

[start]
adam_steps = 20

[run]
steps = 40
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.toml").write_text(PLAIN + '\n[system]\nprior = { kind = "gaussian", temperature = 0.1 }\n')
    (tmp_path / "descent.toml").write_text(DESCENT)
    return tmp_path


def planned(file, over, *overrides):
    return planning.plan(Path(file), over, overrides)


def sizes(file, over, *overrides, workers=1):
    return [len(unit.members) for unit in packing.units(planned(file, over, *overrides), workers)]


@pytest.mark.parametrize(
    ("file", "over", "overrides", "expected"),
    [
        ("plain.toml", {"thermostat.temperature": [0.1, 0.2], "run.seed": range(3)}, [], [6]),
        ("plain.toml", {"integrator.dt": [0.01, 0.02], "thermostat.friction": [1, 2.0]}, [], [4]),
        ("plain.toml", {"data.seed": range(2), "start.seed": range(2)}, [], [4]),
        ("plain.toml", {"system.prior.temperature": [0.1, 0.2]}, [], [2]),
        ("plain.toml", {"system.prior.variance": [1.0, 2.0], "run.seed": range(2)}, [], [2, 2]),
        ("plain.toml", {"network.hidden": [[4], [5]], "run.seed": range(3)}, [], [3, 3]),
        ("plain.toml", {"integrator.scheme": ["BAOAB", "OBABO"]}, [], [1, 1]),
        ("plain.toml", {"data.train": [20, 30]}, [], [1, 1]),
        ("plain.toml", {"run.steps": [20, 30]}, [], [1, 1]),
        ("plain.toml", {"run.seed": range(2)}, ["run.wall_clock=10.0"], [1, 1]),
        ("plain.toml", {"run.seed": range(2)}, ["report.tensorboard=true"], [1, 1]),
        ("plain.toml", {"run.seed": range(2)}, ["adapt.steps=200"], [1, 1]),
        ("plain.toml", {"run.seed": range(2)}, ["minibatch={size=8, shared=true}"], [1, 1]),
        ("descent.toml", {"minibatch.size": [4, 6, 8, 12, 64]}, [], [2, 3]),
        ("descent.toml", {"minibatch.size": [4, 8, 64]}, [], [1, 2]),
        ("descent.toml", {"integrator.momentum": [0.0, 0.9], "integrator.weight_decay": [0.0, 0.1]}, [], [4]),
    ],
)
def test_what_goes_together_does_and_nothing_else(folder, file, over, overrides, expected):
    assert sorted(sizes(file, over, *overrides)) == sorted(expected)


def test_every_worker_has_something_to_do(folder):
    """As many simulations as workers, and none larger than a simulation may be."""
    assert sizes("plain.toml", {"run.seed": range(7)}, workers=3) == [3, 3, 1]
    assert sizes("plain.toml", {"run.seed": range(2)}, workers=8) == [1, 1]
    assert sizes("plain.toml", {"network.hidden": [[4], [5]], "run.seed": range(4)}, workers=2) == [4, 4]
    assert sizes("plain.toml", {"run.seed": range(40)}, "system.replicas=16") == [14, 14, 12]


def test_deterministic_dynamics_is_that_of_each_run_alone(folder):
    """Law: rates, momenta, starts and splits are each run's own, so gradient descent agrees to rounding."""
    over = {"integrator.dt,integrator.momentum": 0, "data.seed": range(2), "start.seed": [0, 5]}
    over = {("integrator.dt", "integrator.momentum"): [(0.05, 0.0), (0.02, 0.9)], **dict(list(over.items())[1:])}
    overrides = ["system.replicas=2", "system.dtype=float64", "data.label_noise=0.2", *QUIET]
    (unit,) = packing.units(planned("descent.toml", over, *overrides), 1)
    packed = Packed([each.runfile for each in unit.members], folder / "packed", unit.told)
    packed.simulation.run(40, progress=False)
    for place, each in enumerate(unit.members):
        single = config.build(each.runfile, folder / each.name, progress=False)
        single.run(40, progress=False)
        own = slice(2 * place, 2 * place + 2)
        torch.testing.assert_close(packed.simulation.phase.q[own], single.phase.q, rtol=1e-9, atol=1e-12)
        with trajectories.open(folder / "packed") as together, trajectories.open(folder / each.name) as alone:
            assert together.observables.keys() == alone.observables.keys()
            for name in alone.observables:
                ours, theirs = together.observables[name].values[:, own], alone.observables[name].values
                np.testing.assert_allclose(ours, theirs, rtol=1e-9, err_msg=name)
            assert together.parameters["sweep"]["data.seed"][2 * place] == each.values["data.seed"]
    assert len(packed.simulation.system.inputs) == 16, "every replica has rows of its own"


def test_one_split_is_kept_once(folder):
    members = [each.runfile for each in planned("plain.toml", {"thermostat.temperature": [0.1, 0.2]})]
    packed = Packed(members, folder / "a", {})
    assert packed.simulation.system.shares_data
    alone = config.build(members[0], folder / "b", progress=False).system
    assert torch.equal(packed.simulation.system.inputs, alone.inputs)
    torch.testing.assert_close(packed.simulation.system.stiffness, alone.stiffness)


def test_thermal_averages_are_those_of_each_temperature(folder, seed):
    """Law: each replica of a pack is canonical at its own temperature, <u> of 2 temperatures in one Gaussian well."""
    over = {"thermostat.temperature": [0.05, 0.2], "run.seed": [seed % 1000]}
    overrides = ["system.replicas=32", "integrator.dt=0.2", "run.steps=1500", *QUIET, "report.evaluate=0"]
    (unit,) = packing.units(planned("plain.toml", over, *overrides), 1)
    packed = Packed([each.runfile for each in unit.members], folder / "packed", unit.told)
    packed.simulation.run(1500, progress=False)
    with trajectories.open(folder / "packed") as run:
        found = run.observables["temperature"].values[50:]
    for place, temperature in enumerate((0.05, 0.2)):
        means = found[:, 32 * place : 32 * place + 32].mean(0) / temperature
        error = means.std(ddof=1) / np.sqrt(32)
        assert abs(means.mean() - 1) < 5 * error + 0.01  # the time step's own error is below 1 %


def test_a_seed_that_makes_another_system_is_refused():
    """What a seed freezes in a network belongs to the system, so such runs are not joined."""

    def system(seed):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.Linear(3, 1))
        network[1].weight.requires_grad_(False)
        network[1].bias.requires_grad_(False)
        return md.ParticleSystem(network, torch.nn.functional.mse_loss, torch.ones(2, 1), torch.ones(2, 1))

    refuse_unlike(system(1), system(1), 1)
    with pytest.raises(ValueError, match=r"start.seed = 2 gives the frozen 1.weight other values"):
        refuse_unlike(system(1), system(2), 2)


def test_a_packed_sweep_has_a_row_for_each_run(folder, address):
    over = {"thermostat.temperature": [0.01, 0.02], "data.seed": range(3)}
    result = sweep("plain.toml", over, out="runs/a", overrides=QUIET, scheduler=address, progress=False)
    assert [run.state for run in result] == ["finished"] * 6
    assert len(result.folders) == 2, "one for each worker"
    found = table("runs/a")
    assert found.sizes == {"run": 6}
    assert found["thermostat.temperature"].values.tolist() == [0.01] * 3 + [0.02] * 3
    for run in result:
        row = found.sel(run=run.name)
        first, last = int(row["first_replica"]), int(row["last_replica"])
        with trajectories.open(folder / "runs/a" / str(row["folder"].item())) as trajectory:
            values = trajectory.observables["test/loss"].values[:, first : last + 1]
            assert trajectory.parameters["sweep"]["data.seed"][first] == run.values["data.seed"]
        assert float(row["test_loss_last"]) == values[-1].mean()
        assert run.energy == float(row["potential_energy_last"])
    before = {path: path.stat().st_mtime_ns for path in folder.glob("runs/a/*/*")}
    again = sweep("plain.toml", over, out="runs/a", overrides=QUIET, scheduler="tcp://127.0.0.1:1", progress=False)
    assert len(again.finished) == 6
    assert {path: path.stat().st_mtime_ns for path in folder.glob("runs/a/*/*")} == before
    grown = over | {"data.seed": range(4)}
    more = sweep("plain.toml", grown, out="runs/a", overrides=QUIET, scheduler=address, progress=False)
    assert len(more.finished) == 8
    assert {p: p.stat().st_mtime_ns for p in before} == before
    longer = [*QUIET, "run.steps=20"]
    few = sweep("plain.toml", {"thermostat.temperature": [0.01], "data.seed": [0]}, out="runs/a", overrides=longer,
                scheduler=address, progress=False)  # fmt: skip
    assert few[0.01, 0].steps == 20
    assert table("runs/a")["steps"].values.tolist()[:3] == [20, 20, 20], "they are one simulation"


def test_those_that_diverge_go_alone_and_the_others_together(folder, address, capsys):
    over = {"integrator.dt": [0.01, 1e9, 0.02, 0.03], "run.seed": [0]}
    result = sweep("plain.toml", over, out="runs/a", overrides=QUIET, scheduler=address, workers=1)
    states = {run.values["integrator.dt"]: (run.state, bool(run.pack)) for run in result}
    assert states[1e9] == ("failed", False)
    assert [states[dt][0] for dt in (0.01, 0.02, 0.03)] == ["finished"] * 3
    assert "is unstable: the largest frequency" in result.failed[0].error
    assert "1 of its" in capsys.readouterr().err
    kept = {run.folder.name for run in result}
    assert {path.name for path in (folder / "runs/a").iterdir() if path.is_dir()} == kept, (
        "nothing is left of the first"
    )
    illustrate("runs/a")
    page = json.loads((folder / "runs/a/results.json").read_text())
    assert any("dt=1000000000,seed=0 failed" in note for note in page["notes"])
    assert table("runs/a")["state"].values.tolist() == ["finished", "failed", "finished", "finished"]


def test_what_does_not_fit_together_goes_alone(folder, address):
    """A set of rows that is not there fails each run by itself, and another number of rows joins none."""
    bad = sweep("plain.toml", {"run.seed": range(3)}, out="runs/a", overrides=["data.train=300"], scheduler=address,
                progress=False)  # fmt: skip
    assert [(run.state, run.pack) for run in bad] == [("failed", "")] * 3
    assert all("has 40 rows to train on" in run.error for run in bad)


def test_a_run_that_was_begun_alone_goes_on_alone(folder, address):
    options = {"out": "runs/a", "scheduler": address, "progress": False}
    sweep("plain.toml", {"run.seed": [0]}, overrides=QUIET, pack=False, **options)
    result = sweep("plain.toml", {"run.seed": range(4)}, overrides=[*QUIET, "run.steps=20"], **options)
    assert [bool(run.pack) for run in result] == [False, True, True, True] or not result[0].pack
    assert (folder / "runs/a/seed=0/run.toml").exists()
    assert [run.steps for run in result] == [20] * 4


def written(out):
    """The steps at which each folder has a sample of its energy."""
    return {path.parent.name: steps_of(path) for path in out.glob("*/trajectory.h5")}


def stamp(folder):
    """What changes when a trajectory is touched again."""
    found = (folder / "trajectory.h5").stat()
    return found.st_ino, found.st_mtime_ns


def progress(out):
    """How far all runs are by their checkpoints: the number that have one, and their steps."""
    return sum(1 + checkpointed(path.parent) for path in out.glob("*/checkpoint-*.pt"))


def steps_of(path):
    with trajectories.open(path) as run:
        return run.observables["potential_energy"].steps.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("pack", ["--pack", "--no-pack"])
def test_two_hundred_runs_killed_three_times_end_complete(folder, pack, monkeypatch):
    """Law: SIGKILL of the sweep at any moment loses nothing, and what is finished is never begun again."""
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    words = ["plain.toml", "--out", "runs/a", "--over", "run.seed=0:100", "--over", "integrator.dt=0.01,0.02", pack]
    words += [word for value in [*QUIET, "report.evaluate=0"] for word in ("--set", value)]
    long = ["--set", "run.steps=20000", "--set", "run.checkpoint_every=500"] if pack == "--pack" else []
    code = "import typer; from mdnet.commands.sweep import sweep; typer.run(sweep)"
    finished, held = {}, {}
    for kill in (0.5, 1.0, 1.5, None):
        running = subprocess.Popen(
            [sys.executable, "-c", code, *words, *long, "--workers", "2"], start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if kill is None:
            said, _ = running.communicate(timeout=500)
            assert running.returncode == 0, said
            break
        before = progress(folder / "runs/a")
        give_up = time.monotonic() + 200
        while progress(folder / "runs/a") <= before:
            assert time.monotonic() < give_up
            assert running.poll() is None, running.communicate()
            time.sleep(0.01)
        time.sleep(kill)
        running.kill()
        running.communicate()
        for path in folder.glob("runs/a/*/trajectory.h5"):
            if path not in held and checkpointed(path.parent):
                held[path] = path.open()  # which thereby stays itself
        if (folder / "runs/a/sweep.json").exists():
            runs = json.loads((folder / "runs/a/sweep.json").read_text())["runs"]
            finished |= {n: stamp(folder / "runs/a" / (r["pack"] or n))
                         for n, r in runs.items() if r["state"] == "finished"}  # fmt: skip
    runs = json.loads((folder / "runs/a/sweep.json").read_text())["runs"]
    assert len(runs) == 200
    assert {run["state"] for run in runs.values()} == {"finished"}
    assert finished or pack == "--pack", "it was killed too early to say anything"
    for name, before in finished.items():
        assert stamp(folder / "runs/a" / (runs[name]["pack"] or name)) == before, f"{name} was begun again"
    for path, file in held.items():
        with file:
            assert os.fstat(file.fileno()).st_ino == path.stat().st_ino, f"{path} was begun anew, not gone on with"
    assert held
    goal = 20000 if pack == "--pack" else 10
    assert all(steps == list(range(0, goal + 1, 10)) for steps in written(folder / "runs/a").values())
    assert table("runs/a")["steps"].values.tolist() == [goal] * 200
