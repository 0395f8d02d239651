"""On a GPU: the same force, the same laws, the same exact resume, and captured steps that are the steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from systems import CHAINS, THERMOSTATS, LinearNetwork, Z, deviation
from test_capture import NOT_CAPTURED, Loop, Peeking, assert_same, tensors
from test_config import PLAIN
from torch.nn import functional

import mdnet as md
import trajectories
from integrators import BAOAB, HMC, OBABO, OMELYAN, SGD, Brownian, Isokinetic, MultipleTimeSteps, Splitting, outer
from mdnet import config
from mdnet.bench.gpu import kernel_share
from mdnet.routes.bias import Reduced
from mdnet.routes.capture import CapturedSteps
from mdnet.routes.graphs import CudaRecorder
from mdnet.routes.stepping import PlainSteps
from thermostats import Andersen, Bussi, Decoherence, Langevin, NoseHooverChain

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    pytest.mark.filterwarnings("ignore:Please use the new API settings"),  # torch 2.9's of TF32
]

BATHS = {
    "langevin": Langevin(1.0, friction=2.0),
    "chain": NoseHooverChain(1.0, tau=0.5),
    "bussi": Bussi(1.0, tau=0.5),
    "andersen": Andersen(1.0, rate=2.0),
}


def test_the_force_equals_the_cpus():
    cpu, gpu = LinearNetwork(8).system, LinearNetwork(8, device="cuda").system
    q = torch.randn(8, cpu.dof, dtype=torch.float64)
    for here, there in zip(cpu.force(q), gpu.force(q.cuda()), strict=True):
        torch.testing.assert_close(here, there.cpu(), rtol=1e-10, atol=1e-12)


def test_the_posterior_is_sampled():
    network = LinearNetwork(256, device="cuda")
    engine = Splitting(BAOAB, network.system.force, 1.3 / network.largest_frequency(), BATHS["langevin"])
    q = network.system.positions()
    phase, kept = engine.start(q, torch.randn_like(q), network.system.masses), []
    for step in range(700):
        engine(phase)
        if step > 200 and step % 8 == 0:
            kept.append(phase.q.cpu() - network.mean)
    rest = torch.stack(kept)
    products = (rest[..., :, None] * rest[..., None, :]).mean(0)
    assert max(deviation(rest.mean(0), 0.0), deviation(products, network.covariance())) < Z


@pytest.mark.parametrize("bath", BATHS)
def test_continuation_is_exact(tmp_path, bath):
    def simulation(folder):
        torch.manual_seed(3)  # the network's own weights are where it starts
        system = LinearNetwork(4, dtype=torch.float32, device="cuda").system
        integrator = Splitting(OBABO, system.force, 0.02, BATHS[bath])
        return md.Simulation(system, integrator, output=folder, reporters=[md.Scalars(3), md.Frames(4)])

    simulation(tmp_path / "whole").run(30, progress=False)
    simulation(tmp_path / "parts").run(13, progress=False)
    simulation(tmp_path / "parts").resume().run(17, progress=False)
    with trajectories.open(tmp_path / "whole") as a, trajectories.open(tmp_path / "parts") as b:
        np.testing.assert_array_equal(np.asarray(a.positions), np.asarray(b.positions))
        np.testing.assert_array_equal(a.observables["heat"].values[:], b.observables["heat"].values[:])


METHODS = {
    "chain": lambda force: Splitting(OBABO, force, 0.05, NoseHooverChain(1.0, tau=1.0)),
    "HMC": lambda force: HMC(force, 0.05, temperature=1.0, steps=3),
    "Brownian": lambda force: Brownian(force, 0.01, temperature=1.0),
    "SGD": lambda force: SGD(force, 0.01, momentum=0.5),
    "MCLMC": lambda force: Isokinetic(outer(OMELYAN), force, 0.05, temperature=1.0, thermostat=Decoherence(1.0)),
    "multiple steps": lambda force: MultipleTimeSteps(Splitting(OBABO, force, 0.01, Langevin(1.0, 1.0)), force, 3),
}


def begin(integrator, system, seed=7):
    torch.manual_seed(seed)
    q = system.positions(seed=1)
    return integrator.start(q, torch.randn_like(q), system.masses)


def tanh_network(**options):
    torch.manual_seed(0)
    x = torch.randn(40, 8)
    return md.ParticleSystem(
        md.networks.mlp(8, 3, (16,)), functional.cross_entropy, x, torch.arange(40) % 3, replicas=16, scale=40.0,
        **{"prior": md.GaussianPrior(1.0), "device": "cuda"} | options,
    )  # fmt: skip


def pair(build, system, unroll=4):
    """The same start, to be run plainly and captured."""
    engines = build(), build()
    phases = [begin(engine, system) for engine in engines]
    plain, inner = (PlainSteps(system, engine) for engine in engines)
    return phases, plain, CapturedSteps(inner, unroll=unroll)


@pytest.mark.parametrize("group", CHAINS)
def test_captured_chains_are_the_chains(group):
    """Law: a deterministic step replayed is the step, bit for bit."""
    system = tanh_network(prior=md.Box(0.5))
    phases, plain, captured = pair(
        lambda: Splitting(OBABO, system.force, 0.02, CHAINS[group](1.0, system.sizes)), system
    )
    for steps in (11, 1, 8):
        plain.advance(phases[0], steps)
        captured.advance(phases[1], steps)
    assert captured.reason is None
    assert_same(*phases)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_captured(method):
    system = tanh_network()
    phases, plain, captured = pair(lambda: METHODS[method](system.force), system)
    torch.manual_seed(5)
    plain.advance(phases[0], 9)
    torch.manual_seed(5)
    captured.advance(phases[1], 9)
    assert captured.reason is None
    assert_same(*phases)


@pytest.mark.parametrize("bath", [name for name in THERMOSTATS if name not in NOT_CAPTURED])
def test_captured_baths_have_the_law_of_the_baths(bath):
    """Law: mean energies of captured steps are those of steps one by one, in standard errors from replicas."""
    network = LinearNetwork(512, dtype=torch.float32, device="cuda")
    system = network.system

    def means(advance, phase):
        kept = []
        for _ in range(60):
            advance(phase, 10)
            kept.append(torch.stack([phase.u, (phase.p.square() / phase.m).sum(-1).double()]))
        return torch.stack(kept[20:]).mean(0).cpu()

    dt = 0.5 / network.largest_frequency()
    engines = [Splitting(OBABO, system.force, dt, THERMOSTATS[bath](1.0, system.sizes)) for _ in range(2)]
    captured = CapturedSteps(PlainSteps(system, engines[1]), unroll=5)
    one = means(PlainSteps(system, engines[0]).advance, begin(engines[0], system, seed=7))
    other = means(captured.advance, begin(engines[1], system, seed=8))
    assert captured.reason is None
    error = ((one.var(-1) + other.var(-1)) / one.shape[-1]).sqrt()
    assert ((one.mean(-1) - other.mean(-1)).abs() / error).max() < Z


def test_replays_draw_new_numbers_and_go_on_from_a_saved_state():
    """Law: what follows a saved state of the generator follows it again, in other graphs of other lengths as well."""
    system = tanh_network()

    def captured(unroll):
        engine = Splitting(BAOAB, system.force, 0.02, Langevin(1.0, friction=1.0))
        return CapturedSteps(PlainSteps(system, engine), unroll=unroll)

    whole, parts = captured(4), captured(3)
    phase, other = begin(whole.integrator, system), begin(parts.integrator, system)
    torch.manual_seed(9)
    whole.advance(phase, 13)
    state, saved = torch.cuda.get_rng_state(), [x.clone() for x in tensors(phase)]
    whole.advance(phase, 17)
    for x, y in zip(tensors(other), saved, strict=True):
        x.copy_(y)
    torch.manual_seed(1)
    parts.advance(other, 1)
    assert not torch.equal(other.p, phase.p)
    for x, y in zip(tensors(other), saved, strict=True):
        x.copy_(y)
    torch.cuda.set_rng_state(state)
    parts.advance(other, 17)
    assert whole.reason is None
    assert parts.reason is None
    assert_same(phase, other)


def test_schedules_act_on_captured_steps():
    """Law: temperature and dt changed in place are seen, bit for bit as without a graph, also by replica."""
    system = tanh_network()
    warmth = torch.ones(16, 1, dtype=torch.float64)
    phases, plain, captured = pair(
        lambda: Splitting(OBABO, system.force, 0.02, NoseHooverChain(warmth, tau=1.0)), system
    )
    for k in range(1, 5):
        for steps, phase in ((plain, phases[0]), (captured, phases[1])):
            steps.integrator.temperature.copy_(torch.arange(1.0, 17.0)[:, None] / k)
            steps.integrator.dt.copy_(torch.tensor(0.02 / k))
            steps.advance(phase, 6)
    assert captured.reason is None
    assert_same(*phases)


@pytest.mark.parametrize("replace", [True, False])
def test_minibatches_are_captured(replace):
    system = tanh_network()
    phases, plain, captured = pair(
        lambda: Splitting(BAOAB, system.minibatch(8, replace=replace), 0.02, Langevin(1.0, friction=1.0)), system
    )
    torch.manual_seed(5)
    plain.advance(phases[0], 9)
    torch.manual_seed(5)
    captured.advance(phases[1], 9)
    assert captured.reason is None
    assert_same(*phases)


class Careless(CudaRecorder):
    """Does not look for what breaks a capture."""

    def rehearse(self, run):
        run()


@pytest.mark.parametrize("recorder", [CudaRecorder, Careless])
def test_what_waits_is_told_and_the_generator_lives_on(recorder):
    """Law: where a capture is refused, or breaks off, steps run as they are and random numbers go on."""
    system = tanh_network()
    engine = Splitting(OBABO, system.force, 0.02, Peeking())
    phase = begin(engine, system)
    other = begin(Splitting(OBABO, system.force, 0.02, Peeking()), system)
    captured = CapturedSteps(Loop(engine), recorder=recorder(torch.device("cuda", torch.cuda.current_device())))
    state = torch.cuda.get_rng_state()
    with pytest.warns(UserWarning, match="run one by one"):
        captured.advance(phase, 5)
    assert torch.equal(state, torch.cuda.get_rng_state())
    Loop(engine).advance(other, 5)
    assert_same(phase, other)
    assert torch.randn(4, device="cuda").unique().numel() == 4
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    sound = CapturedSteps(Loop(Splitting(OBABO, system.force, 0.02, Langevin(1.0, friction=1.0))))
    sound.advance(begin(sound.integrator, system), 3)
    assert sound.reason is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_steps_are_captured():
    pytest.importorskip("triton")
    system = tanh_network(route="compiled")
    phases, plain, captured = pair(
        lambda: Splitting(OBABO, system.force, 0.02, Langevin(1.0, friction=1.0), compile=True), system
    )
    for x, y in zip(tensors(phases[0]), tensors(phases[1]), strict=True):
        x.copy_(y)  # with the keys of the counter-based random numbers
    plain.advance(phases[0], 9)
    captured.advance(phases[1], 9)
    assert captured.reason is None
    assert_same(*phases)


def images(device, dtype=torch.float32):
    torch.manual_seed(0)
    return md.ParticleSystem(
        md.networks.convnet((3, 16, 16), 4, (16, 32)), functional.cross_entropy, torch.randn(32, 3, 16, 16),
        torch.arange(32) % 4, replicas=2, device=device, dtype=dtype,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("precision", "least", "most"), [("float32", 0.0, 1e-5), ("tf32", 2e-5, 1e-2), ("bf16", 2e-4, 0.1)]
)
def test_forces_have_the_digits_they_say(precision, least, most):
    """Law: the error of a force beside float64 is that of its precision; float32 has no TF32 in its convolutions."""
    exact, system = images("cpu", torch.float64), images("cuda")
    q = exact.positions(seed=1)
    wanted = exact.force(q)[1]
    f = Reduced(system, precision)(q.float().cuda())[1].cpu()
    error = (f - wanted).norm(dim=-1) / wanted.norm(dim=-1)
    assert f.dtype == torch.float32
    assert (error <= most).all()
    assert (error >= least).all()


def test_reduced_forces_are_captured():
    system = images("cuda")
    for precision in ("tf32", "bf16"):
        force = Reduced(system, precision)
        phases, plain, captured = pair(
            lambda force=force: Splitting(OBABO, force, 0.01, NoseHooverChain(1.0, tau=1.0)), system
        )
        plain.advance(phases[0], 5)
        captured.advance(phases[1], 5)
        assert captured.reason is None
        for x, y in zip(tensors(phases[0]), tensors(phases[1]), strict=True):
            torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3)  # convolutions may add up in any order


def test_kernels_take_a_share_of_the_time():
    system = tanh_network()
    engine = Splitting(OBABO, system.force, 0.02, NoseHooverChain(1.0, tau=1.0))
    phase = begin(engine, system)
    assert 0 < kernel_share(lambda: Loop(engine).advance(phase, 96), seconds=1.0) < 1


def test_a_run_file_runs_on_the_gpu(tmp_path):
    path = tmp_path / "gpu.toml"
    path.write_text(PLAIN + '\n[system]\ndevice = "cuda"\nreplicas = 8\n')
    simulation = config.build(config.load(path, ()), output=tmp_path / "run", progress=False)
    assert simulation.phase.q.device.type == "cuda"
    assert simulation.run(30, progress=False) == "finished"
    with trajectories.open(tmp_path / "run") as run:
        assert np.isfinite(np.asarray(run.positions)).all()
