"""`mdnet validate`: every law passes for a right pair, and finds the method out that breaks it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import broken_thermostat as broken
import pytest
import torch
import typer
from test_config import PLAIN
from typer.testing import CliRunner

from integrators import BAOAB, OBABO, VERLET, Scheme, outer
from mdnet.commands import validate as command
from mdnet.config import specs
from mdnet.validation import LAWS, Pair, Trial, double_well, harmonic, lattice, linear, validate
from mdnet.validation.gaussian import Gaussian, linear_network
from mdnet.validation.lattice import Lattice
from mdnet.validation.law import limit
from thermostats import Andersen, Berendsen, Bussi, Langevin, NoBath, NoseHooverChain

BROKEN = Path(broken.__file__)
OWN = Path(command.__file__).parents[1] / "examples" / "my_thermostat.py"
FAMILY = 20  # distributions tested here: all together fail by chance in 1 %
EULER = Scheme("EULER", (("B", 1.0), ("A", 1.0)))
QUICK = ["order", "reversal", "conserved", "bath-energy", "composition"]  # without a run in equilibrium


def verdicts(scheme, make=None, subject=None, names=(), *, temperature=1.0, replicas=512):
    """The laws by name, of a bath made at a temperature."""
    subject = lattice() if subject is None else subject
    pair = Pair(scheme, None if make is None else lambda at, _: make(at), "bath")
    seed = torch.initial_seed() % 2**31
    found = validate(Trial(pair, subject, temperature, subject.dt, replicas, seed, tests=FAMILY), names)
    return {law.name: law for law in found.laws}


def outcome(laws, verdict):
    return {name for name, law in laws.items() if law.verdict == verdict}


def langevin(temperature):
    return Langevin(temperature, friction=1.0)


def massive(temperature):
    return NoseHooverChain(temperature, tau=0.5, group="massive")


@pytest.mark.parametrize(
    ("scheme", "make", "subject"),
    [(BAOAB, langevin, lattice), (BAOAB, langevin, linear), (OBABO, lambda t: Andersen(t, rate=1.0), double_well)],
    ids=["lattice", "linear", "double-well"],
)
def test_right_pairs_keep_every_law(scheme, make, subject):
    laws = verdicts(scheme, make, subject())
    assert outcome(laws, "fail") == set()
    assert outcome(laws, "skipped") == {"bath energy"}
    assert len(laws) == 16


def test_a_chain_keeps_every_law():
    laws = verdicts(outer(VERLET), massive, linear(), replicas=128)
    assert outcome(laws, "pass") == set(laws)


def test_a_bath_of_all_momenta_together_keeps_every_law_where_the_motion_mixes():
    laws = verdicts(OBABO, lambda t: Bussi(t, tau=0.5))
    assert outcome(laws, "fail") == set()


def test_laws_hold_at_another_temperature():
    assert outcome(verdicts(BAOAB, langevin, temperature=0.3), "fail") == set()


def test_too_little_noise_fails_all_laws_of_equilibrium():
    laws = verdicts(BAOAB, lambda t: broken.TooLittleNoise(t, friction=1.0), replicas=1024)
    wrong = {"kinetic mean", "kinetic width", "kinetic law", "equipartition", "configurational", "potential mean"}
    assert wrong <= outcome(laws, "fail")
    assert {"order", "reversal", "conserved", "composition"} <= outcome(laws, "pass")


def test_two_temperatures_find_noise_out_that_does_not_grow_with_the_temperature():
    laws = verdicts(BAOAB, lambda t: Langevin(t**0.5, friction=1.0), names=["kinetic", "two-temperatures"])
    assert "two temperatures, U" in outcome(laws, "fail")
    assert "kinetic mean" in outcome(laws, "pass")  # the temperature is right at T = 1


def test_a_bath_that_forgets_time_fails_composition_alone():
    laws = verdicts(BAOAB, lambda t: broken.ForgetsTime(t, friction=1.0), names=[*QUICK, "kinetic"])
    assert outcome(laws, "fail") == {"composition"}


def test_a_deterministic_bath_that_forgets_time_fails_composition():
    laws = verdicts(BAOAB, lambda t: broken.ChainForgetsTime(t, tau=0.5), names=["composition"])
    assert outcome(laws, "fail") == {"composition"}


def test_noise_without_masses_fails_equipartition():
    laws = verdicts(BAOAB, lambda t: broken.ForgetsMasses(t, friction=1.0), names=["equipartition", "positions"])
    assert outcome(laws, "fail") == {"equipartition", "positions"}


def test_a_wrong_energy_of_the_bath_is_found():
    laws = verdicts(outer(VERLET), lambda t: broken.WrongEnergy(t, tau=0.5), names=["bath-energy", "order"])
    assert outcome(laws, "fail") == {"bath energy"}


def test_a_bath_that_does_not_turn_round_is_found():
    laws = verdicts(outer(VERLET), lambda t: broken.OneSided(t, tau=0.5), names=["reversal", "bath-energy"])
    assert outcome(laws, "fail") == {"reversal", "bath energy"}


def test_a_bath_may_say_how_it_turns_round_and_else_is_not_asked():
    laws = verdicts(OBABO, lambda t: broken.Unknown(NoseHooverChain(t, tau=0.5)), names=["reversal"])
    assert laws["reversal"].verdict == "skipped"
    assert "reverse(bath)" in laws["reversal"].note
    laws = verdicts(OBABO, lambda t: broken.Reversible(NoseHooverChain(t, tau=0.5)), names=["reversal"])
    assert laws["reversal"].verdict == "pass"


def test_berendsen_fails_and_is_told_why():
    laws = verdicts(OBABO, lambda t: Berendsen(t, tau=0.5), names=["kinetic", "two-temperatures"])
    assert {"kinetic width", "kinetic law", "two temperatures, U + K"} <= outcome(laws, "fail")
    assert "not canonical" in laws["kinetic width"].note


def test_a_single_link_on_harmonic_modes_is_not_ergodic_and_is_told_so():
    laws = verdicts(
        BAOAB, lambda t: NoseHooverChain(t, 0.25, links=1), linear(), ["kinetic", "potential"], replicas=1024
    )
    assert {"kinetic width", "potential width"} <= outcome(laws, "fail")
    assert "ergodic" in laws["potential width"].note


@pytest.mark.parametrize(
    ("scheme", "make", "law"),
    [
        (replace(VERLET, order=4), None, "order"),
        (replace(OBABO, order=4), langevin, "order"),
        (replace(OBABO, order=4), langevin, "conserved"),
        (replace(outer(VERLET), order=4), massive, "order"),
        (EULER, None, "order"),
        (EULER, None, "reversal"),
        (Scheme("BAO", (("B", 1.0), ("A", 1.0), ("O", 1.0))), langevin, "reversal"),
    ],
)
def test_a_scheme_that_promises_too_much_is_found(scheme, make, law):
    assert outcome(verdicts(scheme, make, names=[law]), "fail") == {law}


def wrong_force(change):
    """The lattice with another force than its energy has."""
    subject = lattice()
    right = subject.force(torch.float64)

    def force(q):
        u, f = right(q)
        return u, change(f, q)

    return replace(subject, force=lambda dtype: force)


@pytest.mark.parametrize("change", [lambda f, q: -f, lambda f, q: 1.001 * f, lambda f, q: f + 0.01 * q.roll(1, -1)])
def test_a_force_that_is_no_gradient_is_found(change):
    laws = verdicts(VERLET, None, wrong_force(change), ["force"])
    assert outcome(laws, "fail") == {"force"}


def test_a_force_that_does_work_in_circles_makes_the_energy_drift():
    subject = wrong_force(lambda f, q: f + 0.3 * (q.roll(1, -1) - q.roll(-1, -1)))
    assert outcome(verdicts(VERLET, None, subject, ["conserved"]), "fail") == {"conserved"}
    assert outcome(verdicts(VERLET, None, lattice(), ["conserved"]), "pass") == {"conserved"}


def test_a_run_that_diverges_fails():
    laws = verdicts(BAOAB, langevin, replace(lattice(), dt=2.0), ["kinetic"])
    assert outcome(laws, "fail") == {"kinetic"}
    assert "diverged" in laws["kinetic"].note


@pytest.mark.parametrize(("scheme", "make"), [(VERLET, None), (BAOAB, lambda t: NoBath())], ids=["VERLET", "BAOAB"])
def test_constant_energy_has_no_equilibrium_to_test(scheme, make):
    laws = verdicts(scheme, make)
    assert outcome(laws, "fail") == set()
    assert {"force", "order", "reversal", "conserved"} <= outcome(laws, "pass")
    assert "energy is constant" in laws["kinetic"].note


def test_without_physical_validation_its_law_is_skipped(monkeypatch):
    monkeypatch.setitem(sys.modules, "physical_validation", None)
    laws = verdicts(BAOAB, langevin, names=["two-temperatures"], replicas=32)
    assert "pip install mdnet[validate]" in laws["two temperatures"].note


def test_exact_answers_agree_with_each_other():
    k, m = torch.tensor([0.4, 0.9, 1.3, 2.0]).double(), torch.tensor([1.0, 2.0, 0.5, 1.0]).double()
    chain = Lattice(k, torch.zeros_like(k), m, b=0.5)
    links = (
        torch.diag(torch.tensor([1.0, 2.0, 2.0, 1.0])) - torch.diag(torch.ones(3), 1) - torch.diag(torch.ones(3), -1)
    )
    same = Gaussian(torch.zeros_like(k), torch.diag(k) + 0.5 * links.double(), m, u0=0.0)
    q = torch.randn(3, 4, dtype=torch.float64)
    torch.testing.assert_close(chain(q), same(q), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(chain.laplacian(q), same.laplacian(q), rtol=1e-12, atol=0)
    assert chain.energy(0.7) == pytest.approx(same.energy(0.7), rel=1e-6)
    variance = 0.7 * torch.linalg.inv(same.stiffness).diagonal()
    torch.testing.assert_close(chain.moment(2, 0.7), variance, rtol=1e-9, atol=0)
    torch.testing.assert_close(chain.moment(4, 0.7), 3 * variance**2, rtol=1e-9, atol=0)
    u = 0.5 * (same.frequencies * same.coordinates(q)).square().sum(-1)
    torch.testing.assert_close(u, same(q)[0], rtol=1e-12, atol=0)


def test_the_linear_network_has_the_energy_of_its_exact_answer():
    subject = linear(16)
    u, f = subject.force(torch.float64)(q := subject.start(16, 1.0))
    system, exact = linear_network(16)
    torch.testing.assert_close(exact(q), (u, f), rtol=1e-10, atol=1e-10)
    assert float(harmonic().exact.moment(2, 1.0).max()) == pytest.approx(100.0)
    assert system.dof == subject.dof == 8


def test_the_gate_is_five_standard_errors_and_wider_for_few_replicas_and_many_tests():
    assert limit(100_000) == pytest.approx(5.0, abs=0.01)
    assert limit(32) > 6
    assert limit(1024, 100) > limit(1024) + 0.5


# the command


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "500")
    (tmp_path / "plain.toml").write_text(PLAIN + '\n[system.prior]\nkind = "gaussian"\nvariance = 1.0\n')
    return tmp_path


def call(*words):
    app = typer.Typer()
    app.command()(command.validate)
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_thermostat_of_ones_own_passes(folder, seed):
    done = call(
        "--thermostat", f"{OWN}:Collisions", "--seed", seed, "--laws", "composition,kinetic,potential", "--json", "-"
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["passed"] is True
    assert [(p["pair"].split(" + ")[0], p["system"]) for p in found["pairs"]] == [
        (scheme, system) for scheme in ("BAOAB", "OBABO") for system in ("lattice", "linear")
    ]
    law = next(law for law in found["pairs"][0]["laws"] if law["name"] == "kinetic mean")
    assert set(law) == {"name", "value", "expected", "gate", "z", "verdict", "note"}
    assert (law["verdict"], law["expected"]) == ("pass", 1.0)
    assert len(OWN.read_text().splitlines()) < 40


@pytest.mark.parametrize(("name", "law"), [("TooLittleNoise", "kinetic mean"), ("ForgetsTime", "composition")])
def test_a_broken_thermostat_fails_by_name(folder, name, law):
    words = ["--thermostat", f"{BROKEN}:{name}(friction=0.7)", "--scheme", "BAOAB", "--system", "lattice"]
    done = call(*words, "--laws", "composition,kinetic", "--replicas", "512", "--json", "found.json")
    assert done.exit_code == 1
    assert f"FAIL BAOAB + {BROKEN}:{name}(friction=0.7) on lattice: " in done.stdout
    assert law in done.stdout.split("FAIL")[1]
    assert json.loads((folder / "found.json").read_text())["passed"] is False


def test_the_same_seed_gives_the_same_numbers(folder):
    words = ["--system", "lattice", "--scheme", "BAOAB", "--laws", "composition,kinetic", "--replicas", "64", "--json"]
    first, again, other = (call(*words, "-", "--seed", seed).stdout for seed in (3, 3, 4))
    assert first == again != other


def test_a_run_file_is_tested_with_its_own_pair(folder, seed):
    done = call(
        "plain.toml",
        "--set",
        f"run.seed={seed}",
        "--seed",
        seed,
        "--set",
        "integrator.dt=0.2",
        "--burn",
        "300",
        "--json",
        "-",
    )
    found = json.loads(done.stdout)["pairs"]
    assert done.exit_code == 0, found
    assert [(p["pair"], p["system"], p["replicas"], p["dt"]) for p in found] == [("BAOAB + langevin", "plain", 32, 0.2)]
    skipped = {law["name"] for law in found[0]["laws"] if law["verdict"] == "skipped"}
    assert skipped == {"bath energy", "positions", "potential energy"}


def test_a_run_file_is_tested_with_other_pairs(folder):
    done = call(
        "plain.toml", "--scheme", "OBABO", "--thermostat", "bussi", "--thermostat", f"{BROKEN}:TooLittleNoise",
        "--replicas", "64", "--dt", "0.1", "--laws", "kinetic,composition", "--burn", "500", "--json", "-",
    )  # fmt: skip
    right, wrong = json.loads(done.stdout)["pairs"]
    assert done.exit_code == 1
    assert (right["replicas"], right["dt"], right["passed"]) == (64, 0.1, True)
    assert "kinetic mean" in {law["name"] for law in wrong["laws"] if law["verdict"] == "fail"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--thermostat", "langevni"], "unknown thermostat 'langevni'; did you mean 'langevin'?"),
        (["--thermostat", "langevin(fricton=1)"], "unknown parameter 'fricton'; did you mean 'friction'?"),
        (["--thermostat", "langevin(1.0)"], "values are literals given by name"),
        (["--thermostat", "langevin(friction=open('x'))"], "values are literals given by name"),
        (["--thermostat", "langevin(friction=-1)", "--laws", "composition"], "friction = -1 must be"),
        (["--thermostat", "nothing.py:Bath"], "there is no file nothing.py"),
        (["--thermostat", "no_module:Bath"], "module 'no_module' cannot be imported"),
        (
            ["--thermostat", f"{BROKEN}:TooLittleNoize"],
            "unknown class 'TooLittleNoize'; did you mean 'TooLittleNoise'?",
        ),
        (["--thermostat", f"{BROKEN}:NoBathAtAll", "--laws", "force"], "needs the methods bath(p)"),
        (["--thermostat", f"{BROKEN}:NeedsMore", "--laws", "force"], "needs strength; write "),
        (["--scheme", "BAOAX"], "unknown scheme 'BAOAX'; did you mean 'BAOAB'?"),
        (["--scheme", "VERLET", "--thermostat", "langevin"], "has an O, so no thermostat would act"),
        (["--system", "latice"], "unknown system 'latice'; did you mean 'lattice'?"),
        (["--laws", "kinetics"], "unknown law 'kinetics'; did you mean 'kinetic'?"),
        (["--set", "run.steps=3"], "give FILE"),
        (["plain.toml", "--system", "lattice"], "--system is for the built-in systems"),
        (["plain.toml", "--set", "integrator.dt=[0.1]", "--set", "system.replicas=1"], "integrator"),
        (["nothing.toml"], "cannot read the run file nothing.toml"),
    ],
)
def test_an_error_is_one_message(folder, words, message):
    failed = call(*words)
    assert failed.exit_code == 1
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_file_that_cannot_be_imported_says_why(folder):
    (folder / "own.py").write_text("from nowhere import nothing")
    assert "ModuleNotFoundError: No module named 'nowhere'" in call("--thermostat", "own.py:Bath").stderr


@pytest.mark.parametrize("spec", ["langevin", "Langevin", "thermostats:Langevin", "thermostats.langevin:Langevin()"])
def test_a_thermostat_is_spelt_in_several_ways(spec):
    made = specs.thermostat(spec, temperature=0.3, time=4.0)
    assert repr(made) == "Langevin(temperature=0.3, friction=0.25)"


def test_what_a_spec_leaves_open_comes_from_the_system():
    made = specs.thermostat('nose-hoover-chain(group="layer", links=2)', temperature=0.3, sizes=(2, 4), time=3.0)
    assert (made.sizes, made.links, made.tau.item(), made.temperature.item()) == ((2, 4), 2, 1.5, 0.3)
    assert specs.thermostat("none", temperature=0.3) == NoBath()


def test_the_file_of_a_thermostat_may_stand_elsewhere(folder):
    made = specs.thermostat(f"{OWN.name}:Collisions(rate=2)", temperature=1.0, folder=OWN.parent)
    assert repr(made) == "Collisions(temperature=1.0, rate=2.0, kept=0.5)"


@pytest.mark.slow
def test_the_default_set_passes(folder, seed):
    done = call("--seed", seed)
    assert done.exit_code == 0, done.stdout
    assert "0 fail" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "auto-mpg", "harmonic"])
def test_the_other_systems_obey_mechanics(folder, name):
    done = call("--system", name, "--scheme", "BAOAB", "--laws", "force,order,reversal,conserved,composition")
    assert done.exit_code == 0, done.stdout


def test_every_law_is_tested_here():
    text = Path(__file__).read_text()
    assert all(f'"{name}"' in text or name.replace("-", " ") in text for name in LAWS)
