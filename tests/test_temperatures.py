"""Law: every thermometer reads the temperature, SGD's included, and what is not canonical is found out."""

import json
import math

import numpy as np
import pytest
import torch
from systems import LinearNetwork, Z
from typer.testing import CliRunner

import mdnet as md
import trajectories
from integrators import BAOAB, OBABO, SGD, Splitting
from thermostats import Berendsen, Langevin
from trajectories import Writer, thermodynamics
from trajectories.report import thermodynamics_figures as figures
from trajectories.report.drawing import Missing
from trajectories.storage.layout import Tensor

TEMPERATURE, STIFFNESS = 0.7, np.array([0.5, 1.0, 2.0, 4.0, 8.0])
LAYERS = [Tensor("weight", (3,), 0), Tensor("bias", (2,), 3)]


@pytest.fixture
def rng(seed, request):
    return np.random.default_rng([seed, len(request.node.name)])


def gaussian(rng, replicas=16, samples=400, temperature=TEMPERATURE):
    """Exact positions and gradients of U = sum k x^2/2 about x = 3."""
    q = 3 + np.sqrt(temperature / STIFFNESS) * rng.normal(size=(samples, replicas, 5))
    return q, STIFFNESS * (q - 3)


@pytest.mark.parametrize("replicas", [1, 16])
def test_thermometers_read_the_temperature_of_exact_samples(rng, replicas):
    q, g = gaussian(rng, replicas, 6400 // replicas)
    p = math.sqrt(TEMPERATURE) * rng.normal(size=q.shape)
    readings = {
        "kinetic": thermodynamics.kinetic_temperature(np.square(p).sum(-1) / 2, dof=5),
        "configurational": thermodynamics.configurational_temperature(
            np.square(g).sum(-1), np.full(q.shape[:2], STIFFNESS.sum())
        ),
        "virial": thermodynamics.virial_temperature(q, g),
        "virial about the mean": thermodynamics.virial_temperature(q, g, about=np.full(5, 3.0)),
        "virial, noisy": thermodynamics.virial_temperature(q, g + 2 * rng.normal(size=g.shape)),
    }
    for name, reading in readings.items():
        assert abs(reading.z(TEMPERATURE)) < Z, name
        assert abs(reading.z(2 * TEMPERATURE)) > Z, name
    assert readings["virial about the mean"].error < readings["virial"].error


def test_the_configurational_temperature_is_a_ratio_of_means(rng):
    """With a Laplacian that varies: U = x^4/4, |grad U|^2 = x^6, laplacian 3 x^2."""
    x2 = np.sqrt(4 * TEMPERATURE * rng.gamma(0.25, 1.0, (4000, 16)))
    found = thermodynamics.configurational_temperature(x2**3, 3 * x2)
    assert abs(found.z(TEMPERATURE)) < Z
    assert abs((x2**3 / (3 * x2)).mean() - TEMPERATURE) > 10 * found.error, "the mean of ratios is something else"


def sgd(rng, rate, decay=0.0, replicas=64, steps=1500, burn=500, noise=0.8, masses=1.0):
    """Positions and the gradients of the steps taken from them, on U = sum k x^2/2 with noise."""
    q, kept = np.zeros((replicas, 5)), []
    for step in range(steps):
        g = STIFFNESS * q + noise * rng.normal(size=q.shape)
        if step >= burn:
            kept.append((q, g))
        q = q - rate / masses * (g + decay * q)
    return tuple(np.stack(one) for one in zip(*kept, strict=True))


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.2])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_sgd_has_the_exact_temperature_at_any_learning_rate(rng, rate, decay):
    """Of a mode h the mean of (h + decay) x^2 is lr s^2/(2 - lr (h + decay)), with no limit taken."""
    q, g = sgd(rng, rate, decay)
    exact = np.mean(rate * 0.8**2 / (2 - rate * (STIFFNESS + decay)))
    found = thermodynamics.fluctuation_dissipation_temperature(q, g, learning_rate=rate, weight_decay=decay)
    assert abs(found.dissipation.z(exact)) < Z
    assert abs(found.fluctuation.z(exact)) < Z
    assert abs(found.z) < Z
    if rate == 0.2:  # the continuous limit is far off
        assert abs(found.dissipation.z(rate * 0.8**2 / 2)) > 3 * Z
        other = thermodynamics.fluctuation_dissipation_temperature(q, g, learning_rate=1.2 * rate, weight_decay=decay)
        assert abs(other.z) > Z, "a wrong learning rate breaks the law"


