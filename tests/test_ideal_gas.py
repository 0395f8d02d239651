"""SGD as an ideal gas: the exact toy, one grid of states reached by three protocols, and claims that can fail."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import typer
from scipy.integrate import quad
from typer.testing import CliRunner

import trajectories
from mdnet.experiments.ideal_gas import checks, commands, toy
from mdnet.experiments.ideal_gas.digits import DIGITS
from mdnet.experiments.ideal_gas.measured import Measured
from mdnet.experiments.ideal_gas.method import PROTOCOLS, shortened
from mdnet.experiments.ideal_gas.sweeps import planned, sweeps
from mdnet.experiments.ideal_gas.toy import TOY
from mdnet.experiments.stages import Stages
from mdnet.recording import OutputExistsError
from trajectories import sgd

SMALL = replace(TOY, effective=(0.03, 0.045, 0.0675), radii=(0.7, 1.0, 1.4), seeds=8, burn=200, stride=15, looks=120)
SILENT = Stages(lambda stage, seconds: None)


@pytest.fixture(scope="module")
def found(tmp_path_factory, seed):
    """A small grid of the toy by all protocols."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MDNET_ROUTE", raising=False)
        return sweeps(SMALL, tmp_path_factory.mktemp("gas"), stages=SILENT, seed=seed % 97, progress=False)


def exact(protocol, *, dimension=3, field=1.0, seed=0):
    """What a run would show of an ideal gas, but for the factor by which its entropy grows too fast with the radius."""
    grid = TOY.grid(np.full(len(TOY.effective), dimension - 1.0))
    noise = 1 + 1e-3 * np.random.default_rng(seed).standard_normal((7, len(grid.radius), 4))
    square = grid.radius[:, None] ** 2 * noise[0]
    temperature = grid.effective[:, None] / 2 * noise[1]
    trace = grid.noise[:, None] * noise[2]
    entropy = np.log(temperature) + field * (dimension - 1) * np.log(grid.radius)[:, None] + 0.02 * (noise[3] - 1)
    energy = toy.energy(temperature)
    return Measured(
        protocol, grid, dimension, energy=energy, square=square, noise=trace, gradient=0 * trace, push=trace * noise[4],
        entropy=entropy, moved=np.zeros(len(grid.radius), bool),
    )  # fmt: skip


def test_toy_energy():
    """Law: the least squares of the toy are 1 + mu.w/|w|, whatever |w|."""
    system = toy.system(64)
    q = 3 * torch.randn(64, 3, dtype=torch.float64)
    torch.testing.assert_close(system.energy(q), 1 + q[:, 2] / q.norm(dim=1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.01, 0.3, 2.0])
def test_canonical_law(temperature):
    """Law: <L> and S of exp(-L/T) on the sphere are integrals over z = mu.w/|w|, uniform in area."""
    weight = quad(lambda x: np.exp(-x / temperature), 0, 2, points=[10 * temperature][: temperature < 0.2])[0]
    mean = (
        quad(lambda x: x * np.exp(-x / temperature), 0, 2, points=[10 * temperature][: temperature < 0.2])[0] / weight
    )
    assert toy.energy(temperature) == pytest.approx(mean, rel=1e-9)
    assert toy.entropy(temperature) == pytest.approx(mean / temperature + np.log(2 * np.pi * weight), rel=1e-9)
    assert toy.thermometer(np.array([mean])) == pytest.approx(temperature, rel=1e-9)


def test_protocols_share_states():
    """Law: each protocol's own law gives the grid's T = e sigma^2/2 and, with its decay, the grid's radius."""
    noise, dimension = np.array([2.0, 3.0, 5.0, 7.0, 11.0]), 12
    grid = TOY.grid(noise)
    sigma2, wanted = grid.noise / (dimension - 1), grid.effective * grid.noise / (dimension - 1) / 2
    told = {
        "sphere": sgd.sphere_temperature(grid.rate("sphere"), grid.radius, sigma2),
        "elr": sgd.effective_rate_temperature(grid.rate("elr"), sigma2),
        "lr": sgd.fixed_rate_temperature(grid.rate("lr"), grid.decay, sigma2, dimension),
    }
    for temperature in told.values():
        np.testing.assert_allclose(temperature, wanted, rtol=1e-12)
        np.testing.assert_allclose(sgd.stationary_radius(temperature, grid.decay, dimension), grid.radius, rtol=1e-12)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_toy_is_ideal(found, protocol):
    """Law: a short run of the toy has p V = R T but for terms of order e, and its entropy's slope, at Z = 5."""
    one = found.measured[protocol]
    ratio = sgd.over_seeds((one.pressure * one.square / (one.dimension - 1) / one.temperature).mean(axis=0))
    first = 1 + (one.gradient / one.noise).mean() * (0.5 if protocol == "lr" else 1.0)
    assert abs(ratio.value - first) < 5 * ratio.error + 0.005
    assert abs(one.maxwell.deviation.value) < 5 * one.maxwell.deviation.error + 0.01


@pytest.mark.parametrize("protocol", ["elr", "lr"])
def test_one_step_keeps_the_radius(found, protocol):
    """Law: r is that at which one step keeps |w|^2, nearer than that of the ideal gas."""
    one = found.measured[protocol]
    step, ideal = (one.radius(discrete=discrete) for discrete in (True, False))
    assert abs(step.value.mean() - 1) < 5 * np.sqrt(np.square(step.error).mean() / len(step.error)) + 0.002
    assert abs(step.value.mean() - 1) < abs(ideal.value.mean() - 1)


