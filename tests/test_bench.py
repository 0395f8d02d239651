"""The parts of which `mdnet bench` makes its tables, on tiny sizes; and, slow to test, how fast it is, as ratios."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from mdnet import timing
from mdnet.bench import rivals, scaling, work
from mdnet.bench.cases import CASES, PAIRS
from mdnet.bench.peers.problem import Problem
from mdnet.bench.rate import Timing, rate_table
from mdnet.bench.table import Table, shown
from mdnet.bench.workers import PeerError, Worker
from mdnet.commands.bench import bench
from mdnet.routes.native.library import compiler

QUICK = Timing(rounds=2, seconds=0.005)
PEERS = os.environ.get("MDNET_PEERS", sys.executable)  # the interpreter of an environment that has other programs

app = typer.Typer()
app.command()(bench)


def run(*words):
    return CliRunner().invoke(app, words)


def test_calls_take_turns():
    """Law: what is compared is called in turn, round after round, so that a slow minute slows all alike."""
    order = []
    times = timing.turns({name: lambda n=name: order.append(n) for name in "ab"}, rounds=3, seconds=0.001)
    turns = [name for k, name in enumerate(order) if k == 0 or order[k - 1] != name]
    assert turns == list("ab" * 4)  # a turn to warm up, then the rounds
    assert {name: len(each) for name, each in times.items()} == {"a": 3, "b": 3}
    assert all(seconds > 0 for each in times.values() for seconds in each)


def test_a_ratio_is_the_median_of_the_ratios_of_each_round():
    assert timing.ratio([2.0, 40.0, 10.0], [1.0, 10.0, 1.0]) == 4.0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no system call for it")
def test_cores_are_kept_to_and_given_back():
    before = os.sched_getaffinity(0)
    with timing.pinned(1):
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before


PEAKS = """
import torch
from mdnet.bench import memory

def both():
    return torch.ones(8_000_000), torch.ones(8_000_000)

def after_another():
    for _ in range(2):
        torch.ones(8_000_000)

print(memory.peak(both), memory.peak(after_another))
"""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the system does not tell")
def test_the_peak_of_memory_is_what_a_call_takes():
    """Law: two arrays at once count twice, one after the other once; in a process that gives freed memory back."""
    at_once = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1048576"}
    done = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True, env=at_once)
    assert [float(word) for word in done.stdout.split()] == pytest.approx([64e6, 32e6], rel=0.1)


@pytest.mark.parametrize("pair", ["nhc", "bussi"])
def test_steps_that_are_timed_are_those_of_the_integrator(pair):
    """Law: blocks of steps end where as many calls of the integrator end."""
    system = CASES["a"].system(2, "eager")
    steps = work.Steps(system, PAIRS[pair], dt=0.002)
    steps.block = 4
    state = torch.get_rng_state()
    steps()
    steps()
    torch.set_rng_state(state)
    integrator = PAIRS[pair].integrator(system, 0.002)
    phase = integrator.start(*work.start(system), system.masses)
    for _ in range(8):
        integrator(phase)
    assert torch.equal(phase.q, steps.phase.q)
    assert not torch.equal(phase.q, work.start(system)[0])


def test_a_block_fits_into_its_time():
    steps = work.Steps(CASES["a"].system(1, "eager"), PAIRS["nhc"], dt=0.002)
    steps.fit(1e-9)
    assert steps.block == 1
    steps.fit(1e9)
    assert steps.block == work.LONGEST


def test_a_motion_that_diverged_is_not_timed():
    steps = work.Steps(CASES["a"].system(1, "eager"), PAIRS["nhc"], dt=0.002)
    steps.phase.u[:] = float("nan")
    with pytest.raises(ValueError, match="diverged; take a smaller dt"):
        steps.check()


def test_rates_and_ratios_belong_together(monkeypatch):
    """Law: with a module's pass in 1 s, a gradient of three replicas in 2 s and a step in 3 s the row is known."""

    def turns(calls, *, rounds, seconds):
        assert (rounds, seconds) == (QUICK.rounds, QUICK.seconds)
        known = {"module": 1.0, "gradient": 2.0}
        return {name: [known.get(name) or 3.0 * call.block] * 2 for name, call in calls.items()}

    monkeypatch.setattr(timing, "turns", turns)
    table = rate_table("a", [3], 1, ["eager", "module"], ["nhc", "baoab"], QUICK)
    assert [(row["asked"], row["pair"]) for row in table.rows] == [
        ("eager", "nhc"), ("eager", "baoab"), ("module", "nhc"), ("module", "baoab"),
    ]  # fmt: skip
    expected = {"rate": 1.0, "gradient_rate": 1.5, "floor_rate": 1.0, "over_gradient": 1.5, "over_floor": 1.0}
    for row in table.rows:
        assert (row["dof"], row["rows"], row["replicas"]) == (481, 101, 3)
        assert {name: row[name] for name in expected} == pytest.approx(expected)
        assert row["ready"] > 0