def test_masses_weigh_the_steps_of_sgd(rng):
    masses = np.array([1.0, 2.0, 4.0, 1.0, 3.0])
    q, g = sgd(rng, 0.15, masses=masses)
    exact = np.mean(0.15 / masses * 0.8**2 / (2 - 0.15 / masses * STIFFNESS))
    found = thermodynamics.fluctuation_dissipation_temperature(q, g, learning_rate=0.15, masses=masses)
    assert abs(found.dissipation.z(exact)) < Z
    assert abs(found.fluctuation.z(exact)) < Z


def test_sgd_that_still_moves_is_found_out(rng):
    q, g = sgd(rng, 0.002, steps=300, burn=0)
    found = thermodynamics.fluctuation_dissipation_temperature(q + 2, g + 2 * STIFFNESS, learning_rate=0.002)
    assert abs(found.z) > Z
    with pytest.raises(ValueError, match="must be positive"):
        thermodynamics.fluctuation_dissipation_temperature(q, g, learning_rate=0.0)


@pytest.mark.parametrize("replicas", [1, 16])
def test_two_canonical_distributions_have_an_exponential_ratio(rng, replicas):
    shape = (6400 // replicas, replicas)
    low, high = rng.gamma(5.0, 1.0, shape), rng.gamma(5.0, 1.3, shape)
    found = thermodynamics.distribution_slope(low, high, 1.0, 1.3)
    assert abs(found.z(1.0)) < Z
    assert found.error < 0.1
    narrow = 5 + 0.7 * (low - 5), 6.5 + 0.7 * (high - 6.5)
    assert thermodynamics.distribution_slope(*narrow, 1.0, 1.3).z(1.0) > Z
    with pytest.raises(trajectories.TrajectoryError, match="do not overlap"):
        thermodynamics.distribution_slope(low, high + 1000, 1.0, 1.3)


def write(path, rng, *, levels, frames=60, replicas=16, spoil=None, force=True, half=False, drift=0.0):
    """A file of exact canonical samples; `spoil` changes (velocities, observables) before they are written."""
    sizes = np.broadcast_to(levels, replicas)[:, None]
    masses = np.array([1.0, 1.0, 1.0, 2.0, 2.0])
    with Writer.create(path, table=LAYERS, replicas=replicas, masses=masses, dtype="float64", parameters={}) as writer:
        for step in range(1, frames + 1):
            q = np.sqrt(sizes / STIFFNESS) * rng.normal(size=(replicas, 5))
            v = np.sqrt(sizes / masses) * rng.normal(size=(replicas, 5))
            if spoil:
                v = spoil(v)
            fields = {"force": -STIFFNESS * q} if force else {}
            shown = v - 0.5 * STIFFNESS * q / masses if half else v  # the step, of dt = 1, ended with a kick
            writer.frame(step, float(step), position=q, velocity=shown, **fields)
            kinetic = (masses * v**2).sum(-1) / 2
            on_step = (masses * shown**2).sum(-1) / 2
            potential = (STIFFNESS * q**2).sum(-1) / 2
            rows = {
                "potential_energy": potential, "kinetic_energy": on_step, "temperature": 2 * on_step / 5,
                "set_temperature": sizes[:, 0], "conserved": 1.0 + drift * step + 1e-6 * rng.normal(size=replicas),
                "gradient_squared": np.square(STIFFNESS * q).sum(-1), "laplacian": np.full(replicas, STIFFNESS.sum()),
            }  # fmt: skip
            if half:
                rows["half_step_temperature"] = 2 * kinetic / 5
            for name, row in rows.items():
                writer.observable(name, step, float(step), row)
    return path


def checked(path, **options):
    with trajectories.open(path) as run:
        return {one.name: one for one in thermodynamics.canonical_checks(run, **options)}


def test_canonical_samples_pass_every_check(rng, tmp_path):
    levels = np.repeat([0.5, 0.7, 1.0, 1.4], 8)
    found = checked(write(tmp_path / "a.h5", rng, levels=levels, replicas=32))
    assert {one.verdict for one in found.values()} == {"passed"}, found
    assert set(found) == {
        "kinetic energy, mean", "kinetic energy, width", "kinetic energy, distribution", "conserved quantity, change",
        "configurational temperature", "two temperatures, slope", "equipartition",
    }  # fmt: skip
    with trajectories.open(tmp_path / "a.h5") as run:
        readings = thermodynamics.temperatures(run)
    assert [one.name for one in readings] == ["kinetic", "configurational", "virial"]
    assert all(abs(one.z) < Z and one.expected == 1 for one in readings)


def test_readings_have_the_unit_of_a_single_temperature(rng, tmp_path):
    with trajectories.open(write(tmp_path / "a.h5", rng, levels=0.7)) as run:
        for one in thermodynamics.temperatures(run):
            assert one.expected == 0.7
            assert abs(one.value.z(0.7)) < Z
            assert abs(one.value.value - 0.7) < 0.1
    found = checked(tmp_path / "a.h5")
    assert found["two temperatures"].verdict == "open"
    assert "one temperature only" in found["two temperatures"].note


def hot_bias(v):
    return v * np.array([1, 1, 1, 1.3, 1.3])


def narrowed(v):
    """Every replica at exactly T, as a thermostat without fluctuations has it."""
    return v * math.sqrt(0.7 * 5) / np.sqrt((np.array([1, 1, 1, 2, 2]) * v**2).sum(-1, keepdims=True))


@pytest.mark.parametrize(
    ("spoil", "failing"),
    [(hot_bias, "equipartition"), (narrowed, "kinetic energy, width"), (lambda v: 1.2 * v, "kinetic energy, mean")],
)
def test_what_is_not_canonical_fails(rng, tmp_path, spoil, failing):
    found = checked(write(tmp_path / "a.h5", rng, levels=0.7, spoil=spoil))
    assert found[failing].verdict == "failed"
    assert found["configurational temperature"].verdict == "passed"
    if spoil is hot_bias:
        assert "bias" in found["equipartition"].note
        assert found["equipartition"].value == pytest.approx(1.69, rel=0.1)
        forgiving = checked(tmp_path / "a.h5", tolerance=1.0)
        assert forgiving["equipartition"].verdict == "passed"


def test_a_drift_counts_once_it_is_as_large_as_the_fluctuations(rng, tmp_path):
    """Sixty steps, where the kinetic energy fluctuates by 0.7 sqrt(5/2) = 1.1."""
    for drift, verdict in ((0.005, "passed"), (0.05, "failed")):
        found = checked(write(tmp_path / f"{drift}.h5", rng, levels=0.7, drift=drift), start=1)
        change = found["conserved quantity, change"]
        assert change.verdict == verdict
        assert change.value == pytest.approx(drift * 59 / (0.7 * math.sqrt(2.5)), rel=1e-3)


@pytest.mark.parametrize("force", [True, False])
def test_a_closing_kick_is_taken_back_from_the_velocities(rng, tmp_path, force):
    found = checked(write(tmp_path / "a.h5", rng, levels=0.7, force=force, half=True, frames=100))
    if force:
        assert found["equipartition"].verdict == "passed"
        assert found["kinetic energy, mean"].note == "momenta at the half step"
        assert found["kinetic energy, mean"].verdict == "passed"
    else:
        assert found["equipartition"].verdict == "open"
        assert "force=True" in found["equipartition"].note


def test_blocks_of_frames_change_nothing(rng, tmp_path, monkeypatch):
    path = write(tmp_path / "a.h5", rng, levels=0.7, half=True)
    whole = checked(path)
    with trajectories.open(path) as run:
        readings = thermodynamics.temperatures(run)
    monkeypatch.setattr("trajectories.thermodynamics.frames._BYTES", 8 * 16 * 5 * 7)  # seven frames
    assert checked(path)["equipartition"] == whole["equipartition"]
    with trajectories.open(path) as run:
        assert thermodynamics.temperatures(run) == readings


def run_network(folder, seed, bath, scheme=BAOAB, replicas=24, steps=1000, step=0.6, frames=True):
    torch.manual_seed(seed)
    network = LinearNetwork(replicas)
    engine = Splitting(scheme, network.system.force, step / network.largest_frequency(), bath)
    reporters = [md.Scalars(5), md.ConfigurationalTemperature(10)]
    if frames:
        reporters.append(md.Frames(10, velocity=True, force=True))
    md.Simulation(network.system, engine, output=folder, seed=seed, reporters=reporters).run(steps, progress=False)
    return folder


def test_a_real_run_passes_and_one_with_a_false_bath_fails(tmp_path, seed):
    good = checked(run_network(tmp_path / "good", seed, Langevin(1.0, friction=3.0), step=0.3))
    assert not [one for one in good.values() if one.verdict == "failed"], good
    assert good["equipartition"].verdict == "passed"
    bad = checked(run_network(tmp_path / "bad", seed, Berendsen(1.0, tau=0.2), OBABO, frames=False))
    assert bad["kinetic energy, width"].verdict == "failed"
    assert bad["equipartition"].verdict == "open"


def test_sgd_in_a_file_has_a_temperature(tmp_path, seed):
    torch.manual_seed(seed)
    network = LinearNetwork(32)
    rate = 0.3 / network.largest_frequency() ** 2
    engine = SGD(network.system.minibatch(6, replace=True), rate, weight_decay=0.5)
    md.Simulation(
        network.system, engine, output=tmp_path, seed=seed, reporters=[md.Scalars(10), md.Frames(10, force=True)]
    ).run(2000, progress=False)
    with trajectories.open(tmp_path) as run:
        readings = {one.name: one for one in thermodynamics.temperatures(run)}
        with pytest.raises(trajectories.NotRecorded, match="set_temperature"):
            thermodynamics.canonical_checks(run)
    assert set(readings) == {"virial", "SGD, dissipation", "SGD, fluctuation"}
    one, other = readings["SGD, dissipation"].value, readings["SGD, fluctuation"].value
    assert abs(one.value - other.value) < Z * math.hypot(one.error, other.error)
    assert one.error < 0.2 * one.value
    assert math.isnan(readings["virial"].expected)


def test_the_command_prints_a_table_and_its_code_tells_failure(rng, tmp_path):
    import typer

    from trajectories.commands.check import check

    app = typer.Typer()
    app.command()(check)
    write(tmp_path / "good.h5", rng, levels=0.7)
    write(tmp_path / "bad.h5", rng, levels=0.7, spoil=hot_bias)
    good = CliRunner().invoke(app, [str(tmp_path / "good.h5")])
    assert good.exit_code == 0, good.output
    assert "equipartition" in good.output
    bad = CliRunner().invoke(app, [str(tmp_path / "bad.h5"), "--json"])
    assert bad.exit_code == 1
    told = {one["name"]: one for one in json.loads(bad.stdout)}
    assert told["equipartition"]["verdict"] == "failed"
    assert told["two temperatures"]["value"] is None
    forgiven = CliRunner().invoke(app, [str(tmp_path / "bad.h5"), "--tolerance", "1"])
    assert forgiven.exit_code == 0
    assert CliRunner().invoke(app, [str(tmp_path / "none.h5")]).exit_code == 1


def test_figures_are_drawn_or_say_what_is_missing(rng, tmp_path):
    levels = np.repeat([0.5, 0.7, 1.0, 1.4], 4)
    write(tmp_path / "ladder.h5", rng, levels=levels, frames=200)
    with trajectories.open(tmp_path / "ladder.h5") as run:
        for title, draw in figures.drawn(run).items():
            picture = draw(run)
            assert picture.svg.startswith("<svg"), title
            assert "nan" not in picture.caption, title
    write(tmp_path / "one.h5", rng, levels=0.7)
    with trajectories.open(tmp_path / "one.h5") as run:
        for draw in (figures.heat_capacity, figures.free_energies, figures.microcanonical):
            with pytest.raises(Missing, match=r"1 set temperature"):
                draw(run)
        assert "virial" in figures.temperatures(run).svg


def test_the_kinetic_law_counts_the_coordinates_that_frames_leave_out(rng, tmp_path):
    """Energies of 12 coordinates, of which the file keeps 5: at N_f = 5 they would look too narrow by far."""
    temperature = rng.gamma(6, TEMPERATURE / 6, size=(300, 16))  # 2K/N_f, N_f = 12
    verdicts = {}
    for name, parameters in {"told": {"system": {"dof": 12}}, "not told": {}}.items():
        path = tmp_path / f"{name}.h5"
        with Writer.create(path, table=LAYERS, replicas=16, masses=np.ones(5), parameters=parameters) as writer:
            for step, row in enumerate(temperature):
                writer.observable("temperature", step, float(step), row)
                writer.observable("set_temperature", step, float(step), np.full(16, TEMPERATURE))
        verdicts[name] = checked(path)["kinetic energy, width"].verdict
    assert verdicts == {"told": "passed", "not told": "failed"}
