"""Run files: what is described is what is built, and every error is told at its place, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import mdnet as md
from mdnet import config
from mdnet.config.choices import METHODS, PRIORS, SCHEDULES, TEMPERING, THERMOSTATS
from mdnet.config.schemes import spell
from thermostats import GLE

PLAIN = """
[network]
name = "mlp"
hidden = [4]

[data]
name = "sine"

[integrator]
scheme = "BAOAB"
dt = 0.01

[thermostat]
name = "langevin"
temperature = 0.1
friction = 1.0

[run]
steps = 10
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "plain.toml"
    path.write_text(PLAIN)
    return path


def built(file, *overrides, **options):
    return config.build(config.load(file, overrides), progress=False, **options)


def test_a_plain_file_is_built_as_written(file):
    simulation = built(
        file, "system.replicas=3", 'system.prior={kind="gaussian", variance=2.0}', "data.standardise=false"
    )
    system, integrator = simulation.system, simulation.integrator
    assert system.replicas == 3
    assert system.dof == 13
    assert integrator.scheme.name == "BAOAB"
    assert integrator.dt.item() == 0.01
    assert integrator.thermostat.friction.item() == 1.0
    torch.testing.assert_close(system.stiffness, torch.full((13,), 0.1 / 2.0))  # the prior takes the set temperature
    torch.testing.assert_close(system.inputs, md.data.split(md.data.sine(), standardise=False).train[0])
    assert torch.equal(simulation.phase.q, system.positions(seed=0))
    assert [type(r).__name__ for r in simulation.reporters] == ["Scalars", "Frames", "Evaluate", "Predictions"]
    assert simulation.run(10, progress=False) == "finished"


def test_defaults_are_those_of_what_is_described(file):
    runfile = config.load(file)
    simulation = built(file)
    assert runfile.report.scalars == md.Scalars().every
    assert simulation.system.scale == 1.0
    assert simulation.system.prior is None
    chain = built(file, "thermostat={name='nose-hoover-chain', temperature=0.1, tau=1}").integrator.thermostat
    assert (chain.links, chain.order, chain.group) == (3, 3, "global")


def test_the_example_is_valid_and_says_all():
    runfile = config.load(Path(md.__file__).parent / "examples" / "auto_mpg.toml")
    assert {"network", "data", "system", "integrator", "thermostat", "schedule"} <= runfile.model_fields_set


@pytest.mark.parametrize("name", THERMOSTATS)
@pytest.mark.filterwarnings("ignore:predictions are recorded")
def test_every_thermostat_can_be_named(file, name):
    options = {
        "langevin": "temperature=0.1, friction=1.0",
        "gjf": "temperature=0.1, friction=1.0",
        "gle-optimal": "temperature=0.1, slowest=0.1, fastest=10.0",
        "gle-delta": "temperature=0.1, frequency=1.0, width=0.1, friction=1.0",
        "nose-hoover-langevin": "temperature=0.1, tau=1.0, friction=1.0",
        "adaptive-langevin": "temperature=0.1, tau=1.0, friction=1.0, group='layer'",
        "rescaling": "temperature=0.1",
        "decoherence": "length=1.0",
        "nose-hoover-chain": "temperature=0.1, tau=1.0, group='layer'",
        "bussi": "temperature=0.1, tau=1.0",
        "andersen": "temperature=0.1, rate=1.0, group='all'",
        "berendsen": "temperature=0.1, tau=1.0",
        "none": "",
    }[name]
    simulation = built(file, f"thermostat={{name='{name}', {options}}}".replace(", }", "}"))
    kind = GLE if name.startswith("gle-") else THERMOSTATS[name]
    assert isinstance(simulation.integrator.thermostat, kind)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_every_schedule_can_be_named(file, kind):
    options = {
        "constant": "value=0.2",
        "staircase": "start=0, stop=0.2, stages=2, every=5",
        "linear": "start=0.0, stop=0.2, steps=10",
        "cosine": "start=0.0, stop=0.2, steps=10",
        "cyclical": "start=0.2, stop=0.0, steps=10",
        "table": "steps=[0, 10], values=[0.0, 0.2]",
    }[kind]
    simulation = built(file, f"schedule.temperature={{kind='{kind}', {options}}}")
    schedule = simulation.scheduler.schedules["temperature"]
    assert isinstance(schedule, SCHEDULES[kind])
    assert schedule(100) == pytest.approx(0.2)


@pytest.mark.parametrize("kind", PRIORS)
def test_every_prior_can_be_named(file, kind):
    assert isinstance(built(file, f"system.prior={{kind='{kind}'}}").system.prior, PRIORS[kind])