def test_the_floor_is_one_pass_of_the_module():
    """Law: the module that is the floor gets the gradient that the force of one replica is."""
    case = CASES["a"]
    seen = []
    passes = work.floor(replace(case, loss=lambda output, target: seen.append(1) or case.loss(output, target)))
    seen.clear()
    passes()
    assert len(seen) == 1


def test_json_has_every_number_and_where_it_was_taken(tmp_path):
    file = tmp_path / "bench.json"
    done = run("--case", "a", "--replicas", "1,2", "--pair", "nhc", "--rounds", "2", "--seconds", "0.005",
               "--route", "eager", "--json", str(file))  # fmt: skip
    assert done.exit_code == 0, done.output
    read = json.loads(file.read_text())
    assert [row["replicas"] for row in read["tables"][0]["rows"]] == [1, 2]
    assert read["tables"][0]["rows"][0]["threads"] == 1
    assert read["versions"]["torch"] == torch.__version__
    assert set(read["machine"]) == {"processor", "cores", "system"}
    assert read["command"].startswith("mdnet")
    assert "steps" in done.output


def test_json_on_the_screen_is_alone_there():
    done = run(
        "--case", "a", "--replicas", "1", "--rounds", "1", "--seconds", "0.005", "--route", "eager", "--json", "-"
    )
    assert json.loads(done.stdout)["rounds"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tables", "rat"), "unknown table 'rat'; did you mean 'rate'"),
        (("--case", "e"), "unknown case 'e'"),
        (("--pair", "nch"), "did you mean 'nhc'"),
        (("--route", "nativ"), "did you mean 'native'"),
        (("--replicas", "1,x"), "--replicas 1,x: 'x' is no number of one or more"),
        (("--threads", "0"), "--threads 0: '0' is no number"),
        (("--figure", "a.png"), "--figure draws the table scaling; add it to --tables"),
    ],
)
def test_a_wrong_word_names_the_remedy(words, message):
    done = run(*words)
    assert done.exit_code == 1
    assert message in " ".join(done.output.split())


def test_numbers_are_short():
    values = {12_345.0: "12.3k", 1.0e6: "1M", 0.001234: "0.00123", 123.4: "123", None: "–", 4096: "4096", "a": "a"}
    assert {value: shown(value) for value in values} == values


def test_what_a_row_has_to_say_is_told(capsys):
    Table("t", "title", {"x": "x"}, [{"x": 1, "note": "it failed"}, {"x": 2}]).show()
    assert capsys.readouterr().out.count("it failed") == 1


