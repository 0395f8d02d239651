"""Law: SGD takes the steps of torch.optim.SGD, on every replica with rates of its own, and on a sphere if asked to."""

import pytest
import torch
from methods import continues_exactly
from systems import HARMONIC, MODES, Z, deviation, vector
from torch import nn
from torch.nn import functional

import mdnet as md
from integrators import SGD

K, M = HARMONIC.k, HARMONIC.m
ONE = torch.ones(6, dtype=torch.float64)
CHOICES = {
    "plain": {},
    "decay": {"weight_decay": 0.1},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.8, "nesterov": True, "weight_decay": 0.05},
}


def begin(engine, force=MODES, replicas=3, m=ONE):
    torch.manual_seed(torch.initial_seed())
    q = torch.randn(replicas, 6, dtype=torch.float64)
    return engine.start(q, torch.randn_like(q), m)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("choice", CHOICES)
def test_it_takes_the_steps_of_torch(choice, dtype):
    network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)).to(dtype)
    x = torch.randn(20, 2, dtype=dtype)
    y = x.prod(-1, keepdim=True)
    system = md.ParticleSystem(network, functional.mse_loss, x, y, replicas=2, dtype=dtype)
    phase = (engine := SGD(system.force, 0.1, **CHOICES[choice])).start(
        system.positions(), torch.zeros(2, system.dof, dtype=dtype), system.masses
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, **CHOICES[choice])
    start = system.table.flatten(network).clone()
    for _ in range(50):
        optimizer.zero_grad()
        functional.mse_loss(network(x), y).backward()
        optimizer.step()
        engine(phase)
    end = system.table.flatten(network).detach()
    assert (end - start).abs().max() > 0.1
    tight = 1e-4 if dtype == torch.float32 else 1e-11
    torch.testing.assert_close(phase.q, end.repeat(2, 1), rtol=tight, atol=tight)
    torch.testing.assert_close(phase.u, system.energy(phase.q))


def test_every_replica_has_rates_of_its_own():
    options = {"momentum": (0.0, 0.5, 0.9), "weight_decay": (0.2, 0.0, 0.1), "radius": (1.0, 2.0, 3.0)}
    rates = (0.02, 0.05, 0.01)
    columns = {name: vector(*values)[:, None] for name, values in options.items()}
    together = begin(engine := SGD(MODES, vector(*rates)[:, None], **columns))
    for _ in range(30):
        engine(together)
    for i, rate in enumerate(rates):
        alone = begin(engine := SGD(MODES, rate, **{name: values[i] for name, values in options.items()}))
        for _ in range(30):
            engine(alone)
        torch.testing.assert_close(together.q[i], alone.q[i], rtol=1e-12, atol=1e-12)


