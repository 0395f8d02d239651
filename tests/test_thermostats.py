"""Law: what each thermostat is by itself: its published update, its limits, and what it is made for."""

import pytest
import torch
from scipy import integrate, stats
from systems import (
    COUPLED,
    FREE,
    HARMONIC,
    SIZES,
    Lattice,
    Noisy,
    Z,
    deviation,
    sample,
    simulate,
    vector,
)
from test_resume import make_system

import mdnet as md
from integrators import BAOAB, OBABO, Splitting, kinetic_energy
from integrators.phase import place
from thermostats import (
    GJF,
    AdaptiveLangevin,
    Andersen,
    Decoherence,
    Langevin,
    NoBath,
    NoseHooverChain,
    NoseHooverLangevin,
    Several,
    VelocityRescaling,
)

M, DT = COUPLED.m, vector(0.2)[0]


def maxwell(replicas, temperature=1.0):
    return torch.randn(replicas, 6, dtype=torch.float64) * torch.sqrt(temperature * M)


def act(thermostat, p, dt, bath=None):
    """A copy of p after a bath acted on it for the time dt."""
    p = p.clone()
    thermostat(p, M, thermostat.bath(p) if bath is None else bath, torch.as_tensor(dt, dtype=torch.float64))
    return p


# the thermostat of Gronbech-Jensen and Farago