def test_written_sweep(found):
    """The file of a run tells its grid as offline analysis reads it, and no two protocols saw the same noise."""
    for path, protocol in zip(found.runs, PROTOCOLS, strict=True):
        with trajectories.open(path / "trajectory.h5") as run:
            told = sgd.sweep(run)
        one = found.measured[protocol]
        assert told.protocol == protocol
        assert len(told.seeds) == SMALL.seeds
        np.testing.assert_allclose(told.rates, one.rate[:, 0])
        if protocol != "sphere":
            np.testing.assert_allclose(told.points["decay"], one.decay[:, 0])
    a, b, c = (found.measured[name].energy for name in PROTOCOLS)
    assert not any(np.isclose(x, y, rtol=1e-3).mean() > 0.2 for x, y in ((a, b), (b, c), (a, c)))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_claims_hold_and_fail(protocol):
    """Every claim holds of an ideal gas and fails of one that is none."""
    good = exact(protocol)
    for claim in (checks.state, checks.maxwell, checks.thermal):
        assert claim(good).holds
    assert not checks.maxwell(exact(protocol, field=1.1)).holds
    assert not checks.thermal(replace(good, energy=1.1 * good.energy)).holds
    assert not checks.state(replace(good, noise=good.noise / 1.2)).holds
    assert checks.least(good).holds
    assert not checks.least(replace(good, entropy=good.entropy[::-1])).holds
    if protocol != "sphere":
        assert checks.radius(good).holds
        assert not checks.radius(replace(good, square=1.1 * good.square)).holds


def test_products_can_fail():
    """Energies that know the decay, too, are told; energies that do not know the product fail the control."""
    good = exact("lr")
    assert all(check.holds for check in checks.products(good))
    same, other = checks.products(replace(good, energy=good.energy * (1 + 0.01 * good.grid.radius[:, None])))
    assert (same.holds, other.holds) == (False, True)
    same, other = checks.products(
        replace(good, energy=1 + 0 * good.energy + 1e-3 * good.square / good.square.mean(1)[:, None])
    )
    assert (same.holds, other.holds) == (True, False)


def test_refusals(tmp_path):
    """What cannot be run is refused before anything runs: unknown names, runs that are there, too few seeds."""
    (tmp_path / "lr").mkdir()
    (tmp_path / "lr" / "trajectory.h5").touch()
    with pytest.raises(OutputExistsError, match="lr holds a run already"):
        sweeps(SMALL, tmp_path, stages=SILENT, progress=False)
    assert not (tmp_path / "sphere").exists()
    with pytest.raises(ValueError, match="protocol"):
        planned(SMALL, ["spheres"])
    with pytest.raises(ValueError, match="seeds = 1"):
        shortened(SMALL, seeds=1)
    assert planned(DIGITS, ["lr"]) == ["sphere", "lr"]
    assert planned(TOY, ["lr"]) == ["lr"]


def test_digits_follow_the_sphere(tmp_path, monkeypatch, seed):
    """Law: at a fixed rate the network settles at the radius that one step keeps, from the noise measured before."""
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    small = replace(DIGITS, effective=(0.016, 0.028), radii=(1.0, 2.0), seeds=3, burn=300, settle=300, looks=60)
    found = sweeps(small, tmp_path, ["lr"], stages=SILENT, seed=seed % 97, progress=False)
    one = found.measured["lr"]
    ratio = one.radius(discrete=True)
    assert found.foretold is not None
    assert found.foretold.shape == (2,)
    assert np.abs(ratio.value - 1).max() < 0.05


def test_command(tmp_path, monkeypatch):
    """The command writes a page for each model, and ends with 1 where a check fails."""
    app = typer.Typer()
    app.command()(commands.ideal_gas)
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    monkeypatch.setattr(commands, "GASES", {"toy": replace(SMALL, radii=(1.0, 1.4))})
    asked = ["--protocol", "elr", "--out", str(tmp_path), "--seeds", "4", "--looks", "200"]
    first = CliRunner().invoke(app, asked)
    assert first.exit_code == 0, first.output
    content = json.loads((tmp_path / "toy" / "results.json").read_text())
    assert content["runs"] == ["elr"]
    assert (tmp_path / "toy" / "report.html").exists()
    assert [study["name"] for study in content["studies"]] == ["state", "radius", "maxwell", "gibbs", "thermal"]
    assert CliRunner().invoke(app, asked).exit_code != 0  # the run is there
    table = content["rows"]
    assert CliRunner().invoke(app, [*asked, "--resume"]).exit_code == 0  # nothing is left to do
    assert json.loads((tmp_path / "toy" / "results.json").read_text())["rows"] == table
    monkeypatch.setattr(checks, "STATE", 1e-6)
    assert CliRunner().invoke(app, [*asked, "--check", "--force"]).exit_code == 1
    assert CliRunner().invoke(app, ["--model", "gas"]).exit_code != 0


@pytest.mark.slow
def test_f5(seed, monkeypatch):
    """Law: all claims on the toy and on digits hold, with their controls."""
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    failed = [check for check in checks.f5(seed % 97, progress=False) if not check.holds]
    assert not failed, failed
