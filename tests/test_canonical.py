"""Law: every canonical pair of scheme and thermostat samples exp(-(U + K)/T), in every moment that is known."""

import warnings
import zlib

import pytest
import torch
from scipy import stats
from systems import (
    COUPLED,
    HARMONIC,
    LOCAL,
    MODES,
    SCHEMES,
    SIZES,
    STOCHASTIC,
    THERMOSTATS,
    Z,
    deviation,
    discrete_variance,
    sample,
    simulate,
    thinned,
    vector,
)

from integrators import BAOAB, OBABO
from thermostats import Berendsen, Langevin, NoseHooverChain

T, REPLICAS = 1.0, 2048  # many, for fourth powers are far from normal
SYSTEM = {"coupled": COUPLED, "modes": MODES}
PAIRS = {
    "coupled": thinned(SCHEMES, THERMOSTATS),
    "modes": thinned(SCHEMES, LOCAL, every_scheme=("Langevin",), every_bath=("OBABO",)),
}
RUNS = [
    pytest.param((name, *pair.values), marks=pair.marks, id=f"{name}-{pair.id}")
    for name in SYSTEM
    for pair in PAIRS[name]
]
FAMILY = 0.01 / (len(RUNS) * (MODES.dof + 1))  # all Kolmogorov-Smirnov tests together fail by chance in 1 %
QUICK = ("Langevin", "GJF", "Andersen", "Andersen all", "Several")  # the others forget more slowly


def settings(scheme, bath):
    """A step so small that its square is not seen, and a burn-in so long that the start is not."""
    dt, time = 0.04 if scheme.startswith("middle") else 0.08, 20 if bath in QUICK else 48
    return {"dt": dt, "burn": round(time / dt)}


@pytest.fixture(scope="module", params=RUNS)
def run(request, seed):
    """One simulation from a wrong start, shared by all the laws."""
    system, scheme, bath = request.param
    torch.manual_seed(seed + zlib.crc32("-".join(request.param).encode()))
    options = settings(scheme, bath) | {"replicas": REPLICAS, "frames": 8, "every": 60}
    return SYSTEM[system], simulate(SYSTEM[system], SCHEMES[scheme], THERMOSTATS[bath](T, SIZES), **options)


def twice_kinetic(system, frames):
    return frames.o**2 / system.m  # (frames, replicas, dof), each with mean T


def test_kinetic_energy_is_gamma_distributed(run):
    system, frames = run
    shape = system.dof / 2
    energy = twice_kinetic(system, frames).sum(-1) / 2  # (frames, replicas)
    assert deviation(energy.mean(0), shape * T) < Z
    assert deviation((energy - shape * T).square().mean(0), shape * T**2) < Z
    assert stats.kstest(energy[::3].flatten().numpy(), stats.gamma(shape, scale=T).cdf).pvalue > FAMILY


def test_energy_is_shared_equally_by_layers(run):
    system, frames = run
    layers = twice_kinetic(system, frames).mean(0).split(SIZES, -1)
    for layer in layers:
        assert deviation(layer.mean(-1), T) < Z
        assert deviation(layer, T) < Z


def test_moments_of_the_positions(run):
    system, frames = run
    for power in (1, 2, 3, 4):
        assert deviation((frames.q**power).mean(0), system.moment(power, T)) < Z


def test_density_of_the_positions(run):
    system, frames = run
    for i in range(system.dof):
        assert stats.kstest(frames.q[::3, :, i].flatten().numpy(), system.cumulative(i, T)).pvalue > FAMILY


def test_configurational_temperature(run):
    """<|grad U|^2> = T <laplacian U>."""
    system, frames = run
    assert deviation((frames.f.square().sum(-1) - T * system.laplacian(frames.q)).mean(0), 0.0) < Z


def test_positions_and_momenta_are_independent(run):
    _, frames = run  # both at the end of a step
    assert deviation((frames.q * frames.p).mean(0), 0.0) < Z


@pytest.mark.parametrize(("scheme", "bath"), thinned(SCHEMES, STOCHASTIC))
def test_discrete_answers_of_large_steps(scheme, bath):
    """Harmonic modes at w dt up to 0.8, where the step shows: each scheme has a law of its own, and keeps it."""
    dt, m = 0.5, HARMONIC.m
    x2, p2 = discrete_variance(SCHEMES[scheme], HARMONIC.k, m, dt, T)
    q, p = (torch.randn(2048, 6, dtype=torch.float64) * v.sqrt() for v in (x2, p2))
    if bath != "Bussi":  # which leaves uncoupled modes apart, and is only asked to keep the law
        q, p = 0.3 * q, 1.5 * p
    bath = STOCHASTIC[bath](T, SIZES)
    frames = sample(SCHEMES[scheme], HARMONIC, dt, bath, q, p, m, burn=60, frames=12, every=10)
    assert deviation(frames.q.square().mean(0), x2) < Z
    assert deviation((frames.q**4).mean(0), 3 * x2**2) < Z
    assert deviation(frames.p.square().mean(0), p2) < Z
    assert deviation(frames.o.square().mean(0), m * T) < Z
    if scheme == "BAOAB":
        half = frames.p - BAOAB.closing_kick * dt * frames.f
        assert deviation(half.square().mean(0), m * T) < Z
        assert deviation(frames.p.square().mean(0), m * T) > Z
    if scheme == "OBABO":
        assert deviation(frames.q.square().mean(0), T / HARMONIC.k) > Z