@pytest.mark.parametrize(("force", "dt"), [(COUPLED, 0.05), (HARMONIC, 0.9)], ids=["coupled", "harmonic"])
def test_baoab_with_gjf_is_the_published_method(force, dt):
    temperature, gamma, m = 1.3, 0.8, M
    b = 1 / (1 + gamma * dt / 2)
    a = b * (1 - gamma * dt / 2)
    r, v = torch.randn(2, 8, 6, dtype=torch.float64)
    phase = (engine := Splitting(BAOAB, force, dt, GJF(temperature, gamma))).start(r.clone(), m * v, m)
    f = force(r)[1]
    for n in range(20):
        torch.manual_seed(n)
        engine(phase)
        torch.manual_seed(n)
        beta = torch.randn_like(r) * torch.sqrt(2 * gamma * m * temperature * dt)
        r = r + b * dt * v + b * dt**2 / (2 * m) * f + b * dt / (2 * m) * beta
        after = force(r)[1]
        v = a * v + dt / (2 * m) * (a * f + after) + b / m * beta
        f = after
        torch.testing.assert_close((phase.q, phase.p), (r, m * v), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("bath", [GJF, Langevin])
def test_free_particles_diffuse_by_einsteins_law_at_any_step(bath):
    """<q^2> grows by 2 T t/(m gamma), once the velocities are forgotten; Langevin's is (x/2) coth(x/2) as much."""
    temperature, gamma, dt, early, late = 1.3, 1.5, 1.0, 12, 24
    p = maxwell(20_000, temperature)
    phase = (engine := Splitting(BAOAB, FREE, dt, bath(temperature, gamma))).start(torch.zeros_like(p), p, M)
    kept = {}
    for n in range(1, late + 1):
        engine(phase)
        kept[n] = phase.q.square()
    grown = (kept[late] - kept[early]) * M * gamma / (2 * temperature * dt * (late - early))
    x = vector(gamma * dt)
    assert deviation(grown, 1.0 if bath is GJF else x / 2 / torch.tanh(x / 2)) < Z
    if bath is Langevin:
        assert deviation(grown, 1.0) > Z


@pytest.mark.parametrize("gamma", [1.0, 8.0])
def test_gjf_has_exact_positions_at_a_large_step(gamma):
    """With dt w up to 1.1, and with gamma dt = 4, where velocities turn round at each step."""
    q, p = 0.3 * torch.randn(2048, 6, dtype=torch.float64), maxwell(2048)
    frames = sample(BAOAB, HARMONIC, 0.5, GJF(1.0, gamma), q, p, M, burn=400, frames=10, every=20)
    assert deviation(frames.q.square().mean(0), 1 / HARMONIC.k) < Z
    assert deviation((frames.q**4).mean(0), 3 / HARMONIC.k**2) < Z
    assert deviation(frames.p.square().mean(0), M * (1 - HARMONIC.k / M * 0.5**2 / 4)) < Z


# Andersen's, all momenta at once


def test_andersen_may_redraw_all_momenta_of_a_replica_together():
    rate, dt, temperature = 0.7, 0.9, 1.3
    start = vector(0.1, 2.0, -1.0, 3.0, 0.5, -4.0)
    p = act(Andersen(temperature, rate, group="all"), start.repeat(40_000, 1), dt)
    hit = p != start
    assert torch.equal(hit.any(-1), hit.all(-1))
    kept = torch.exp(vector(-rate * dt))
    assert deviation((~hit).double(), kept) < Z
    fresh = p[hit[:, 0]]
    assert deviation(fresh, 0.0) < Z
    assert deviation(fresh.square(), M * temperature) < Z
    assert deviation(fresh[:, 1:] * fresh[:, :-1], 0.0) < Z
    alone = act(Andersen(temperature, rate), start.repeat(40, 1), dt) != start
    assert not torch.equal(alone.any(-1), alone.all(-1))


# plain rescaling


def test_rescaling_sets_the_kinetic_energy():
    temperature = vector(0.5, 1.0, 4.0).repeat_interleave(8)[:, None]
    start = maxwell(24, 3.0)
    p = act(VelocityRescaling(temperature), start, 0.1)
    torch.testing.assert_close(kinetic_energy(p, M), 3 * temperature[:, 0], rtol=1e-13, atol=0)
    torch.testing.assert_close(p / p[:, :1], start / start[:, :1], rtol=1e-13, atol=0)


def test_rescaling_does_not_sample_the_canonical_ensemble():
    """The law that all canonical baths pass in test_canonical: <|grad U|^2> = T <laplacian U>."""
    assert not VelocityRescaling(1.0).canonical
    frames = simulate(COUPLED, OBABO, VelocityRescaling(1.0), dt=0.04, replicas=1024, burn=1000, frames=10, every=120)
    assert deviation((frames.f.square().sum(-1) - COUPLED.laplacian(frames.q)).mean(0), 0.0) > Z
    assert deviation(frames.q.square().mean(0), COUPLED.moment(2, 1.0)) > Z


# Nose-Hoover-Langevin


@pytest.mark.parametrize("group", [{}, {"group": "layer", "sizes": SIZES}, {"group": "massive"}], ids=str)
def test_without_friction_it_is_a_nose_hoover_chain_of_one_link(group):
    chain = NoseHooverChain(1.3, tau=0.7, links=1, order=1, **group)
    for one in (NoseHooverLangevin(1.3, 0.7, 0.0, **group), AdaptiveLangevin(1.3, 0.0, 0.7, **group)):
        p, q = maxwell(5, 3.0), maxwell(5)
        runs = [Splitting(BAOAB, COUPLED, 0.05, bath) for bath in (one, chain)]
        phases = [engine.start(q.clone(), p.clone(), M) for engine in runs]
        for _ in range(50):
            for engine, phase in zip(runs, phases, strict=True):
                engine(phase)
        torch.testing.assert_close(phases[0].q, phases[1].q, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(phases[0].heat, phases[1].heat, rtol=1e-9, atol=1e-10)


def test_its_friction_is_normal_with_its_own_variance():
    """xi of variance T/Q, Q = N_f T_0 tau^2, at temperatures T other than the T_0 it was made for, too."""
    tau, sizes = 1.0, vector(1.0, 2.0, 3.0)
    bath = NoseHooverLangevin(torch.full((1024, 1), 2.0), tau, 1.0, group="layer", sizes=SIZES)
    engine = Splitting(BAOAB, COUPLED, 0.05, bath)
    engine.temperature[512:] = 1.0
    phase, kept = engine.start(maxwell(1024), maxwell(1024), M), []
    for n in range(1600):
        engine(phase)
        if n >= 600 and n % 50 == 0:
            kept.append(phase.bath[0].clone())
    xi = torch.stack(kept)
    for rows, temperature in ((slice(0, 512), 2.0), (slice(512, 1024), 1.0)):
        variance = temperature / (sizes * 2.0 * tau**2)
        assert deviation(xi[:, rows].mean(0), 0.0) < Z
        assert deviation(xi[:, rows].square().mean(0), variance) < Z
        assert deviation((xi[:, rows] ** 4).mean(0), 3 * variance**2) < Z


@pytest.mark.parametrize("friction", [0.0, 1.0])
def test_noise_in_one_variable_makes_an_oscillator_ergodic(friction):
    one = Lattice(vector(1.0), vector(0.0), vector(1.0))
    q, p = torch.zeros(256, 1, dtype=torch.float64), 1 + 0.1 * torch.randn(256, 1, dtype=torch.float64)
    bath = NoseHooverLangevin(1.0, tau=1.0, friction=friction)
    frames = sample(OBABO, one, 0.08, bath, q, p, one.m, burn=1000, frames=40, every=40)
    assert (deviation((frames.q**4).mean(0), 3.0) < Z) == (friction > 0)


# adaptive Langevin


@pytest.mark.parametrize("rate", [0.9, 0.0, 1e-9, -0.7])
def test_the_process_at_fixed_friction_is_exact_for_any_sign(rate):
    """gamma + xi = rate; so heavy a xi does not move."""
    gamma, dt, temperature = 0.5, 0.9, 1.3
    start = vector(0.0, 2.0, -1.0, 3.0, 0.5, -4.0)
    bath = AdaptiveLangevin(temperature, gamma, tau=1e9)
    p = start.repeat(40_000, 1)
    variables = bath.bath(p)
    variables[0].fill_(rate - gamma)
    p = act(bath, p, dt, variables)
    decay = torch.exp(vector(-rate * dt))
    variance = 2 * gamma * M * temperature * ((1 - decay**2) / (2 * rate) if abs(rate) > 1e-6 else dt)
    assert deviation(p, decay * start) < Z
    assert deviation((p - decay * start) ** 2, variance) < Z


def test_a_heavy_friction_is_langevins():
    start = maxwell(64)
    both = []
    for bath in (AdaptiveLangevin(1.3, 0.8, tau=1e9), Langevin(1.3, 0.8)):
        torch.manual_seed(1)
        both.append(act(bath, start, 0.3))
    torch.testing.assert_close(*both, rtol=1e-12, atol=1e-12)


H, T = 0.05, 0.7  # the step and the temperature of what follows
ASKED = vector(0.2, 0.5, 0.8, 1.1, 0.4, 0.0)  # xi = h s^2/(2 m T), and the noise that asks for it
EVEN, UNEVEN = torch.sqrt(2 * M * T * 0.8 / H), torch.sqrt(2 * M * T * ASKED / H)


def noisy(bath, s):
    """<q^2>, <p^2/m> at the half step, and the noise's heat: means over time for each replica."""
    heat = getattr(bath, "noise_heat", lambda variables: vector(0.0))
    q, p = torch.randn(512, 6, dtype=torch.float64) * torch.sqrt(T / HARMONIC.k), maxwell(512, T)
    phase = (engine := Splitting(BAOAB, Noisy(HARMONIC, s), H, bath)).start(q, p, M)
    kept = []
    for n in range(1800):
        engine(phase)
        if n >= 500 and n % 20 == 0:
            kept.append((phase.q.square(), engine.half_step(phase).square() / M, heat(phase.bath)))
    return [torch.stack(x).mean(0) for x in zip(*kept, strict=True)]


def test_langevin_runs_hot_in_noisy_forces():
    """At T (1 + xi/gamma), with the xi that an adaptive bath finds."""
    q2, _, _ = noisy(Langevin(T, 1.0), EVEN)
    assert deviation(q2, T / HARMONIC.k) > 4 * Z
    assert (q2 * HARMONIC.k).mean().item() == pytest.approx(1.8 * T, rel=0.05)
    assert not Splitting(BAOAB, Noisy(HARMONIC, EVEN), H, Langevin(T, 1.0)).canonical


@pytest.mark.parametrize("tau", [0.5, 2.0])
def test_adaptive_langevin_finds_and_removes_the_heat_of_the_noise(tau):
    bath = AdaptiveLangevin(T, 1.0, tau)
    q2, k2, heat = noisy(bath, EVEN)
    assert deviation(q2, T / HARMONIC.k) < Z
    assert deviation(heat, H * EVEN[0] ** 2 / (2 * M[0])) < Z
    # the mean of <p^2/m> before and after the bath is T; between them is what one kick brings
    assert deviation(k2, T - H**2 * EVEN[0] ** 2 / (2 * M[0])) < Z
    assert Splitting(BAOAB, Noisy(HARMONIC, EVEN), H, bath).canonical


def test_uneven_noise_needs_a_friction_for_each_parameter():
    q2, _, heat = noisy(AdaptiveLangevin(T, 1.0, 2.0, group="massive"), UNEVEN)
    assert deviation(q2, T / HARMONIC.k) < Z
    assert deviation(heat, H * UNEVEN**2 / (2 * M)) < Z
    q2, _, heat = noisy(AdaptiveLangevin(T, 1.0, 2.0), UNEVEN)
    assert deviation(q2, T / HARMONIC.k) > 2 * Z
    assert heat.shape == (512, 1)


def test_without_noise_it_finds_none():
    q2, _, heat = noisy(AdaptiveLangevin(T, 1.0, 1.0, group="layer", sizes=SIZES), 0 * EVEN)
    assert deviation(q2, T / HARMONIC.k) < Z
    assert deviation(heat, 0.0) < Z


# several baths


def test_several_baths_act_each_on_their_own():
    parts = Langevin(1.3, 0.7), NoseHooverChain(1.3, 0.5, group="layer", sizes=(1, 1)), GJF(1.3, 0.4)
    several, start = Several(parts, SIZES), maxwell(16, 2.0)
    together = start.clone()
    torch.manual_seed(1)
    variables = several.bath(together)
    several(together, M, variables, DT)
    torch.manual_seed(1)
    columns = [x.contiguous() for x in start.split(SIZES, -1)]
    baths = [bath.bath(p) for bath, p in zip(parts, columns, strict=True)]
    for bath, p, m, own in zip(parts, columns, M.split(SIZES), baths, strict=True):
        bath(p, m, own, DT)
    assert torch.equal(together, torch.cat(columns, -1))
    assert all(torch.equal(x, y) for x, y in zip(variables, [x for own in baths for x in own], strict=True))
    assert len(variables) == 5


def test_baths_at_one_temperature_share_it():
    several = Several((Langevin(1.0, 1.0), Andersen(1.0, 1.0), NoBath()), SIZES)
    given = torch.full((4, 1), 2.0)
    assert several.temperature is several.baths[0].temperature is several.baths[1].temperature
    assert not several.canonical
    assert Several((Langevin(1.0, 1.0), Andersen(1.0, 1.0)), (3, 3)).canonical
    mixed = Several((Langevin(2.0, 1.0), Langevin(given, 1.0)), (3, 3))
    assert mixed.temperature.shape == (4, 1)
    assert mixed.baths[0].temperature is mixed.temperature
    lone = Langevin(1.0, 1.0)
    Several((lone, Langevin(1.0, 1.0)), (3, 3)).temperature.fill_(5.0)
    assert lone.temperature == 1


def test_a_schedule_acts_on_all_of_several_baths():
    engine = Splitting(BAOAB, COUPLED, 0.05, Several((Langevin(1.0, 5.0), Andersen(1.0, 5.0)), (3, 3)))
    phase = engine.start(maxwell(2048), maxwell(2048), M)
    md.schedules.Scheduler({"temperature": md.Constant(4.0)}, engine).begin(0)
    for _ in range(200):
        engine(phase)
    assert deviation(phase.p.square() / M / (1 - 0.05**2 / 4), 4.0) < 2 * Z  # up to the scheme's own shift


def test_several_temperatures_heat_each_group_to_its_own():
    several = Several((Langevin(0.5, 1.0), GJF(2.0, 1.0), Andersen(4.0, 1.0)), (2, 2, 2))
    assert several.temperature is None
    assert not several.canonical
    q, p = torch.zeros(1024, 6, dtype=torch.float64), maxwell(1024)
    phase, kept = (engine := Splitting(BAOAB, HARMONIC, 0.2, several)).start(q, p, M), []
    for n in range(400):
        engine(phase)
        if n >= 160 and n % 20 == 0:
            kept.append(phase.q.square())
    expected = vector(0.5, 0.5, 2.0, 2.0, 4.0, 4.0) / HARMONIC.k
    assert deviation(torch.stack(kept).mean(0), expected) < Z


def test_the_energy_of_several_chains_is_their_heat():
    parts = [NoseHooverChain(1.0, 1.0, order=7, substeps=2, group=group) for group in ("global", "massive")]
    several = Several(parts, (2, 4))
    engine = Splitting(OBABO, COUPLED, 0.02, several)
    phase = engine.start(maxwell(3), maxwell(3, 3.0), M)
    for _ in range(300):
        engine(phase)
    assert phase.heat.abs().min() > 0.01
    torch.testing.assert_close(several.energy(phase.bath), -phase.heat, rtol=1e-8, atol=1e-9)
    assert not hasattr(Several((Langevin(1.0, 1.0), parts[0]), (2, 4)), "energy")


class Odd:
    """A bath with a variable that is odd in its coordinates."""

    def bath(self, p):
        return (p.clone(),)

    def __call__(self, p, m, bath, dt):
        p.add_(bath[0] * dt)

    def mirror(self, bath, sign):
        bath[0].mul_(sign)


def test_several_baths_are_mirrored_and_rescaled_each_in_its_columns():
    several = Several((Langevin(1.0, 1.0), Odd(), NoseHooverChain(1.0, 1.0)), (1, 3, 2))
    p = maxwell(2)
    variables = several.bath(p)
    variables[2].fill_(1.0)  # the chain's momenta
    sign = torch.where(torch.rand(2, 6) < 0.5, -1.0, 1.0).double()
    several.mirror(variables, sign)
    torch.testing.assert_close(variables[1], p[:, 1:4] * sign[:, 1:4])
    several.rescale(variables, vector(2.0, 3.0)[:, None])
    assert torch.equal(variables[2], vector(2.0, 3.0)[:, None, None].expand(2, 1, 3))
    torch.testing.assert_close(variables[1], p[:, 1:4] * sign[:, 1:4])


def test_several_baths_are_placed_together():
    several = Several((Langevin(1.0, 1.0), NoseHooverChain(1.0, 1.0)), (3, 3))
    there = place(several, torch.device("meta"))
    assert there.temperature.is_meta
    assert there.temperature is there.baths[0].temperature is there.baths[1].temperature
    assert there.baths[1].inertia.is_meta
    assert several.baths[1].inertia.device.type == "cpu"
    assert place(several, torch.device("cpu")) is several


def test_making_several_baths_draws_no_random_numbers():
    torch.manual_seed(1)
    Several((Langevin(1.0, 1.0), Andersen(1.0, 1.0)), (3, 3))
    number = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(number, torch.rand(1))


# decoherence


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_decoherence_keeps_the_kinetic_energy(dtype):
    start = maxwell(256, 2.0).to(dtype)
    p = start.clone()
    bath = Decoherence(vector(0.1, 1.0, 1e-9, 1e9).repeat_interleave(64)[:, None])
    bath(p, M.to(dtype), bath.bath(p), DT)
    exact = {torch.float32: 1e-5, torch.float64: 1e-13}[dtype]
    torch.testing.assert_close(kinetic_energy(p, M), kinetic_energy(start, M), rtol=exact, atol=0)
    assert (p - start).abs()[:192].min() > 0


def test_an_infinite_length_leaves_the_direction_alone():
    start = maxwell(8)
    assert torch.equal(act(Decoherence(float("inf")), start, 0.7), start)


def cosine(nu, n):
    """<e . e'> for e' = (e + nu z)/|e + nu z| in n dimensions: z_1 normal, the rest chi of n - 1 degrees."""

    def integrand(across, along):
        x = 1 + nu * along
        weight = stats.norm.pdf(along) * stats.chi.pdf(across, n - 1)
        return weight * x / (x * x + (nu * across) ** 2) ** 0.5

    return integrate.dblquad(integrand, -9, 9, 0, 9)[0]


def test_the_direction_is_forgotten_over_the_length():
    speed, dt, length = 2.0, 0.3, 1.7
    start = torch.zeros(40_000, 6, dtype=torch.float64)
    start[:, 2] = speed * M[2].sqrt()  # |u| = speed
    p = act(Decoherence(length), start, dt)
    seen = p[:, 2:3] / (speed * M[2].sqrt())
    nu = ((torch.exp(vector(2 * speed * dt / length)) - 1) / 6).sqrt().item()
    assert deviation(seen, cosine(nu, 6)) < Z
    others = (p / M.sqrt())[:, [0, 1, 3, 4, 5]]
    assert deviation(others, 0.0) < Z
    assert deviation(others[:, 1:].square() - others[:, :1].square(), 0.0) < Z


def test_decoherence_reaches_all_directions_equally():
    p = torch.zeros(8000, 6, dtype=torch.float64)
    p[:, 0] = 3.0
    bath = Decoherence(1.0)
    variables = bath.bath(p)
    for _ in range(40):
        bath(p, M, variables, DT)
    u2 = p.square() / M
    assert deviation(u2, 9 / M[0] / 6) < Z
    assert deviation(p, 0.0) < Z


def test_a_motion_of_constant_energy_takes_no_heat_from_decoherence():
    q, p = maxwell(16), maxwell(16)
    bare, turned = (Splitting(OBABO, COUPLED, 0.02, bath) for bath in (NoBath(), Decoherence(1.0)))
    phases = [engine.start(q.clone(), p.clone(), M) for engine in (bare, turned)]
    for _ in range(200):
        bare(phases[0])
        turned(phases[1])
    assert phases[1].heat.abs().max() < 1e-11
    assert (phases[0].q - phases[1].q).abs().min() > 1e-6
    assert bare.temperature is turned.temperature is None
    assert not turned.canonical


# all


NEW = {
    "gjf": lambda sizes: GJF(0.1, 1.0),
    "andersen all": lambda sizes: Andersen(0.1, 1.0, group="all"),
    "rescaling": lambda sizes: VelocityRescaling(0.1),
    "nose-hoover-langevin": lambda sizes: NoseHooverLangevin(0.1, 0.5, 1.0, group="layer", sizes=sizes),
    "adaptive": lambda sizes: AdaptiveLangevin(0.1, 1.0, 0.5, group="massive"),
    "several": lambda sizes: Several((Langevin(0.1, 1.0), NoseHooverChain(0.1, 0.5)), (sizes[0], sum(sizes[1:]))),
    "decoherence": lambda sizes: Decoherence(1.0),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own; a fall back to eager is an error
@pytest.mark.parametrize("bath", NEW)
def test_a_bath_is_compiled(bath):
    system = make_system()
    engine = Splitting(BAOAB, system.force, 0.02, NEW[bath](system.sizes), compile=True)
    phase = engine.start(system.positions(), 0.1 * torch.randn(3, system.dof).double(), system.masses)
    for _ in range(5):
        engine(phase)
    assert phase.q.isfinite().all()
    assert phase.u.isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Andersen(1.0, 1.0, group="massive"), "group = 'massive' is unknown; allowed are 'single'.*'all'"),
        (lambda: GJF(-1.0, 1.0), "temperature = -1.0 must be finite and not negative"),
        (lambda: GJF(1.0, -1.0), "friction = -1.0"),
        (lambda: VelocityRescaling(float("nan")), "temperature = nan"),
        (lambda: NoseHooverLangevin(0.0, 1.0, 1.0), "bath's masses Q = N_f T tau.2 vanish at T = 0"),
        (lambda: NoseHooverLangevin(1.0, 0.0, 1.0), "tau = 0.0 must be finite and positive"),
        (lambda: NoseHooverLangevin(1.0, 1.0, -1.0), "friction = -1.0"),
        (lambda: NoseHooverLangevin(1.0, 1.0, 1.0, group="each"), "group = 'each' is unknown"),
        (lambda: NoseHooverLangevin(1.0, 1.0, 1.0, group="layer", sizes=(2, 3)).bath(maxwell(1)), "add up to 5"),
        (lambda: AdaptiveLangevin(0.0, 1.0, 1.0), "vanish at T = 0"),
        (lambda: AdaptiveLangevin(1.0, 1.0, 1.0, group="layer"), "give the sizes of the parameter tensors"),
        (lambda: AdaptiveLangevin(1.0, 1.0, -1.0), "tau = -1.0"),
        (lambda: Decoherence(0.0), "length = 0.0 must be positive"),
        (lambda: Decoherence(float("nan")), "length = nan must be positive"),
        (lambda: Decoherence(torch.ones(3)), r"length has shape \(3,\); give a number"),
        (lambda: Several((), ()), "sizes = .. for 0 baths"),
        (lambda: Several((NoBath(),), (1, 2)), "give each bath the number of parameters"),
        (lambda: Several((NoBath(), NoBath()), (0, 6)), "one or more"),
        (lambda: Several((NoBath(), NoBath()), (2, 3)).bath(maxwell(1)), "add up to 5, but there are 6 parameters"),
        (
            lambda: Several((Langevin(torch.ones(3, 1), 1.0), Langevin(torch.ones(4, 1), 1.0)), (3, 3)),
            "the same number of replicas",
        ),
    ],
)
def test_wrong_values_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_baths_show_what_they_are():
    assert repr(Several((Langevin(0.1, 1.0), NoBath()), (2, 4))) == (
        "Several((Langevin(temperature=0.1, friction=1.0), NoBath()), sizes=(2, 4))"
    )
    assert repr(Andersen(0.1, 1.0, group="all")) == "Andersen(temperature=0.1, rate=1.0, group='all')"
    assert repr(Decoherence(float("inf"))) == "Decoherence(length=inf)"