@pytest.mark.parametrize("word", ["BAOAB", "OBABO", "outer(VERLET)", "middle(VERLET)", "outer(OMELYAN)", "OABAO"])
def test_schemes_are_spelt(file, word):
    integrator = built(file, f"integrator.scheme={word}").integrator
    assert integrator.scheme == spell(word)
    assert integrator.scheme.has_bath


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:predictions are recorded")
def test_every_method_can_be_named(tmp_path, method):
    options = {
        "splitting": "scheme='VERLET'",
        "brownian": "temperature=0.1, friction=2.0",
        "euler-maruyama": "temperature=0.1, friction=2.0",
        "isokinetic": "scheme='OMELYAN', temperature=0.1",
        "hmc": "temperature=0.1, steps=3, scheme='OMELYAN'",
        "mala": "temperature=0.1",
        "sgd": "momentum=0.9, radius='start'",
    }[method]
    file = tmp_path / "own.toml"
    file.write_text(PLAIN[: PLAIN.index("[thermostat]")] + PLAIN[PLAIN.index("[run]") :])
    run = [f"integrator={{method='{method}', dt=0.01, {options}}}"]
    warm = method not in ("splitting", "sgd")
    simulation = built(file, *run, *(["system.prior={kind='gaussian'}"] if warm else []))
    assert isinstance(simulation.integrator, METHODS[method])
    if warm:
        torch.testing.assert_close(simulation.system.stiffness, torch.full((13,), 0.1))
    runfile = config.load(file, run)
    assert config.load(config.store(runfile, tmp_path / "again")) == runfile


@pytest.mark.filterwarnings("ignore:predictions are recorded")
def test_a_minibatch_takes_the_place_of_all_data(file):
    force = built(file, "minibatch.size=5", "minibatch.replace=false").integrator.force
    assert (force.size, force.replace, force.shared) == (5, False, False)


@pytest.mark.parametrize("kind", TEMPERING)
def test_every_tempering_can_be_named(file, kind):
    options = {
        "replica-exchange": "ladder={low=0.1, high=0.4, rungs=3}, every=5, tempered='loss'",
        "simulated-tempering": "ladder=[0.1, 0.2, 0.4], every=5, learn=100",
        "population-annealing": "temperatures=[0.4, 0.2, 0.1], every=5",
    }[kind]
    words = ["thermostat={name='langevin', friction=1.0}", f"tempering={{kind='{kind}', {options}}}",
             "system.replicas=6", "system.prior={kind='gaussian'}"]  # fmt: skip
    simulation = built(file, *words)
    assert isinstance(simulation.actions[0], TEMPERING[kind])
    assert simulation.integrator.temperature.shape == (6, 1)
    assert simulation.system.stiffness.min().item() == pytest.approx(0.1)  # that of the lowest temperature
    assert simulation.run(20, progress=False) == "finished"


def test_a_step_can_be_adapted(file):
    (action,) = built(file, "adapt.steps=100", "adapt.error=0.1").actions
    assert repr(action) == "AdaptStep(steps=100, every=10, error=0.1, acceptance=0.8)"


def test_numbers_may_differ_by_replica(file):
    simulation = built(
        file, "system.replicas=2", "thermostat.temperature=[0.1, 0.2]", "integrator.dt=[0.01, 0.02]",
        "system.prior={kind='gaussian', variance=1.0}",
    )  # fmt: skip
    assert simulation.integrator.temperature.tolist() == [[0.1], [0.2]]
    assert simulation.integrator.dt.tolist() == [[0.01], [0.02]]
    torch.testing.assert_close(simulation.system.stiffness[:, 0], torch.tensor([0.1, 0.2]))


def test_every_replica_may_have_its_own_split(file):
    simulation = built(file, "data.per_replica=true", "data.seed=5", "system.replicas=3", "data.standardise=false")
    for replica in range(3):
        own = md.data.split(md.data.sine(seed=5 + replica), seed=5 + replica, standardise=False)
        assert torch.equal(simulation.system.targets[replica], own.train[1])
    assert simulation.run(10, progress=False) == "finished"


def test_labels_scale_and_start(file):
    overrides = ["data={name='iris', train=60, label_noise=0.5, seed=2}", "system.scale=n", "start.adam_steps=30"]
    simulation = built(file, *overrides)
    clean = md.data.split(md.data.load("iris"), 60, seed=2).train[1]
    assert torch.equal(simulation.system.targets, md.data.label_noise(clean, 0.5, 3, seed=2))
    assert simulation.system.scale == 60
    assert simulation.system.loss is torch.nn.functional.cross_entropy
    system = simulation.system
    assert torch.equal(simulation.phase.q, md.minimise(system, system.positions(seed=0), 30, 0.005, progress=False))