def test_discrete_answers_in_closed_form():
    k, m, dt = HARMONIC.k, HARMONIC.m, 0.5
    less = 1 - k / m * dt**2 / 4
    torch.testing.assert_close(discrete_variance(BAOAB, k, m, dt, T), (T / k, m * T * less), rtol=1e-12, atol=0)
    torch.testing.assert_close(discrete_variance(OBABO, k, m, dt, T), (T / k / less, m * T), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("scheme", "bath", "dtype"),
    [("BAOAB", bath, torch.float32) for bath in LOCAL] + [("OBABO", "Langevin", torch.float64)],
)
def test_temperatures_may_differ_by_replica(scheme, bath, dtype):
    temperatures = (0.5, 1.0, 2.0)
    thermostat = LOCAL[bath](vector(*temperatures).repeat_interleave(512)[:, None], SIZES)
    frames = simulate(
        MODES, SCHEMES[scheme], thermostat, dt=0.08, replicas=1536, burn=600, frames=6, every=60, dtype=dtype
    )  # fmt: skip
    for block, temperature in enumerate(temperatures):
        rows = slice(512 * block, 512 * (block + 1))
        assert deviation((frames.o[:, rows] ** 2 / MODES.m).mean(0), temperature) < Z
        assert deviation(frames.q[:, rows].square().mean(0), MODES.moment(2, temperature)) < Z


def quantiles(scheme, bath, warmer=1 + 2 * (2 / 6) ** 0.5):  # Shirts (2013): dT/T = 2 sqrt(2/N)
    """How many standard errors the slope of ln P_2(E)/P_1(E) is off, as physical_validation sees it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import physical_validation as pv
    units = pv.data.UnitData(1, 1, 1, 1, 1, 1, 1)
    system = pv.data.SystemData(natoms=6, nconstraints=12, ndof_reduction_tra=0, ndof_reduction_rot=0)
    data = []
    for temperature in (1.0, warmer):
        frames = simulate(
            COUPLED, SCHEMES[scheme], bath(temperature, SIZES), dt=0.08, replicas=1000, burn=500, frames=3, every=150
        )  # fmt: skip
        u, k = (x.flatten().numpy() for x in (frames.u, (frames.p**2 / COUPLED.m).sum(-1) / 2))
        ensemble = pv.data.EnsembleData("NVT", natoms=6, volume=1.0, temperature=temperature)
        seen = pv.data.ObservableData(kinetic_energy=k, potential_energy=u, total_energy=u + k)
        data.append(pv.data.SimulationData(units=units, system=system, ensemble=ensemble, observables=seen))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            pv.ensemble.check(*data, total_energy=t, data_is_uncorrelated=True, verbosity=0)[0] for t in (False, True)
        ]


@pytest.mark.parametrize(("scheme", "bath"), [("OBABO", "Langevin"), ("OBABO", "massive"), ("outer(OMELYAN)", "Bussi")])
def test_two_temperatures_differ_by_the_boltzmann_factor(scheme, bath):
    assert max(quantiles(scheme, THERMOSTATS[bath])) < 4


def test_two_temperatures_find_berendsen_out():
    assert max(quantiles("OBABO", lambda temperature, sizes: Berendsen(temperature, tau=0.5), warmer=1.3)) > 10


def test_kinetic_energies_find_berendsen_out():
    frames = simulate(COUPLED, OBABO, Berendsen(T, tau=0.5), dt=0.08, replicas=512, burn=300, frames=10, every=60)
    energy = (frames.o**2 / COUPLED.m).sum(-1) / 2
    assert deviation((energy - 3 * T).square().mean(0), 3 * T**2) > 4 * Z


@pytest.mark.parametrize("links", [1, 3])
def test_positions_find_a_single_link_on_one_oscillator_out(links):
    one = type(HARMONIC)(vector(1.0), vector(0.0), vector(1.0))
    q, p = torch.zeros(128, 1, dtype=torch.float64), 1 + 0.1 * torch.randn(128, 1, dtype=torch.float64)
    chain = NoseHooverChain(T, tau=1.0, links=links)
    frames = sample(OBABO, one, 0.08, chain, q, p, one.m, burn=600, frames=30, every=40)
    assert (deviation((frames.q**4).mean(0), 3.0) > Z) == (links == 1)


def test_equipartition_finds_one_chain_on_uncoupled_modes_out():
    q = torch.zeros(512, 6, dtype=torch.float64)
    p = torch.randn_like(q) * vector(5.0, 0.1, 0.1, 0.1, 0.1, 0.1)
    frames = sample(
        OBABO, HARMONIC, 0.08, THERMOSTATS["global"](T, SIZES), q, p, HARMONIC.m, burn=300, frames=8, every=60
    )
    assert deviation((frames.o**2 / HARMONIC.m).mean(0), T) > Z


def test_kinetic_energies_find_three_per_cent_too_much_noise():
    bath = Langevin(1.03 * T, friction=1.0)
    frames = simulate(MODES, OBABO, bath, dt=0.08, replicas=6144, burn=250, frames=8, every=60)
    assert deviation((frames.o**2 / MODES.m).mean((0, 2)), T) > Z
