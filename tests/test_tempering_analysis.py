"""Law: what a file tells of a tempered run is what happened, and its free energies are exact."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from systems import HARMONIC, LinearNetwork, Z
from test_tempering import METHODS, Tempered, begin, drive, linear

import mdnet as md
import trajectories
from integrators import VERLET, Splitting
from mdnet.tempering import PopulationAnnealing, ReplicaExchange, SimulatedTempering, geometric
from trajectories import Writer, annealing, report, statistics, tempering, thermodynamics

LADDER = geometric(0.5, 6.0, 5)
TITLES = ("overlap of energies", "acceptance", "walk through the ladder")


class Counted(ReplicaExchange):
    """Keeps count of what it accepts by itself."""

    def __call__(self, step, phase):
        before = self.rung.clone()
        report = super().__call__(step, phase)
        self.moves = [*getattr(self, "moves", []), (before, self.rung.clone())]
        return report


def exchanged(folder, what="all", ladder=LADDER, ladders=8, steps=1200):
    torch.manual_seed(11)
    action = Counted(ladder, every=4, tempered=what)
    _, run = linear(action, ladders * len(ladder), output=folder, reporters=[md.Scalars(40)])
    run.run(steps, progress=False)
    return action


@pytest.fixture(scope="module")
def runs(tmp_path_factory, seed):
    """One run of each method on the linear network, in files."""
    torch.manual_seed(seed)
    root = tmp_path_factory.mktemp("tempered")
    action = exchanged(root / "exchange")
    walker = SimulatedTempering(LADDER, every=4, learn=1000)
    linear(walker, 16, output=root / "walk", seed=seed)[1].run(2200, progress=False)
    cooler = PopulationAnnealing(LADDER.flip(0), every=60, populations=8)
    linear(cooler, 128, output=root / "anneal", seed=seed)[1].run(260, progress=False)
    return root, action


def read(folder, **options):
    with trajectories.open(folder) as run:
        return tempering.walk(run, **options)


def free_energies(folder, start=None):
    with trajectories.open(folder) as run:
        return thermodynamics.mbar(thermodynamics.energies_by_temperature(run, start=start))


def test_the_file_tells_what_the_action_did(runs):
    root, action = runs
    found = read(root / "exchange")
    assert found.ladder == pytest.approx(LADDER.numpy(), rel=1e-15)
    before, after = (torch.stack(x).numpy() for x in zip(*action.moves, strict=True))
    np.testing.assert_array_equal(found.rung, after)
    rate, _, tries = tempering.acceptance(found)
    for pair in range(4):
        ups = ((before == pair) & (after == pair + 1)).sum()
        tried = 8 * sum(attempt % 2 == pair % 2 for attempt in range(len(before)))
        assert tries[pair] == tried
        assert rate[pair] == ups / tried


def test_the_rung_is_that_of_the_reports_at_the_same_step(runs):
    with trajectories.open(runs[0] / "exchange") as run:
        found, scalars = tempering.walk(run), run.observables["set_temperature"]
        same = np.isin(found.steps, scalars.steps)
        np.testing.assert_allclose(scalars.values[1:], found.ladder[found.rung[same]], rtol=1e-15)
        np.testing.assert_array_equal(run.observables["potential_energy"].values[1:], found.energy[same])


@pytest.mark.parametrize("name", ["exchange", "walk"])
def test_means_and_free_energies_of_every_rung_are_exact(runs, name):
    start = 300 if name == "exchange" else None
    network, found = LinearNetwork(1), read(runs[0] / name, start=start)
    assert found.steps[0] == (304 if name == "exchange" else 1004)
    for estimate, temperature in zip(tempering.mean_energies(found), LADDER.tolist(), strict=True):
        assert abs(estimate.z(network.mean_energy(temperature))) < Z
    result = free_energies(runs[0] / name, start)
    exact = np.array([network.log_z(t) - network.log_z(0.5) for t in LADDER.tolist()])
    assert result.log_z[0] == 0
    assert (np.abs(result.log_z - exact)[1:] < Z * result.error[1:]).all()
    assert (result.error[1:] < 0.2).all()
    assert (np.abs(result.log_z - 1.05 * exact)[1:] > Z * result.error[1:]).all(), "a twentieth more would be seen"


def test_free_energies_of_the_loss_are_exact(tmp_path):
    ladder = geometric(1.0, 10.0, 4)
    exchanged(tmp_path, "loss", ladder)
    result = free_energies(tmp_path, start=200)
    exact = np.array([Tempered(LinearNetwork(1), t, 1.0).log_z for t in ladder.tolist()])
    assert (np.abs(result.log_z - exact + exact[0])[1:] < Z * result.error[1:]).all()
    assert (result.error[1:] < 0.2).all()


def test_annealing_tells_free_energies_and_families(runs):
    with trajectories.open(runs[0] / "anneal") as run:
        found = annealing.stages(run)
        log_z, family = (run.observables[f"tempering/{name}"].values for name in ("log_z", "family"))
    network = LinearNetwork(1)
    exact = np.array([network.log_z(t) - network.log_z(6.0) for t in found.ladder])
    assert found.ladder == pytest.approx(LADDER.flip(0)[1:].numpy())
    assert found.error == pytest.approx(log_z[:, ::16].std(axis=1, ddof=1) / 8**0.5)
    bias = log_z[:, ::16].var(axis=1) / 2  # of the logarithm of an unbiased mean
    assert (np.abs(found.log_z - exact) < Z * found.error + bias).all()
    assert found.families == pytest.approx([len(set(row)) / 8 for row in family])
    assert ((found.rho >= 1) & (found.rho <= 16)).all()
    assert (np.diff(found.rho) >= -1e-12).all()


def synthetic(rung, *, steps=None, accepted=None, pair=None, energy=None, ladder=(1.0, 2.0, 4.0)):
    rung = np.asarray(rung)
    none = np.full(rung.shape, -1)
    return tempering.Walk(
        np.asarray(ladder),
        np.arange(1, len(rung) + 1) * 10 if steps is None else steps,
        rung,
        none if pair is None else pair,
        none if accepted is None else accepted,
        np.zeros(rung.shape) if energy is None else energy,
    )


def store(path, found):
    """Write a walk as a run of replica exchange would."""
    told = {"tempering": {"ladder": found.ladder.tolist(), "method": "ReplicaExchange"}}
    replicas = found.rung.shape[1]
    with Writer.create(path, table=[("w", (1,), 0)], replicas=replicas, masses=np.ones(1), parameters=told) as writer:
        for row, step in enumerate(found.steps):
            for name in ("rung", "pair", "accepted", "energy"):
                writer.observable(f"tempering/{name}", int(step), float(step), getattr(found, name)[row])
            writer.observable("set_temperature", int(step), float(step), found.ladder[found.rung[row]])
            writer.observable("potential_energy", int(step), float(step), found.energy[row])


def test_round_trips_are_counted_from_bottom_to_bottom():
    walks = np.array([[0, 1, 2, 1, 0, 1, 0, 1, 2, 2, 1, 0], [2, 1, 0, 1, 1, 1, 2, 1, 0, 1, 2, 1]]).T
    found = tempering.round_trips(synthetic(walks))
    assert found.trips.tolist() == [2, 1]
    assert found.time.value == pytest.approx((40 + 70 + 60) / 3)
    assert found.upward[0] == 1
    assert found.upward[2] == 0
    assert found.upward[1] == pytest.approx(7 / 12)  # of the visits to the middle rung, counted by hand
    none = tempering.round_trips(synthetic(np.ones((5, 2), dtype=int)))
    assert none.trips.sum() == 0
    assert np.isnan(none.time.value)
    assert np.isnan(none.upward).all()


class DrawsLots(ReplicaExchange):
    """Draws at random whether even or odd pairs exchange."""

    def __call__(self, step, phase):
        self.attempts = int(torch.randint(2, ()))
        return super().__call__(step, phase)


def test_pairs_that_take_turns_make_shorter_round_trips():
    times = []
    for rule in (ReplicaExchange, DrawsLots):
        action = rule(geometric(0.5, 16.0, 12), every=2)
        seen = drive(action, *begin(HARMONIC, 192, action, METHODS["BAOAB"]), 1500, burn=100)
        rung = seen.rung.numpy()
        times.append(tempering.round_trips(synthetic(rung, ladder=action.ladder)).time)
    turns, lots = times
    assert 1.3 * turns.value + Z * (turns.error + lots.error) < lots.value


def test_occupation_is_the_share_of_attempts():
    found = tempering.occupation(synthetic(np.array([[0, 1, 1, 2], [2, 2, 2, 2]]).T))
    assert found.tolist() == [[0.25, 0.5, 0.25], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize("replicas", [1, 40], ids=["blocks of time", "independent replicas"])
def test_standard_errors_are_the_scatter_of_repetitions(replicas):
    rng = np.random.default_rng(3)
    values, errors = [], []
    for _ in range(200):
        shape = (2000 // replicas, replicas)
        place, accepted = rng.integers(0, 2, shape), rng.random(shape) < 0.3
        rung = rng.integers(0, 3, shape)
        energy = rung + rng.normal(size=shape)
        found = synthetic(rung, pair=place, accepted=accepted.astype(int), energy=energy)
        mean = tempering.mean_energies(found)[1]
        rate = tempering.acceptance(found)
        values.append([mean.value, rate.rate[0]])
        errors.append([mean.error, rate.error[0]])
    assert np.mean(values, axis=0) == pytest.approx([1.0, 0.3], abs=0.01)
    assert np.mean(errors, axis=0) == pytest.approx(np.std(values, axis=0), rel=0.2)


def test_a_ladder_of_replicas_is_one_sample_and_a_walker_is_its_own():
    full = np.stack([np.random.default_rng(0).permuted(np.tile(np.arange(3), (4, 1)), axis=1) for _ in range(9)])
    assert synthetic(full.reshape(9, 12)).units.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert synthetic(np.zeros((9, 3), dtype=int)).units.tolist() == [0, 1, 2]


def test_energies_keep_their_correlation_whatever_the_rung(runs):
    """Every attempt five times over makes five times fewer of them independent."""
    found = read(runs[0] / "exchange", start=300)
    repeated = np.repeat(reduced := tempering.reduced_energies(found), 5, axis=0)
    assert statistics.inefficiency(repeated) == pytest.approx(5 * statistics.inefficiency(reduced), rel=0.3)


def test_what_is_missing_is_told(runs, tmp_path):
    _, run = linear(SimulatedTempering(LADDER, weights=[0.0] * 5), 3, output=tmp_path, reporters=[md.Scalars(1)])
    run.run(4, progress=False)
    with trajectories.open(tmp_path) as run, pytest.raises(trajectories.NotRecorded, match="tempering/rung"):
        tempering.walk(run)
    with trajectories.open(runs[0] / "walk") as run:
        with pytest.raises(ValueError, match="none of them after step 9000"):
            tempering.walk(run, start=9000)
        run.parameters.pop("tempering")
        with pytest.raises(trajectories.NotRecorded, match="give ladder="):
            tempering.walk(run)
        assert tempering.walk(run, ladder=LADDER).rungs == 5
    store(tmp_path / "stuck.h5", synthetic(np.zeros((9, 2), dtype=int)))
    with pytest.raises(trajectories.TrajectoryError, match=r"rung 1 of .* holds no sample"):
        free_energies(tmp_path / "stuck.h5", start=0)


def test_without_pymbar_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymbar", None)
    with pytest.raises(trajectories.TrajectoryError, match=r"pip install mdnet\[validate\]"):
        thermodynamics.mbar(thermodynamics.Ladder(np.array([1.0, 2.0]), [np.ones((9, 1))] * 2))


def test_pymbar_is_silent_at_import_and_other_loggers_are_left_alone():
    name = "trajectories.thermodynamics.pymbar_quietly"
    code = f"import logging; from {name} import mbar_class; mbar_class(); logging.warning('heard')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr.strip() == "WARNING:root:heard"


def test_the_report_shows_how_replicas_walked(runs):
    root, _ = runs
    page = report.write([root / "exchange", root / "walk", root / "anneal"], root / "report.html").read_text()
    page = page.replace("</h3>\n", "</h3>")
    for method in ("Replica exchange", "Simulated tempering"):
        for title in TITLES:
            assert f"<h3>{method}: {title}</h3><svg" in page
    assert "<h3>Population annealing</h3><svg" in page
    assert "round trips of 40 replicas" in page
    assert "could not be drawn" not in page


def test_an_ordinary_run_has_no_ladder_in_its_report(tmp_path):
    system = LinearNetwork(2).system
    md.Simulation(system, Splitting(VERLET, system.force, 0.05), output=tmp_path).run(10, progress=False)
    assert "exchange" not in report.write([tmp_path], tmp_path).read_text()


def test_a_figure_that_cannot_be_drawn_says_why(runs, tmp_path, monkeypatch):
    linear(ReplicaExchange(LADDER, every=5), 5, output=tmp_path)[1].run(8, progress=False)
    monkeypatch.setitem(sys.modules, "pymbar", None)
    page = report.write([runs[0] / "exchange", tmp_path], tmp_path).read_text()
    assert "pip install mdnet[validate]" in page
    assert "no round trip of any of 5 replicas" in page
