"""Law: U + K - heat is conserved to the order of the scheme, and exactly so in the Jarzynski average."""

import pytest
import torch
from systems import (
    ADAPTIVE,
    CHAINS,
    HARMONIC,
    MODES,
    NVE,
    SCHEMES,
    SIZES,
    STOCHASTIC,
    SYSTEMS,
    Z,
    deviation,
    slopes,
    thinned,
)

from integrators import BLANES_MOAN, LEAPFROG, OMELYAN, VERLET, YOSHIDA4, YOSHIDA6, Splitting, kinetic_energy, outer
from thermostats import NoBath, NoseHooverChain

STEPS = (0.08, 0.04, 0.02)  # dt
RANGES = {"YOSHIDA6": (0.1, 0.05, 0.025), "BLANES_MOAN": (0.06, 0.03, 0.015)}  # between higher orders and rounding
BATHED = SCHEMES | {"outer(VERLET)": outer(VERLET)}
NOISY = STOCHASTIC | ADAPTIVE
SCHEMES_OF_ORDER_2 = ("BAOAB", "OBABO", "ABOBA", "OABAO", "outer(OMELYAN)")
GROUPS = {"global": {}, "layer": {"group": "layer", "sizes": SIZES}, "massive": {"group": "massive"}}


def fine_chain(group):
    """A chain whose own integration is far more accurate than the scheme's."""
    return NoseHooverChain(0.5, tau=2.0, order=7, **GROUPS[group])


def conserved(system, scheme, bath, dt, *, temperature=0.5, time=6.4, replicas=64):
    """U + K - heat less its start (steps, replicas), and the positions at the end."""
    q, p = (MODES if system.b else system).sample(replicas, temperature)
    phase = (engine := Splitting(scheme, system, dt, bath)).start(q, p.clone(), system.m)
    start = phase.u + kinetic_energy(p, phase.m)
    kept = []
    for _ in range(round(time / dt)):
        engine(phase)
        engine.sync(phase)
        kept.append(phase.u + kinetic_energy(engine.momenta(phase), phase.m) - phase.heat - start)
    return torch.stack(kept), phase.q


def errors(*args, steps=STEPS, **options):
    """The root mean square of U + K - heat at each dt, from the same starts."""
    result = []
    for dt in steps:
        torch.manual_seed(torch.initial_seed())
        result.append(conserved(*args, dt, **options)[0].square().mean().sqrt().item())
    return result


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("scheme", NVE)
def test_energy_error_has_the_order_of_the_scheme(scheme, system):
    seen = slopes(errors(SYSTEMS[system], NVE[scheme], None, steps=RANGES.get(scheme, STEPS)))
    assert seen == pytest.approx([NVE[scheme].order] * 2, abs=0.25)


def test_leapfrog_is_verlet_with_momenta_half_a_step_ahead():
    q, p = MODES.sample(16, 1.0)
    one, other = Splitting(LEAPFROG, MODES, 0.05), Splitting(VERLET, MODES, 0.05)
    leap, verlet = (engine.start(q.clone(), p.clone(), MODES.m) for engine in (one, other))
    for _ in range(100):
        one(leap)
        other(verlet)
        torch.testing.assert_close(leap.q, verlet.q, rtol=0, atol=1e-12)
        torch.testing.assert_close(one.momenta(leap), verlet.p, rtol=0, atol=1e-12)
        assert (leap.p - verlet.p).abs().max() > 1e-3
    assert slopes(errors(MODES, LEAPFROG, None)) == pytest.approx([2, 2], abs=0.25)


@pytest.mark.parametrize("system", SYSTEMS)
def test_blanes_moan_is_far_better_than_yoshida_at_equal_cost(system):
    fine, fourth, sixth = (
        errors(SYSTEMS[system], made, None, steps=(0.01 * made.forces,))[0]
        for made in (BLANES_MOAN, YOSHIDA4, YOSHIDA6)
    )
    assert fine < fourth / 30
    assert fine < sixth / 3


@pytest.mark.parametrize(("scheme", "group"), thinned(BATHED, CHAINS, every_bath=("BAOAB", "outer(VERLET)")))
def test_a_chain_keeps_the_order_of_the_scheme(scheme, group):
    seen = slopes(errors(SYSTEMS["coupled"], BATHED[scheme], fine_chain(group), steps=STEPS[1:], time=3.2))
    assert seen == pytest.approx([BATHED[scheme].order], abs=0.25)


@pytest.mark.parametrize(("scheme", "bath"), thinned(SCHEMES_OF_ORDER_2, NOISY, ("Langevin",), ("BAOAB",)))
def test_energy_error_with_noise_falls_four_times_per_halving(scheme, bath):
    first, second, third = errors(MODES, SCHEMES[scheme], NOISY[bath](0.5, SIZES), replicas=1024)
    assert 3 < first / second < 5.5
    assert 3 < second / third < 5.5


@pytest.mark.parametrize("group", CHAINS)
@pytest.mark.parametrize("scheme", ["BAOAB", "outer(YOSHIDA4)"])
def test_energy_error_does_not_drift(scheme, group):
    energy, _ = conserved(SYSTEMS["coupled"], SCHEMES[scheme], fine_chain(group), 0.1, time=40, replicas=128)
    early, late = energy[200:300].mean(0), energy[300:].mean(0)
    assert deviation(late - early, 0.0) < Z


@pytest.mark.parametrize("system", ["harmonic", "modes"])
@pytest.mark.parametrize(("scheme", "bath"), thinned(BATHED, STOCHASTIC))
def test_shadow_work_obeys_jarzynski(scheme, bath, system):
    """<e^{-W/T}> = 1 and <x^2 e^{-W/T}> = <x^2> at any dt, with W = U + K - heat less its canonical start.

    The scheme between two baths keeps volume in phase space and the baths keep Maxwell's law, so this is exact.
    Reference: Sivak, Chodera, Crooks, Phys. Rev. X 3, 011007 (2013).
    """
    system, temperature, dt = SYSTEMS[system], 0.7, {"harmonic": 0.4, "modes": 0.15}[system]
    work, q = conserved(
        system,
        BATHED[scheme],
        STOCHASTIC[bath](temperature, SIZES),
        dt,
        temperature=temperature,
        time=4.0,
        replicas=8192,
    )
    weight = torch.exp(-work[-1] / temperature)
    assert deviation(weight, 1.0) < Z
    assert deviation(weight[:, None] * q**2, system.moment(2, temperature)) < Z


def test_no_bath_conserves_energy_like_the_bare_scheme():
    assert errors(HARMONIC, OMELYAN, None) == errors(HARMONIC, outer(OMELYAN), NoBath())
