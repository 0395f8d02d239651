"""Law: a scheme is data: its fractions add up, its combinations agree, and what makes no sense is refused."""

import pytest
import torch
from systems import HARMONIC, NVE, SCHEMES, vector

from integrators import (
    BAOAB,
    OBABO,
    OMELYAN,
    VERLET,
    YOSHIDA4,
    Brownian,
    Scheme,
    Splitting,
    compose,
    middle,
    outer,
    scheme,
)
from thermostats import Andersen, Berendsen, Bussi, Langevin, NoBath, NoseHooverChain

ALL = NVE | SCHEMES


@pytest.mark.parametrize("name", ALL)
def test_every_letter_has_its_whole_time(name):
    steps = ALL[name].steps
    for letter in set(ALL[name].word):
        assert sum(c for k, c in steps if k == letter) == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("name", ALL)
def test_every_scheme_is_a_palindrome(name):
    steps = ALL[name].steps
    assert [k for k, _ in steps] == [k for k, _ in reversed(steps)]
    assert [c for _, c in steps] == pytest.approx([c for _, c in reversed(steps)], abs=1e-15)


def test_a_word_shares_time_equally():
    assert VERLET.steps == (("B", 0.5), ("A", 1.0), ("B", 0.5))
    assert BAOAB.steps == (("B", 0.5), ("A", 0.5), ("O", 1.0), ("A", 0.5), ("B", 0.5))
    assert OBABO.steps == (("O", 0.5), ("B", 0.5), ("A", 1.0), ("B", 0.5), ("O", 0.5))
    assert scheme("BABAB", B=(0.2, 0.6, 0.2)).steps[0] == ("B", 0.2)
    assert (scheme("ABA").name, str(OMELYAN), YOSHIDA4.order) == ("ABA", "OMELYAN", 4)


def test_middle_and_outer_make_the_known_schemes():
    assert middle(VERLET).steps == BAOAB.steps
    assert outer(VERLET).steps == OBABO.steps
    assert (outer(YOSHIDA4).order, middle(YOSHIDA4).order) == (4, 2)
    assert (outer(VERLET).name, middle(VERLET).name) == ("outer(VERLET)", "middle(VERLET)")


def test_compose_merges_neighbours():
    assert compose(VERLET, (1.0,)).steps == VERLET.steps
    halves = compose(VERLET, (0.5, 0.5))
    assert halves.steps == (("B", 0.25), ("A", 0.5), ("B", 0.5), ("A", 0.5), ("B", 0.25))
    assert YOSHIDA4.word == "BABABAB"
    w = 1 / (2 - 2 ** (1 / 3))
    assert [c for k, c in YOSHIDA4.steps if k == "A"] == pytest.approx([w, 1 - 2 * w, w], abs=1e-15)
    assert compose(scheme("ABA"), (0.5, 0.5)).word == "ABABA"