def test_masses_divide_the_rate():
    heavy, light = begin(SGD(MODES, 0.04, momentum=0.5), m=4 * ONE), begin(SGD(MODES, 0.01, momentum=0.5))
    for _ in range(20):
        SGD(MODES, 0.04, momentum=0.5)(heavy)
        SGD(MODES, 0.01, momentum=0.5)(light)
    torch.testing.assert_close(heavy.q, light.q, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("radius", ["start", 2.0])
@pytest.mark.parametrize("choice", CHOICES)
def test_a_sphere_is_kept(choice, radius):
    phase = begin(engine := SGD(MODES, 0.02, radius=radius, **CHOICES[choice]))
    torch.manual_seed(torch.initial_seed())
    norms = torch.randn(3, 6, dtype=torch.float64).norm(dim=-1) if radius == "start" else 2 * torch.ones(3)
    first = phase.q.clone()
    for _ in range(40):
        torch.testing.assert_close(phase.q.norm(dim=-1), norms.double(), rtol=1e-14, atol=0)
        torch.testing.assert_close((phase.u, phase.f), MODES(phase.q))
        engine(phase)
    assert (phase.q - first).norm(dim=-1).min() > 0.05


def test_one_step_on_the_sphere_is_a_step_and_a_projection():
    phase = begin(engine := SGD(MODES, 0.1, radius="start"))
    q, f = phase.q.clone(), phase.f.clone()
    engine(phase)
    moved = q + 0.1 * f
    torch.testing.assert_close(phase.q, moved * (q.norm(dim=-1) / moved.norm(dim=-1))[:, None])


@pytest.mark.parametrize("choice", CHOICES)
def test_an_effective_rate_is_a_rate_times_the_square_of_the_radius(choice):
    """Law: a step with `effective` is a step at the rate dt |q|^2 of where it begins, on every replica and mass."""
    effective = begin(engine := SGD(MODES, 0.003, effective=True, **CHOICES[choice]), m=M)
    plain = begin(SGD(MODES, 1.0, **CHOICES[choice]), m=M)
    for _ in range(20):
        rate = 0.003 * plain.q.square().sum(-1, keepdim=True)
        engine(effective)
        SGD(MODES, rate, **CHOICES[choice])(plain)
    torch.testing.assert_close(effective.q, plain.q, rtol=1e-12, atol=1e-12)
    assert rate.max() / rate.min() > 1.02


SCHEDULES = {
    "cosine": lambda rate, steps: md.Cosine(rate, 0.1 * rate, steps),
    "steps": lambda rate, steps: md.Table([0, steps // 3, steps // 2], [rate, 0.1 * rate, 0.01 * rate]),
}


@pytest.mark.parametrize("effective", [False, True], ids=["rate", "effective rate"])
@pytest.mark.parametrize("kind", SCHEDULES)
def test_every_replica_follows_a_schedule_of_its_own(kind, effective):
    """Law: a schedule of (replicas, 1) rates is the schedule of each rate by itself."""
    x = torch.randn(12, 2, dtype=torch.float64)
    y = x.prod(-1, keepdim=True)
    rates = tuple((0.02 if effective else 1.0) * rate for rate in (0.01, 0.05, 0.2))

    def end(rate):
        replicas = len(rate)
        torch.manual_seed(2)
        network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
        system = md.ParticleSystem(network, functional.mse_loss, x, y, replicas=replicas, dtype=torch.float64)
        engine = SGD(system.force, rate, momentum=0.5, effective=effective)
        simulation = md.Simulation(system, engine, schedule={"dt": SCHEDULES[kind](rate, 30)}, reporters=[])
        simulation.run(30, progress=False)
        return simulation.phase.q, engine.dt.flatten()

    together, last = end(vector(*rates)[:, None])
    assert last.max() < 0.11 * max(rates)
    for replica, rate in enumerate(rates):
        torch.testing.assert_close(together[replica], end(vector(rate)[:, None])[0][0], rtol=1e-12, atol=1e-12)
    assert (together[0] - together[2]).abs().max() > 1e-4


def test_its_parts_are_its_step():
    """Law: what a step does before and after its evaluation of the force is the step."""
    for options in ({"radius": 2.0}, {"effective": True, "weight_decay": 0.1}):
        engine = SGD(MODES, 0.01, momentum=0.5, **options)
        whole, parted = begin(engine), begin(engine)
        for _ in range(5):
            engine(whole)
            first, second = engine.parts
            first(parted, None)
            second(parted, MODES(parted.q))
        assert torch.equal(whole.q, parted.q)
        assert torch.equal(whole.f, parted.f)


def test_a_replica_that_is_put_elsewhere_goes_on_as_the_one_that_was_there():
    phase = begin(engine := SGD(MODES, 0.02, momentum=0.9, radius="start"))
    for _ in range(5):
        engine(phase)
    engine.select(phase, torch.tensor([2, 2, 0]))
    for _ in range(5):
        torch.testing.assert_close(phase.q[0], phase.q[1], rtol=0, atol=0)
        engine(phase)
    assert (phase.q[0] - phase.q[2]).abs().max() > 0.1


def test_the_noise_of_minibatches_heats():
    """<q^2> = h s^2/(k (2 - h k)): a temperature of about h s^2/2, where the noise is isotropic.

    Reference: Mandt, Hoffman, Blei, J. Mach. Learn. Res. 18, 134 (2017).
    """
    h, s = 0.1, 2.0

    def force(q):
        u, f = HARMONIC(q)
        return u, f + s * torch.randn_like(f)

    force.stochastic = True
    engine = SGD(force, h)
    assert engine.stochastic
    phase = engine.start(torch.zeros(4096, 6, dtype=torch.float64), torch.zeros(4096, 6, dtype=torch.float64), ONE)
    kept = []
    for n in range(360):
        engine(phase)
        if n > 120 and n % 20 == 0:
            kept.append(phase.q.square())
    assert deviation(torch.stack(kept).mean(0), h * s**2 / (K * (2 - h * K))) < Z


def test_a_minibatch_is_used_where_it_was_reported():
    """Each force is drawn once: phase.f is the force of the next step."""
    drawn = []

    def force(q):
        drawn.append(torch.randn_like(q))
        return torch.zeros(len(q), dtype=torch.float64), drawn[-1].clone()

    phase = begin(engine := SGD(force, 0.5))
    q = phase.q.clone()
    for n in range(4):
        torch.testing.assert_close(phase.f, drawn[n], rtol=0, atol=0)
        engine(phase)
        q += 0.5 * drawn[n]
        torch.testing.assert_close(phase.q, q)
    assert len(drawn) == 5


@pytest.mark.parametrize("choice", ["plain", "momentum", "nesterov"])
def test_strain_is_one_at_the_longest_stable_step(choice):
    options = CHOICES[choice] | {"weight_decay": 0.0}
    mu = options.get("momentum", 0.0)
    limit = 2 * (1 + mu) / (1 + 2 * mu if options.get("nesterov") else 1) / K.max().item()
    for factor in (0.98, 1.02):
        phase = begin(engine := SGD(HARMONIC, factor * limit, **options))
        for _ in range(2000):
            engine(phase)
        assert engine.strain(K.max().sqrt()[None]).item() == pytest.approx(factor)
        assert (not (phase.u < 1e3).all()) == (factor > 1)  # or not a number


def test_it_has_no_temperature_and_starts_at_rest():
    phase = begin(engine := SGD(MODES, 0.1, momentum=0.9))
    assert engine.temperature is None
    assert not engine.has_momenta
    assert not engine.canonical
    assert (phase.p == 0).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"momentum": 1.0}, "momentum = 1.0 must be finite and not negative and below 1"),
        ({"weight_decay": -0.1}, "weight_decay = -0.1"),
        ({"nesterov": True}, "nesterov=True with momentum = 0.0"),
        ({"nesterov": True, "momentum": torch.zeros(3, 1)}, "changes nothing"),
        ({"radius": "end"}, "radius = 'end' is unknown"),
        ({"radius": 0.0}, "radius = 0.0 must be finite and positive"),
        ({"radius": 2.0, "effective": True}, r"effective=True with radius = 2.0: .*give R\^2 times that rate as dt"),
    ],
)
def test_what_is_out_of_range_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        SGD(MODES, 0.1, **options)