def test_building_leaves_the_caller_s_random_numbers_alone(file):
    before = torch.get_rng_state()
    built(file)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_stored_file_describes_the_same_run(file, tmp_path):
    overrides = [
        "system.masses={hidden1=2.0, 'output.weight'=1.0, output=3.0}", "system.prior={kind='box', halfwidth='fan_in'}",
        "schedule.dt={kind='table', steps=[0, 5], values=[0.01, 0.02]}", "run.wall_clock=3.5",
    ]  # fmt: skip
    for runfile in (config.load(file), config.load(file, overrides)):
        assert config.load(config.store(runfile, tmp_path / "run")) == runfile


def test_overrides_are_read_as_toml_or_as_text(file):
    runfile = config.load(file, ["run.steps=7", "network.name=linear", "network.name = mlp", "network.hidden=[2, 3]"])
    assert runfile.run.steps == 7
    assert runfile.network.hidden == [2, 3]


WRONG = {
    "[thermostat] unknown key 'temprature'; did you mean 'temperature'?": "thermostat.temprature=0.1",
    "unknown table 'sytem'; did you mean 'system'?": "sytem.replicas=2",
    "[network] unknown name 'mpl'; did you mean 'mlp'?": "network.name=mpl",
    "[network] unknown activation 'thanh'; did you mean 'tanh'?": "network.activation=thanh",
    "[network] unknown key 'hiden'; did you mean 'hidden'?": "network.hiden=[3]",
    "[data] unknown data set 'iriss'; did you mean 'iris'?": "data.name=iriss",
    "[system] unknown loss 'mae'": "system.loss=mae",
    "[system.prior] unknown kind 'gausian'; did you mean 'gaussian'?": "system.prior={kind='gausian'}",
    "[system.prior] unknown key 'varience'; did you mean 'variance'?": "system.prior={kind='gaussian', varience=1}",
    "[system.prior] kind is missing; known: box, gaussian": "system.prior={variance=1.0}",
    "[system.prior] must be a table of keys and values, not 3": "system.prior=3",
    "[system.prior] temperature = -1 of the prior must not be negative":
        "system.prior={kind='gaussian', temperature=-1}",
    "[system] replicas = 2.5 must be a whole number": "system.replicas=2.5",
    "[system] replicas = 0 must be 1 or more": "system.replicas=0",
    "[system] scale = 'm' must be a number, or 'n'": "system.scale=m",
    "[system] masses = [1] must be a number, or a table": "system.masses=[1]",
    "[system] unknown route 'nativ'; did you mean 'native'?": "system.route=nativ",
    "[integrator] unknown scheme 'BOAB2'; did you mean 'BAOAB'?": "integrator.scheme=BOAB2",
    "[integrator] unknown scheme 'VERLT'; did you mean 'VERLET'?": "integrator.scheme=outer(VERLT)",
    "[integrator] scheme word 'BAO' is not a palindrome": "integrator.scheme=BAO",
    "[integrator] dt = -0.1 is not a positive, finite time step": "integrator.dt=-0.1",
    "[integrator] dt = 'fast' must be a finite number": "integrator.dt=fast",
    "[integrator] scheme = 5 must be the name of a scheme": "integrator.scheme=5",
    "[integrator] unknown key 'temperature'; known: dt, method, scheme": "integrator.temperature=0.1",
    "[integrator] unknown method 'brownan'; did you mean 'brownian'?": "integrator.method=brownan",
    "[integrator] temperature is missing": "integrator={method='brownian', dt=0.1}",
    "[integrator] steps = 0: a proposal takes": "integrator={method='hmc', dt=0.1, temperature=1, steps=0}",
    "[integrator] radius = 'begin' must be a positive number, or 'start'":
        "integrator={method='sgd', dt=0.1, radius='begin'}",
    "[integrator] scheme LEAPFROG has momenta ahead":
        "integrator={method='isokinetic', scheme='LEAPFROG', dt=0.1, temperature=1}",
    "[thermostat] the method brownian goes without one": "integrator={method='brownian', dt=0.1, temperature=1}",
    "[minibatch] size = 0 must be 1 or more": "minibatch.size=0",
    "[adapt] steps = 5 and every = 10: an adaptation": "adapt.steps=5",
    "[tempering] unknown kind 'replica-exchang'; did you mean 'replica-exchange'?":
        "tempering.kind='replica-exchang'",
    "[tempering] ladder = 3 must be a list of temperatures, or {": "tempering={kind='replica-exchange', ladder=3}",
    "[thermostat] temperature is set by the ladder in [tempering]":
        "tempering={kind='replica-exchange', ladder=[0.1, 0.2]}",
    "[thermostat] temperature is missing": "thermostat={name='langevin', friction=1.0}",
    "[thermostat] temperature = -0.1 must be finite and not negative": "thermostat.temperature=-0.1",
    "[thermostat] temperature = True must be a finite number": "thermostat.temperature=true",
    "[thermostat] temperature = [0.1, 'a'] must be a finite number, or a list": "thermostat.temperature=[0.1, 'a']",
    "[thermostat] temperature lists 3 values, but there are 1 replicas": "thermostat.temperature=[0.1, 0.1, 0.1]",
    "[thermostat] unknown key 'friction'; known: name, tau, temperature": "thermostat.name=bussi",
    "[thermostat] tau is missing": "thermostat={name='bussi', temperature=1}",
    "[thermostat] unknown group 'layers'; did you mean 'layer'?":
        "thermostat={name='nose-hoover-chain', temperature=1, tau=1, group='layers'}",
    "[thermostat] order = 4 is no Suzuki-Yoshida":
        "thermostat={name='nose-hoover-chain', temperature=1, tau=1, order=4}",
    "[schedule.temperature] stages = 0 must be one or more":
        "schedule.temperature={kind='staircase', start=0, stop=1, stages=0, every=1}",
    "[schedule.dt] unknown kind 'step'": "schedule.dt={kind='step'}",
    "[schedule] unknown key 'temprature'": "schedule.temprature={kind='constant', value=1}",
    "[start] adam_rate = 0.0 must be above 0": "start.adam_rate=0.0",
    "[run] steps = 'many' must be a whole number": "run.steps=many",
    "[run] steps is missing": "run={seed=1}",
    "[run] must be a table of keys and values, not 5": "run=5",
    "[report] frames = -1 must be 0 or more": "report.frames=-1",
}  # fmt: skip


