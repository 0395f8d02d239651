"""Law: an adapted step meets its target, is frozen before production, and survives a resume."""

import pytest
import torch
from systems import LinearNetwork, Z, deviation

import mdnet as md
from integrators import BAOAB, HMC, VERLET, YOSHIDA4, Splitting, kinetic_energy, outer
from thermostats import Bussi, Langevin, NoBath

STEPS = 800


def adapted(engine, network, steps=STEPS, **options):
    action = md.AdaptStep(steps, **options)
    simulation = md.Simulation(network.system, engine, positions=network.mean.repeat(network.system.replicas, 1),
                               seed=1, actions=[action])  # fmt: skip
    simulation.run(steps, progress=False)
    return simulation


def errors(simulation, every=10, count=100):
    """Changes of U + K - heat over `every` steps, in units of T sqrt(N_f/2)."""
    engine, phase, kept = simulation.integrator, simulation.phase, []
    for _ in range(count):
        before = phase.u + kinetic_energy(phase.p, phase.m) - phase.heat
        for _ in range(every):
            engine(phase)
        kept.append(phase.u + kinetic_energy(phase.p, phase.m) - phase.heat - before)
    return torch.stack(kept) / 2.0  # sqrt(8/2)


@pytest.mark.parametrize("start", [0.3, 0.003])
@pytest.mark.parametrize(("scheme", "bath"), [(BAOAB, Langevin(1.0, 1.0)), (outer(YOSHIDA4), Bussi(1.0, 0.5))], ids=str)
def test_the_energy_error_meets_its_target(scheme, bath, start):
    network = LinearNetwork(64)
    engine = Splitting(scheme, network.system.force, start / network.largest_frequency(), bath)
    simulation = adapted(engine, network, error=0.05)
    seen = errors(simulation).square().mean().sqrt().item()
    assert seen == pytest.approx(0.05, rel=0.15)


@pytest.mark.parametrize("target", [0.65, 0.9])
def test_the_acceptance_meets_its_target(target):
    network = LinearNetwork(64)
    engine = HMC(network.system.force, 0.1 / network.largest_frequency(), temperature=1.0, steps=5)
    simulation = adapted(engine, network, steps=400, every=1, acceptance=target)
    chances = []
    for _ in range(100):
        engine(simulation.phase)
        chances.append(torch.exp(-engine.energy_error(simulation.phase).clamp_min(0)))
    assert torch.stack(chances).mean().item() == pytest.approx(target, abs=0.03)


def test_each_replica_may_adapt_by_itself():
    network = LinearNetwork(64)
    dt = torch.linspace(0.05, 0.5, 64, dtype=torch.float64)[:, None] / network.largest_frequency()
    engine = Splitting(BAOAB, network.system.force, dt, Langevin(1.0, 1.0))
    adapted(engine, network, error=0.05)
    assert engine.dt.shape == (64, 1)
    assert engine.dt.max() / engine.dt.min() < 2
    assert torch.unique(engine.dt).numel() == 64


def test_the_step_is_frozen_and_the_production_canonical():
    network = LinearNetwork(256)
    engine = Splitting(BAOAB, network.system.force, 0.01, Langevin(1.0, 2.0))
    simulation = adapted(engine, network)
    frozen, energies = engine.dt.clone(), []
    for _ in range(40):
        simulation.run(20, progress=False)
        energies.append(simulation.phase.u.clone())
    assert torch.equal(engine.dt, frozen)
    assert deviation(torch.stack(energies).mean(0), network.mean_energy()) < Z


@pytest.mark.parametrize("stop", [350, STEPS + 50])
def test_a_resume_is_bitwise(tmp_path, stop):
    def simulation(folder):
        network = LinearNetwork(4)
        engine = Splitting(BAOAB, network.system.force, 0.01, Langevin(1.0, 2.0))
        start = torch.zeros(4, 8)
        action = md.AdaptStep(STEPS)
        return md.Simulation(network.system, engine, positions=start, output=tmp_path / folder, actions=[action])

    whole = simulation("whole")
    whole.run(STEPS + 100, progress=False)
    simulation("parts").run(stop, progress=False)
    parts = simulation("parts").resume()
    parts.run(STEPS + 100 - stop, progress=False)
    assert torch.equal(whole.phase.q, parts.phase.q)
    assert torch.equal(whole.integrator.dt, parts.integrator.dt)
    assert whole.time == parts.time
    written = whole.time
    whole.run(10, progress=False)
    assert whole.time - written == pytest.approx(10 * whole.integrator.dt.item())


def test_bad_settings_are_refused():
    network = LinearNetwork(1)
    system = network.system
    for wrong, message in (
        ({"steps": 30}, "four corrections"),
        ({"steps": 100, "error": 0.0}, "error = 0.0"),
        ({"steps": 100, "acceptance": 1.0}, "acceptance = 1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            md.AdaptStep(**wrong)
    with pytest.raises(ValueError, match="has no temperature"):
        md.Simulation(system, Splitting(outer(VERLET), system.force, 0.01, NoBath()), actions=[md.AdaptStep(100)])
    engine = Splitting(BAOAB, system.force, 0.01, Langevin(1.0, 2.0))
    with pytest.raises(ValueError, match="dt is set by AdaptStep and by a schedule"):
        md.Simulation(system, engine, actions=[md.AdaptStep(100)], schedule={"dt": md.Constant(0.01)})
    with pytest.raises(ValueError, match="dt is set by AdaptStep and by AdaptStep"):
        md.Simulation(system, engine, actions=[md.AdaptStep(100), md.AdaptStep(100)])