def test_composed_halves_are_two_steps_of_half_the_size():
    q, p = torch.randn(3, 6, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    once, twice = Splitting(compose(VERLET, (0.5, 0.5)), HARMONIC, 0.2), Splitting(VERLET, HARMONIC, 0.1)
    one, two = (engine.start(q.clone(), p.clone(), HARMONIC.m) for engine in (once, twice))
    once(one)
    twice(two)
    twice(two)
    torch.testing.assert_close((one.q, one.p), (two.q, two.p), rtol=1e-13, atol=1e-13)


def test_omelyan_has_the_smallest_error_of_its_form():
    """xi = 1/2 - r/12 + 1/(6 r), r = (36 + 2 sqrt(326))^(1/3): the least alpha^2 + beta^2 of the dt^2 terms."""
    r = (36 + 2 * 326**0.5) ** (1 / 3)
    assert next(c for k, c in OMELYAN.steps if k == "B") == pytest.approx(0.5 - r / 12 + 1 / (6 * r), abs=1e-15)


def test_what_a_scheme_knows_of_itself():
    assert (BAOAB.closing_kick, OBABO.closing_kick, scheme("ABA").closing_kick) == (0.5, 0.5, 1.0)
    assert BAOAB.ends_with_kick
    assert OBABO.ends_with_kick
    assert not scheme("ABA").ends_with_kick
    assert [s.has_bath for s in (VERLET, BAOAB, outer(OMELYAN))] == [False, True, True]


def test_sync_brings_the_force_to_the_end_of_a_drift():
    engine = Splitting(scheme("ABA"), HARMONIC, 0.2)
    phase = engine.start(torch.ones(2, 6, dtype=torch.float64), torch.ones(2, 6, dtype=torch.float64), HARMONIC.m)
    engine(phase)
    assert not torch.equal(phase.f, HARMONIC(phase.q)[1])
    engine.sync(phase)
    assert torch.equal(phase.f, HARMONIC(phase.q)[1])
    assert torch.equal(phase.u, HARMONIC(phase.q)[0])


def test_verlet_evaluates_the_force_once_a_step():
    calls = []

    def force(q):
        calls.append(1)
        return HARMONIC(q)

    for made, forces in ((VERLET, 1), (BAOAB, 1), (OMELYAN, 2), (outer(YOSHIDA4), 3)):
        engine = Splitting(made, force, 0.1, NoBath() if made.has_bath else None)
        phase = engine.start(torch.ones(2, 6, dtype=torch.float64), torch.ones(2, 6, dtype=torch.float64), HARMONIC.m)
        calls.clear()
        for _ in range(5):
            engine(phase)
        assert len(calls) == 5 * forces


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: scheme("BAXAB"), "unknown letter 'X'.*A .drift., B .kick., O .heat bath."),
        (lambda: scheme("BAB "), "unknown letter ' '"),
        (lambda: scheme("bab"), "unknown letter 'a'"),
        (lambda: scheme("BOB"), "needs both A"),
        (lambda: scheme("AOA"), "needs both A"),
        (lambda: scheme(""), "needs both A"),
        (lambda: scheme("BA"), "not a palindrome.*try 'BAB'"),
        (lambda: scheme("BAO"), "not a palindrome.*try 'BAOAB'"),
        (lambda: scheme("BAB", B=(0.5, 0.4)), "adds up to 0.9"),
        (lambda: scheme("BAB", B=(0.3, 0.7)), "not symmetric"),
        (lambda: scheme("BAB", B=(0.5, 0.25, 0.25)), "has 3 fractions, but 'BAB' has 2 B"),
        (lambda: scheme("BAB", O=(1.0,)), "has 1 fractions, but 'BAB' has 0 O"),
        (lambda: outer(BAOAB), "has a bath .O. already"),
        (lambda: middle(OBABO), "has a bath .O. already"),
        (lambda: middle(OMELYAN), "has B .kick. in its centre; use outer.OMELYAN."),
        (lambda: compose(VERLET, (0.5, 0.6)), r"weights=\(0.5, 0.6\) adds up to 1.1; the fractions must add up to 1"),
        (lambda: compose(VERLET, (0.3, 0.7)), "weights=.* is not symmetric"),
        (lambda: compose(VERLET, ()), "weights=.. adds up to 0"),
    ],
)
def test_a_wrong_scheme_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("made", "dt", "thermostat", "message"),
    [
        (BAOAB, 0.1, None, "has an O but no thermostat; pass thermostat=..., or NoBath"),
        (VERLET, 0.1, Langevin(1.0, 1.0), "has no O, so Langevin would never act; use outer.VERLET."),
        (OMELYAN, 0.1, NoseHooverChain(1.0, 1.0), "NoseHooverChain would never act"),
        (VERLET, 0.0, None, "dt = 0.0 is not a positive, finite time step"),
        (VERLET, -0.1, None, "dt = -0.1"),
        (VERLET, float("nan"), None, "dt = nan"),
        (VERLET, float("inf"), None, "dt = inf"),
        (VERLET, vector(0.1, 0.2), None, r"dt has shape \(2,\); give a number or a \(replicas, 1\) tensor"),
        (VERLET, vector(0.1, -0.2)[:, None], None, "not a positive, finite time step"),
        (VERLET, torch.ones(3, 2), None, r"dt has shape \(3, 2\)"),
    ],
)
def test_a_wrong_engine_is_refused(made, dt, thermostat, message):
    with pytest.raises(ValueError, match=message):
        Splitting(made, HARMONIC, dt, thermostat)