def test_scaling_is_drawn(tmp_path):
    """Law: a series along each axis begins with its smallest size, and the picture has a panel for each."""
    table = scaling.scaling_table("eager", ["nhc"], 1, QUICK, largest=0.0)
    assert [(row["along"], row["replicas"], row["dof"], row["rows"]) for row in table.rows] == [
        ("replicas", 1, 481, 101), ("dof", 1, 985, 1024), ("rows", 1, 4810, 16),
    ]  # fmt: skip
    scaling.draw([table], tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")


def test_scaling_goes_up_to_a_million_parameters():
    sizes = [(along, replicas, case.system(1, "eager").dof) for along, case, replicas in scaling.points(1.0)]
    assert ("dof", 1, 999_985) in sizes
    assert max(replicas for _, replicas, _ in sizes) == 4096


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_peer_reads_the_work_that_we_do(name, tmp_path):
    """Law: the energy of a problem's network, taken layer by layer from the file, is that of the system."""
    system = CASES[name].system(2, "eager")
    rivals._problem(CASES[name], system).save(str(tmp_path / "problem.npz"))
    problem = Problem.load(str(tmp_path / "problem.npz"))
    h = [problem.x.astype(float)] * 2
    for number, (weight, bias, shape) in enumerate(problem.layers()):
        h = [h[r] @ problem.q[r, weight].reshape(shape).T + problem.q[r, bias] for r in range(2)]
        h = [np.tanh(x) for x in h] if number + 1 < len(problem.layers()) else h
    targets = torch.as_tensor(problem.y if problem.classes else problem.y.astype(float))
    expected = [CASES[name].loss(torch.as_tensor(x), targets).item() for x in h]
    assert system.energy(torch.as_tensor(problem.q)).tolist() == pytest.approx(expected, rel=1e-5)
    assert (problem.links, problem.tau) == (PAIRS["nhc"].thermostat(0.0).links, PAIRS["nhc"].thermostat(0.0).tau)
    assert problem.friction == PAIRS["baoab"].thermostat(problem.friction).friction


def test_a_peer_tells_its_errors_and_lives_on():
    with Worker(sys.executable, "jax-nhc", threads=1) as worker:
        for _ in range(2):
            with pytest.raises(PeerError, match=r"^ValueError: nothing is open yet"):
                worker.ask("advance", times=1)


@pytest.mark.parametrize(
    ("python", "message"), [("/nowhere/python", "cannot be started: No such file"), ("false", "ended with status 1")]
)
def test_a_peer_that_is_missing_is_a_row_that_says_so(python, message):
    table = rivals.peers_table("a", [1], 1, ["nhc"], python, QUICK)
    ours, *others = table.rows
    assert ours["who"] == "mdnet-nhc"
    assert ours["rate"] > 0
    assert [row["who"] for row in others] == ["jax-nhc", "jax-md"]
    assert all(message in row["note"] and "rate" not in row for row in others)


def test_convolutions_are_not_asked_of_peers():
    rows = rivals.peers_table("c", [1], 1, ["nhc"], sys.executable, QUICK).rows
    assert all("fully connected networks only" in row["note"] for row in rows[1:])


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("pair", ["nhc", "baoab"])
def test_peers_do_the_same_work(pair, replicas):
    """Law: without noise a peer of the same scheme goes where we go, and each takes one gradient a step."""
    if subprocess.run(
        [PEERS, "-c", "import jax, jax_md, blackjax, posteriors"], capture_output=True, check=False
    ).returncode:
        pytest.skip("the other programs are not installed; give MDNET_PEERS, the interpreter of an environment")
    rows = rivals.peers_table("a", [replicas], 1, [pair], PEERS, QUICK).rows
    assert [row["who"] for row in rows[1:]] == list(rivals.RIVALS[pair])
    for row in rows[1:]:
        assert "note" not in row
        assert row["gradients"] == 1
        assert row["rate"] > 0
        if row["who"] in rivals.ALIKE:
            assert row["differs"] < 1e-4  # float32: a coordinate of order one that moved by a hundredth


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="native code needs a C++ compiler")
@pytest.mark.parametrize(("replicas", "faster"), [(1, 20.0), (64, 4.0), (1024, 1.2)])
def test_native_steps_are_faster_than_those_of_torch(replicas, faster):
    """Law: on 1-20-20-1 a native step of Verlet with a chain beats an eager one by at least half of what was seen."""
    native, eager = (
        work.begin(CASES["a"], replicas, route, ["nhc"], 0.02).running["nhc"] for route in ("native", "eager")
    )
    times = timing.turns({"native": native, "eager": eager}, rounds=7, seconds=0.05)
    each = [
        [seconds / steps.block for seconds in times[name]] for name, steps in (("native", native), ("eager", eager))
    ]
    assert timing.ratio(each[1], each[0]) > faster


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="native code needs a C++ compiler")
@pytest.mark.parametrize(("pair", "most"), [("nhc", 2.5), ("baoab", 4.0)])
def test_integrator_and_bath_cost_little_beside_the_gradient(pair, most):
    """Law: 1024 replicas of 1-20-20-1 take no more than twice as long a step as was seen, in gradients."""
    row = rate_table("a", [1024], 1, ["native"], [pair], Timing(rounds=7, seconds=0.1)).rows[0]
    assert row["over_gradient"] < most


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="native code needs a C++ compiler")
@pytest.mark.parametrize(
    ("name", "replicas", "faster"), [("a", 1, 8.0), ("a", 64, 10.0), ("b", 1, 1.2), ("b", 16, 1.2)]
)
def test_a_native_step_is_faster_than_a_pass_of_the_module(name, replicas, faster):
    """Law: steps x replicas a second are more than passes of the bare module, by at least half of what was seen."""
    row = rate_table(name, [replicas], 1, ["native"], ["nhc"], Timing(rounds=7, seconds=0.1)).rows[0]
    assert row["over_floor"] > faster
