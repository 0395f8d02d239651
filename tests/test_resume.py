"""The law of continuation: n + m steps equal n steps, a resume in a new simulation, and m steps, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import mdnet as md
import trajectories
from integrators import BAOAB, OBABO, OMELYAN, VERLET, Brownian, Splitting, outer
from thermostats import (
    GJF,
    AdaptiveLangevin,
    Andersen,
    Berendsen,
    Bussi,
    Langevin,
    NoBath,
    NoseHooverChain,
    NoseHooverLangevin,
    Several,
    VelocityRescaling,
    optimal_sampling,
)

REPLICAS = 3
BATHS = {
    "none": lambda sizes: NoBath(),
    "langevin": lambda sizes: Langevin(temperature=0.1, friction=1.0),
    "chain": lambda sizes: NoseHooverChain(temperature=0.1, tau=0.5),
    "layer chains": lambda sizes: NoseHooverChain(temperature=0.1, tau=0.5, group="layer", sizes=sizes),
    "massive chains": lambda sizes: NoseHooverChain(temperature=0.1, tau=0.5, group="massive"),
    "bussi": lambda sizes: Bussi(temperature=0.1, tau=0.5),
    "andersen": lambda sizes: Andersen(temperature=0.1, rate=1.0),
    "all together": lambda sizes: Andersen(temperature=0.1, rate=1.0, group="all"),
    "gjf": lambda sizes: GJF(temperature=0.1, friction=1.0),
    "coloured": lambda sizes: optimal_sampling(temperature=0.1, slowest=0.1, fastest=10.0),
    "nose-hoover-langevin": lambda sizes: NoseHooverLangevin(temperature=0.1, tau=0.5, friction=1.0),
    "adaptive": lambda sizes: AdaptiveLangevin(0.1, friction=1.0, tau=0.5, group="layer", sizes=sizes),
    "several": lambda sizes: Several([Langevin(0.1, 1.0), NoseHooverChain(0.1, 0.5)], [sizes[0], sum(sizes[1:])]),
    "rescaling": lambda sizes: VelocityRescaling(temperature=0.1),
    "berendsen": lambda sizes: Berendsen(temperature=0.1, tau=0.5),
}


def make_system(dtype=torch.float64, shift=0.0, prior=None, width=5):
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1))
    x = torch.randn(12, 2)
    y = x.sum(-1, keepdim=True).sin() + shift
    return md.ParticleSystem(network, functional.mse_loss, x, y, replicas=REPLICAS, dtype=dtype, prior=prior)


def make(folder, bath="langevin", scheme=BAOAB, dtype=torch.float64, schedule=None, seed=5, **keywords):
    system = make_system(dtype, **{k: keywords.pop(k) for k in ("shift", "prior", "width") if k in keywords})
    integrator = Splitting(scheme, system.force, 0.02, BATHS[bath](system.sizes))
    reporters = [md.Scalars(3), md.Frames(4, velocity=True, force=True), md.ConfigurationalTemperature(5)]
    options = {"temperature": 0.1} | keywords
    return md.Simulation(
        system, integrator, schedule=schedule, seed=seed, output=folder, reporters=reporters, **options
    )


def contents(folder):
    with trajectories.open(folder) as run:
        series = {name: (s.steps[:], np.asarray(s.values)) for name, s in run.observables.items()}
        series["position"] = (run.steps[:], np.asarray(run.positions))
        series["velocity"] = (run.steps[:], np.asarray(run.velocities))
        return series


def assert_same_run(one, other):
    a, b = contents(one), contents(other)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name][0], b[name][0], err_msg=name)
        np.testing.assert_array_equal(a[name][1], b[name][1], err_msg=name)
        assert np.all(np.diff(a[name][0]) > 0), f"{name} has a duplicate row"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("bath", BATHS)
def test_continuation_is_exact(tmp_path, bath, dtype):
    make(tmp_path / "whole", bath, OBABO, dtype).run(30, progress=False)
    make(tmp_path / "parts", bath, OBABO, dtype).run(17, progress=False)
    torch.manual_seed(99)  # the caller's random numbers are none of the run's
    simulation = make(tmp_path / "parts", bath, OBABO, dtype).resume()
    simulation.run(13, progress=False)
    assert simulation.step == 30
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("scheme", [BAOAB, outer(OMELYAN)], ids=str)
def test_two_runs_in_one_process_equal_one(tmp_path, scheme):
    make(tmp_path / "whole", scheme=scheme).run(30, progress=False)
    simulation = make(tmp_path / "parts", scheme=scheme)
    simulation.run(11, progress=False)
    torch.randn(7)
    simulation.run(19, progress=False)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_rows_after_the_checkpoint_are_dropped(tmp_path):
    """A run killed after its last checkpoint has rows that the resume computes again, once."""
    make(tmp_path / "whole").run(30, progress=False)
    simulation = make(tmp_path / "parts", checkpoint_every=8)
    simulation.run(30, progress=False)
    for path in sorted((tmp_path / "parts").glob("checkpoint-*.pt"))[1:]:
        path.unlink()
    resumed = make(tmp_path / "parts", checkpoint_every=8).resume()
    assert resumed.step == 24
    resumed.run(6, progress=False)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_torn_checkpoint_falls_back_on_the_one_before(tmp_path):
    make(tmp_path / "run", checkpoint_every=8).run(30, progress=False)
    last = sorted((tmp_path / "run").glob("checkpoint-*.pt"))[-1]
    last.write_bytes(last.read_bytes()[:100])
    assert make(tmp_path / "run", checkpoint_every=8).resume().step == 24


@pytest.mark.parametrize("start", [0.0, 0.05])
def test_continuation_across_a_schedule(tmp_path, start):
    schedule = {"temperature": md.Staircase(start, 0.2, stages=4, every=5), "dt": md.Linear(0.01, 0.03, 20)}
    for bath in ("chain", "langevin"):
        make(tmp_path / f"{bath} whole", bath, OBABO, schedule=schedule).run(30, progress=False)
        for n in (5, 10, 12):
            folder = tmp_path / f"{bath} {n}"
            make(folder, bath, OBABO, schedule=schedule).run(n, progress=False)
            make(folder, bath, OBABO, schedule=schedule).resume().run(30 - n, progress=False)
            assert_same_run(tmp_path / f"{bath} whole", folder)


def test_continuation_of_overdamped_dynamics(tmp_path):
    def simulation(folder):
        system = make_system(prior=md.Box(0.5))
        integrator = Brownian(system.force, 0.01, temperature=0.2)
        return md.Simulation(system, integrator, output=folder, reporters=[md.Scalars(3), md.Frames(4)])

    simulation(tmp_path / "whole").run(30, progress=False)
    simulation(tmp_path / "parts").run(13, progress=False)
    simulation(tmp_path / "parts").resume().run(17, progress=False)
    with trajectories.open(tmp_path / "whole") as a, trajectories.open(tmp_path / "parts") as b:
        np.testing.assert_array_equal(np.asarray(a.positions), np.asarray(b.positions))
        assert "kinetic_energy" not in a.observables
        assert np.abs(np.asarray(a.positions)[1:]).max() <= 0.5


def test_a_seed_makes_a_run(tmp_path):
    def last(seed):
        system = make_system()
        simulation = md.Simulation(system, Splitting(BAOAB, system.force, 0.02, BATHS["langevin"](())), seed=seed)
        simulation.run(10, progress=False)
        return simulation.phase.q

    assert torch.equal(last(1), last(1))
    assert not torch.equal(last(1), last(2))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"shift": 0.5}, "targets"),
        ({"width": 6}, "network"),
        ({"seed": 6}, "seed"),
        ({"bath": "bussi"}, "integrator"),
        ({"scheme": OBABO}, "integrator"),
        ({"dtype": torch.float32}, "dtype"),
        ({"prior": md.GaussianPrior(1.0)}, "prior"),
        ({"prior": md.Box(1.0)}, "walls"),
        ({"schedule": {"temperature": md.Constant(0.1)}}, "schedule"),
    ],
)
def test_another_run_is_refused_by_name(tmp_path, change, named):
    make(tmp_path / "run").run(5, progress=False)
    with pytest.raises(md.ResumeError, match=named):
        make(tmp_path / "run", **change).resume()


def test_what_cannot_be_resumed_says_so(tmp_path):
    with pytest.raises(md.ResumeError, match="no readable checkpoint"):
        make(tmp_path / "nothing").resume()
    with pytest.raises(md.ResumeError, match="no output folder"):
        make(None).resume()


def test_an_existing_run_is_kept_unless_told_otherwise(tmp_path):
    make(tmp_path / "run").run(8, progress=False)
    before = contents(tmp_path / "run")
    with pytest.raises(md.OutputExistsError, match="overwrite"):
        make(tmp_path / "run", seed=6).run(5, progress=False)
    assert contents(tmp_path / "run").keys() == before.keys()
    make(tmp_path / "run", seed=6, overwrite=True).run(4, progress=False)
    assert contents(tmp_path / "run")["position"][0].tolist() == [0, 4]


def test_leaving_zero_temperature_draws_momenta_and_keeps_the_books(tmp_path):
    """A deterministic chain cannot heat particles at rest; the momenta drawn are booked as heat."""
    schedule = {"temperature": md.Staircase(0.0, 0.2, stages=1, every=10)}
    simulation = make(tmp_path / "run", "chain", outer(VERLET), schedule=schedule, temperature=None)
    simulation.run(10, progress=False)
    resting = simulation.phase.p.square().mean()
    simulation.run(1, progress=False)
    assert simulation.phase.p.square().mean() > max(20 * resting, 0.05)
    with trajectories.open(tmp_path / "run") as run:
        conserved = np.asarray(run.observables["conserved"].values)
        assert np.abs(conserved - conserved[0]).max() < 1e-3