def test_the_null_bath_goes_with_every_scheme():
    for made in ALL.values():
        assert Splitting(made, HARMONIC, 0.1, NoBath()).temperature is None


BATHS = {
    "Langevin": lambda temperature=1.0, other=1.0: Langevin(temperature, other),
    "Andersen": lambda temperature=1.0, other=1.0: Andersen(temperature, other),
    "Bussi": lambda temperature=1.0, other=1.0: Bussi(temperature, other),
    "Berendsen": lambda temperature=1.0, other=1.0: Berendsen(temperature, other),
    "NoseHooverChain": lambda temperature=1.0, other=1.0: NoseHooverChain(temperature, other),
}
OTHER = {"Langevin": "friction", "Andersen": "rate", "Bussi": "tau", "Berendsen": "tau", "NoseHooverChain": "tau"}


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf"), vector(1.0, -1.0)[:, None]])
@pytest.mark.parametrize("name", BATHS)
def test_a_wrong_value_of_a_bath_is_refused(name, wrong):
    with pytest.raises(ValueError, match=r"(?s)temperature = .* must be finite and not negative"):
        BATHS[name](temperature=wrong)
    with pytest.raises(ValueError, match=f"(?s){OTHER[name]} = .* must be finite and (not negative|positive)"):
        BATHS[name](other=wrong)


@pytest.mark.parametrize("wrong", [torch.ones(3), torch.ones(1, 3), torch.ones(3, 1, 1)], ids=lambda x: str(x.shape))
@pytest.mark.parametrize("name", BATHS)
def test_a_wrong_shape_of_a_bath_is_refused(name, wrong):
    for change in ("temperature", "other"):
        with pytest.raises(ValueError, match=r"has shape .*give a number, or a \(replicas, 1\) tensor"):
            BATHS[name](**{change: wrong})


def test_zero_is_refused_where_it_divides():
    for name in ("Bussi", "Berendsen", "NoseHooverChain"):
        with pytest.raises(ValueError, match=r"tau = 0.0 must be finite and positive"):
            BATHS[name](other=0.0)
    with pytest.raises(ValueError, match=r"Q = N_f T tau.2 vanish at T = 0"):
        NoseHooverChain(0.0, 1.0)
    assert Langevin(0.0, 0.0).friction == 0
    assert Andersen(0.0, 0.0).rate == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"links": 0}, "links = 0: a Nose-Hoover chain has one link or more"),
        ({"substeps": 0}, "substeps = 0 must be one or more"),
        ({"order": 4}, r"order = 4 .*allowed are \[1, 3, 5, 7\]"),
        ({"group": "each"}, "group = 'each' is unknown; allowed are 'global', 'layer' and 'massive'"),
        ({"group": "layer"}, "give the sizes of the parameter tensors"),
        ({"sizes": (1, 2)}, "give the sizes of the parameter tensors"),
    ],
)
def test_a_wrong_chain_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        NoseHooverChain(1.0, 1.0, **options)


def test_a_chain_whose_layers_do_not_fit_is_refused():
    chain = NoseHooverChain(1.0, 1.0, group="layer", sizes=(2, 3))
    with pytest.raises(ValueError, match="add up to 5, but there are 6 parameters"):
        chain.bath(torch.zeros(2, 6))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature = -1.0 must be finite and not negative"),
        ({"temperature": 1.0, "friction": 0.0}, "friction = 0.0 must be finite and positive in overdamped dynamics"),
        ({"temperature": 1.0, "friction": -1.0}, "friction = -1.0"),
        ({"temperature": 1.0, "dt": 0.0}, "dt = 0.0 is not a positive"),
        ({"temperature": torch.ones(3)}, r"temperature has shape \(3,\)"),
        ({"temperature": 1.0, "friction": torch.ones(1, 3)}, r"friction has shape \(1, 3\)"),
    ],
)
def test_wrong_brownian_dynamics_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Brownian(HARMONIC, options.pop("dt", 0.1), **options)


def test_a_scheme_cannot_be_changed():
    with pytest.raises(AttributeError):
        VERLET.steps = ()
    assert isinstance(VERLET, Scheme)