@pytest.mark.parametrize(("message", "override"), WRONG.items(), ids=WRONG.values())
def test_an_error_names_its_place_and_its_remedy(file, message, override):
    with pytest.raises(config.ConfigError) as caught:
        config.load(file, [override])
    assert message in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_all_errors_are_told_at_once(file):
    wrong = ["run.steps=many", "system.replicas=0", "thermostat.temperature=-1", "sytem.x=1"]
    with pytest.raises(config.ConfigError, match="has 4 errors") as caught:
        config.load(file, wrong)
    assert len(str(caught.value).splitlines()) == 5


@pytest.mark.filterwarnings("ignore:predictions are recorded")
def test_a_thermostat_is_asked_for_where_the_scheme_has_a_bath(tmp_path):
    file = tmp_path / "bathless.toml"
    file.write_text(PLAIN[: PLAIN.index("[thermostat]")] + PLAIN[PLAIN.index("[run]") :])
    with pytest.raises(config.ConfigError, match=r"\[thermostat\] is missing; scheme BAOAB has a heat bath"):
        config.load(file)
    assert built(file, "integrator.scheme=VERLET").integrator.thermostat is None
    with pytest.raises(ValueError, match=r"\[system.prior\] temperature is missing"):
        built(file, "integrator.scheme=VERLET", "system.prior={kind='gaussian'}")


@pytest.mark.parametrize("override", ["run.steps", "=3", "run..steps=1", "run.steps.more=1"])
def test_a_bad_override_is_named(file, override):
    with pytest.raises(config.ConfigError, match="override"):
        config.load(file, [override])


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    with pytest.raises(config.ConfigError, match="cannot read the run file"):
        config.load(tmp_path / "nothing.toml")
    (tmp_path / "bad.toml").write_text("[run\nsteps = 1")
    with pytest.raises(config.ConfigError, match="is not TOML"):
        config.load(tmp_path / "bad.toml")


def test_a_label_noise_of_numbers_is_refused(file):
    with pytest.raises(ValueError, match="label_noise needs classes"):
        built(file, "data.label_noise=0.1")


def test_the_configurational_temperature_is_reported_on_request(file):
    assert not [each for each in built(file).reporters if isinstance(each, md.ConfigurationalTemperature)]
    (found,) = [
        each
        for each in built(file, "report.configurational=7").reporters
        if isinstance(each, md.ConfigurationalTemperature)
    ]
    assert found.every == 7


def test_what_a_reporter_refuses_is_told_before_the_start_is_prepared(file, monkeypatch):
    monkeypatch.setattr("mdnet.config.building.start", lambda *_, **__: pytest.fail("too late"))
    with pytest.raises(ValueError, match=r"unknown parameter tensor 'hiden1\.weight'"):
        built(file, 'report.tensors=["hiden1.weight"]')
