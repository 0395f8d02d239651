"""Law: run n steps, turn all momenta round (the chain's too), run n steps: everything is back where it was."""

import pytest
import torch
from systems import CHAINS, NVE, SIZES, SYSTEMS

from integrators import BAOAB, LEAPFROG, Scheme, Splitting, middle, outer
from thermostats import Langevin, NoBath, NoseHooverChain, Several

STEPS, DT, EXACT = 1000, 0.01, 1e-10
GROUPS = {"global": {}, "layer": {"group": "layer", "sizes": SIZES}, "massive": {"group": "massive"}}


def there_and_back(system, scheme, bath=None, dt=DT, steps=STEPS):
    """The largest difference between start and return, in q and in p, and how far away it went in between."""
    q = torch.randn(8, system.dof, dtype=torch.float64)
    p = torch.randn_like(q) * torch.sqrt(system.m)
    phase = (engine := Splitting(scheme, system, dt, bath)).start(q.clone(), p.clone(), system.m)
    for _ in range(steps):
        engine(phase)
    away = (phase.q - q).abs().max().item()
    phase.p.neg_()
    if phase.bath:
        engine.thermostat.reverse(phase.bath)
    for _ in range(steps):
        engine(phase)
    chain = max((x.abs().max().item() for x in phase.bath[1::3]), default=0.0)  # its positions start at zero
    return max((phase.q - q).abs().max().item(), (phase.p + p).abs().max().item(), chain), away


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("scheme", NVE)
def test_constant_energy_is_reversible(scheme, system):
    error, away = there_and_back(SYSTEMS[system], NVE[scheme], steps=STEPS // NVE[scheme].forces)
    assert error < EXACT < 0.1 < away


@pytest.mark.parametrize("group", CHAINS)
@pytest.mark.parametrize("system", ["harmonic", "coupled"])
def test_chains_are_reversible(group, system):
    chain = NoseHooverChain(1.0, tau=4.0, **GROUPS[group])
    error, away = there_and_back(SYSTEMS[system], outer(NVE["VERLET"]), chain, dt=0.005)
    assert error < EXACT < 0.1 < away


@pytest.mark.parametrize("scheme", [BAOAB, outer(NVE["OMELYAN"]), middle(NVE["YOSHIDA4"])], ids=str)
def test_chains_are_reversible_in_every_scheme(scheme):
    error, away = there_and_back(SYSTEMS["modes"], scheme, NoseHooverChain(1.0, tau=4.0), dt=0.005)
    assert error < EXACT < 0.1 < away


@pytest.mark.parametrize("links", [1, 2, 5])
@pytest.mark.parametrize("order", [1, 3, 5, 7])
def test_every_factorisation_and_chain_length_is_reversible(links, order):
    chain = NoseHooverChain(1.0, tau=1.0, links=links, order=order, substeps=2)
    assert there_and_back(SYSTEMS["harmonic"], outer(NVE["VERLET"]), chain, steps=100)[0] < EXACT


@pytest.mark.parametrize("system", SYSTEMS)
def test_leapfrog_is_reversible_from_its_momenta_at_the_time_of_the_positions(system):
    system, engine = SYSTEMS[system], Splitting(LEAPFROG, SYSTEMS[system], DT)
    q = torch.randn(8, system.dof, dtype=torch.float64)
    p = torch.randn_like(q) * torch.sqrt(system.m)
    phase = engine.start(q.clone(), p.clone(), system.m)
    for _ in range(STEPS):
        engine(phase)
    phase = engine.start(phase.q.clone(), -engine.momenta(phase), system.m)
    for _ in range(STEPS):
        engine(phase)
    assert (phase.q - q).abs().max() < EXACT
    assert (engine.momenta(phase) + p).abs().max() < EXACT


def test_step_sizes_may_differ_by_replica():
    dt = torch.linspace(0.005, 0.015, 8, dtype=torch.float64)[:, None]
    assert there_and_back(SYSTEMS["modes"], NVE["VERLET"], dt=dt)[0] < EXACT


def test_a_scheme_that_is_no_palindrome_does_not_come_back():
    euler = Scheme("EULER", (("B", 1.0), ("A", 1.0)))
    assert there_and_back(SYSTEMS["modes"], euler)[0] > 1e-6


def test_several_chains_are_reversible_beside_a_bath_that_does_nothing():
    several = Several((NoseHooverChain(1.0, tau=4.0), NoBath(), NoseHooverChain(2.0, tau=4.0)), SIZES)
    error, away = there_and_back(SYSTEMS["coupled"], BAOAB, several, dt=0.005)
    assert error < EXACT < 0.1 < away
    assert not hasattr(Several((NoBath(), Langevin(1.0, 1.0)), (3, 3)), "reverse")


def test_a_bath_that_does_nothing_is_reversible():
    assert there_and_back(SYSTEMS["modes"], outer(NVE["VERLET"]), NoBath())[0] < EXACT