@pytest.mark.parametrize("name", ["radius", "momentum", "weight_decay"])
def test_parameters_of_other_replicas_are_refused(name):
    values, q = torch.full((3, 1), 0.5), torch.ones(2, 6, dtype=torch.float64)
    with pytest.raises(ValueError, match=f"{name} has 3 values and there are 2 replicas"):
        SGD(MODES, 0.1, **{name: values}).start(q, q.clone(), ONE)
    with pytest.raises(ValueError, match="dt has 3 values"):
        SGD(MODES, 0.1 * values).start(q, q.clone(), ONE)


def test_nesterov_goes_with_a_sweep_from_no_momentum_on():
    """Law: the replica without momentum moves as plain descent."""
    q = torch.randn(2, 6, dtype=torch.float64)
    engines = SGD(MODES, 0.1, momentum=torch.tensor([[0.0], [0.9]]), nesterov=True), SGD(MODES, 0.1)
    phases = [engine.start(q.clone(), torch.zeros_like(q), ONE) for engine in engines]
    for engine, phase in zip(engines, phases, strict=True):
        for _ in range(3):
            engine(phase)
    assert torch.allclose(phases[0].q[0], phases[1].q[0], rtol=1e-13)
    assert not torch.allclose(phases[0].q[1], phases[1].q[1])


@pytest.mark.parametrize("options", [{"radius": "start"}, {"effective": True}], ids=str)
def test_zero_is_on_no_sphere(options):
    zero = torch.zeros(2, 6, dtype=torch.float64)
    with pytest.raises(ValueError, match="no direction"):
        SGD(MODES, 0.1, **options).start(zero, zero.clone(), ONE)


@pytest.mark.parametrize("options", [{}, {"radius": "start"}, {"effective": True}], ids=str)
def test_resume(tmp_path, options):
    schedule = {"dt": md.Linear(0.02, 0.1, 20)}
    continues_exactly(tmp_path, lambda system: SGD(system.force, 0.02, momentum=0.9, **options), schedule)
