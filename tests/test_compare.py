"""`mdnet compare`: what is known exactly of schemes and baths is what its tables say."""

import json
import math

import pytest
import torch
from typer.testing import CliRunner

from mdnet.cli import app
from mdnet.commands.compare import _split
from mdnet.comparison import METHODS, measure, of_method, of_pair, record
from mdnet.comparison.measures import exact
from mdnet.comparison.stepsize import biases, largest_stable
from mdnet.config import specs
from mdnet.config.schemes import spell
from mdnet.validation.networks import of_file
from mdnet.validation.pairs import Pair
from mdnet.validation.subjects import harmonic

Z = 5.0
SUBJECT = harmonic(low=1.0, high=6.0, modes=8)
W = torch.logspace(0.0, math.log10(6.0), 8, dtype=torch.float64)  # its frequencies


def row(scheme, bath, *, dt=SUBJECT.dt, replicas=64, forces=1500):
    contestant = of_pair(Pair.of(spell(scheme), specs.read(bath)))
    series = record(contestant, SUBJECT, temperature=1.0, dt=dt, replicas=replicas, forces=forces)
    canonical = contestant.make(SUBJECT, 1.0, dt, False).canonical
    return measure(series, SUBJECT, exact(SUBJECT, 1.0), scheme=scheme, bath=bath, canonical=canonical, temperature=1.0)


@pytest.mark.parametrize("scheme", ["BAOAB", "outer(OMELYAN)"])
def test_a_right_pair_is_right_in_every_column(scheme):
    seen = row(scheme, "langevin")
    assert seen.canonical
    for estimate in (
        seen.kinetic_temperature,
        seen.kinetic_width,
        seen.worst_layer,
        seen.configurational_temperature,
    ):
        assert abs(estimate.z(1.0)) < Z
    assert abs(seen.bias.z(0.0)) < Z
    assert seen.energy_p > 1e-3
    assert seen.r_hat < 1.05
    assert 0 < seen.effective < 1000


def test_berendsen_is_found_out():
    seen = row("BAOAB", "berendsen")
    assert not seen.canonical
    assert seen.kinetic_width.value < 0.5
    assert seen.kinetic_width.z(1.0) < -Z
    assert seen.energy_p < 1e-6


def test_the_bias_of_obabo_grows_with_the_step_as_its_exact_law_says():
    """<U> = T/2 sum 1/(1 - w^2 dt^2/4): OBABO's own law, where BAOAB has no bias at all."""
    steps = [3 * SUBJECT.dt, 6 * SUBJECT.dt]
    law = [float((1 / (1 - (W * dt) ** 2 / 4) - 1).mean()) for dt in steps]
    options = {"temperature": 1.0, "replicas": 64, "forces": 1500}
    for scheme, answers in (("OBABO", law), ("BAOAB", [0.0, 0.0])):
        contestant = of_pair(Pair.of(spell(scheme), specs.read("langevin(friction=4.0)")))
        seen = biases(contestant, SUBJECT, exact(SUBJECT, 1.0), steps, **options)
        assert [abs(bias.z(answer)) < Z for bias, answer in zip(seen, answers, strict=True)] == [True, True]
    assert seen[1].z(law[1]) < -Z  # the test can tell the two apart


@pytest.mark.parametrize("scheme", ["BAOAB", "outer(OMELYAN)", "outer(YOSHIDA4)"])
def test_the_largest_stable_step_is_the_schemes_limit(scheme):
    contestant = of_pair(Pair.of(spell(scheme), specs.read("langevin")))
    dt = largest_stable(contestant, SUBJECT, temperature=1.0, dt=SUBJECT.dt)
    limit = spell(scheme).stability / spell(scheme).forces
    assert dt * 6.0 == pytest.approx(limit, rel=0.06)


@pytest.mark.parametrize("word", METHODS)
def test_every_method_with_a_bath_of_its_own_takes_part(word):
    contestant = of_method(word)
    series = record(contestant, SUBJECT, temperature=1.0, dt=SUBJECT.dt, replicas=32, forces=2000)
    seen = measure(
        series, SUBJECT, exact(SUBJECT, 1.0), scheme=word, bath="own", canonical=True, temperature=1.0
    )  # fmt: skip
    assert seen.finite
    if word not in ("euler-maruyama", "mala", "brownian"):  # too slow for a run this short, or biased
        assert abs(seen.bias.z(0.0)) < Z
        assert abs(seen.configurational_temperature.z(1.0)) < Z


def call(*words):
    return CliRunner().invoke(app, ["compare", *words])


SHORT = ("--forces", "300", "--replicas", "16", "--schemes", "BAOAB")


def test_the_command_writes_table_json_pictures_and_page(tmp_path):
    done = call("harmonic", *SHORT, "--thermostats", "langevin,berendsen", "--methods", "hmc", "--out", str(tmp_path))
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / "comparison.json").read_text())
    assert [(row["scheme"], row["bath"], row["canonical"]) for row in written["rows"]] == [
        ("BAOAB", "langevin", True), ("BAOAB", "berendsen", False), ("HMC", "own", True),
    ]  # fmt: skip
    assert written["steps"][0]["largest_dt"] * 10.0 == pytest.approx(2, rel=0.06)
    assert written["steps"][1]["largest_dt"] is None
    assert written["reference"] == "exact"
    assert all(row["cost"] > 0.9 and row["per_second"] > 0 for row in written["rows"])
    page = (tmp_path / "report.html").read_text()
    assert "Bias of &lt;U&gt; against the step" in page
    assert page.count("<svg") == 2
    assert (tmp_path / "overview.png").stat().st_size > 10_000


RUN = """
[network]
name = "mlp"
hidden = [3]

[data]
name = "sine"
train = 16

[system]
prior = { kind = "gaussian" }

[integrator]
scheme = "BAOAB"
dt = 0.1

[thermostat]
name = "langevin"
temperature = 0.05
friction = 1.0

[run]
steps = 10
"""


def test_a_run_file_is_compared_with_a_longer_run(tmp_path):
    (tmp_path / "own.toml").write_text(RUN)
    done = call(str(tmp_path / "own.toml"), *SHORT, "--thermostats", "langevin", "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert written["reference"].startswith("BAOAB + langevin, dt/2")
    assert written["setting"]["temperature"] == 0.05
    assert math.isfinite(written["rows"][0]["bias"][0])


def test_a_minibatch_is_said_to_be_left_out(tmp_path):
    (tmp_path / "own.toml").write_text(RUN + "[minibatch]\nsize = 4\n")
    with pytest.warns(UserWarning, match=r"\[minibatch\] of .* is left out"):
        of_file(tmp_path / "own.toml", progress=False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lineer"], "unknown system 'lineer'; did you mean 'linear'?"),
        (["linear", "--schemes", "VERLET"], "scheme VERLET has no O"),
        (["linear", "--schemes", "BAOBA"], "not a palindrome"),
        (["linear", "--thermostats", "langevn"], "did you mean 'langevin'?"),
        (["linear", "--thermostats", "langevin(fricton=1)"], "did you mean 'friction'?"),
        (["linear", "--methods", "hcm"], "did you mean 'hmc'?"),
        (["linear", "--set", "a=1"], "--set replaces values of a run file"),
        (["absent.toml"], "cannot read the run file absent.toml"),
    ],
)
def test_bad_input_is_told(words, message):
    done = call(*words)
    assert done.exit_code == 1
    assert message in " ".join(done.stderr.split())


def test_lists_are_split_outside_of_parentheses():
    assert _split("a, b(c=1, d=(2, 3)),e,") == ["a", "b(c=1, d=(2, 3))", "e"]
