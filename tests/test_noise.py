"""Law: the random numbers of compiled baths are Threefry's, normal, uniform, independent, and saved with the bath."""

import pytest
import torch
from scipy import stats
from systems import HARMONIC, Z, deviation, discrete_variance

from integrators import BAOAB, Splitting
from thermostats import GJF, Andersen, Langevin, noise

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
COMPILED = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]  # torch's own


def words(*values):
    """32-bit words as the generator has them: int32 with wrap-around."""
    return [torch.tensor(value, dtype=torch.int64).to(torch.int32) for value in values]


@pytest.mark.parametrize(
    ("rounds", "key", "counter", "expected"),
    [
        (13, (0, 0), (0, 0), (0x9D1C5EC6, 0x8BD50731)),
        (20, (0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        (20, (0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        (20, (0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_its_published_answers(rounds, key, counter, expected):
    seen = noise.threefry(*words(*key), *words(*counter), rounds)
    assert [word.item() & 0xFFFFFFFF for word in seen] == list(expected)


@pytest.fixture
def inside(monkeypatch):
    """The numbers of a compiled graph by the same arithmetic, without the compiler."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)


@pytest.fixture(params=["eager", pytest.param("compiled", marks=COMPILED)])
def way(request):
    """The numbers of a compiled graph, without the compiler and with it."""
    if request.param == "eager":
        request.getfixturevalue("inside")
    else:
        torch._dynamo.reset()  # graphs of tests before
    return request.param


def draws(make, way, dtype, calls, shape=(4000, 7)):
    """Numbers of successive calls (calls, *shape) from one source, its count up by one at each."""
    function = torch.compile(make, dynamic=False) if way == "compiled" else make
    like, source = torch.zeros(shape, dtype=dtype), noise.source(torch.zeros(1))
    kept = torch.stack([function(like, source) for _ in range(calls)])
    assert source[2] == calls
    assert kept.dtype == dtype
    return kept.double()


def assert_independent(numbers):
    """Neighbours in every direction, and the two halves of the columns, which share their words, as they should be."""
    rest = (numbers - numbers.mean()).transpose(0, 1)  # rows first: they are the samples
    squares = rest.square() - rest.square().mean()
    half = (rest.shape[-1] + 1) // 2
    for x in (rest, squares):
        assert deviation(x[:, 1:] * x[:, :-1], 0.0) < Z
        assert deviation(x[..., 1:] * x[..., :-1], 0.0) < Z
        assert deviation(x[..., half:] * x[..., : x.shape[-1] - half], 0.0) < Z
        assert deviation(x[1:] * x[:-1], 0.0) < Z
    assert deviation(rest[..., half:] * squares[..., : rest.shape[-1] - half], 0.0) < Z


@DTYPES
def test_normal_numbers_are_normal(way, dtype):
    numbers = draws(noise.normal, way, dtype, calls=12)
    for power, moment in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
        assert deviation((numbers**power).mean(0), moment) < Z
    assert deviation((numbers**6).mean((0, 2))[:, None], 15.0) < Z
    for column in numbers.unbind(-1):
        assert stats.kstest(column.flatten().numpy(), stats.norm.cdf).pvalue > 1e-4
    assert_independent(numbers)


@DTYPES
def test_uniform_numbers_are_uniform(way, dtype):
    numbers = draws(noise.uniform, way, dtype, calls=12)
    for power in (1, 2, 3, 4):
        assert deviation((numbers**power).mean(0), 1 / (1 + power)) < Z
    for column in numbers.unbind(-1):
        assert stats.kstest(column.flatten().numpy(), stats.uniform.cdf).pvalue > 1e-4
    assert_independent(numbers)


@DTYPES
def test_the_ends_of_the_unit_interval_are_never_reached(dtype):
    ends = noise._unit(torch.tensor([0, -1, 2**31 - 1, -(2**31)], dtype=torch.int32), dtype)
    assert (ends > 0).all()
    assert (ends < 1).all()


@pytest.mark.parametrize("columns", [1, 2, 3, 8])
@pytest.mark.usefixtures("inside")
def test_every_number_of_columns_is_filled(columns):
    numbers = draws(noise.normal, "eager", torch.float64, calls=1, shape=(20_000, columns))[0]
    assert numbers.shape == (20_000, columns)
    assert deviation(numbers.square(), 1.0) < Z
    assert numbers.unique().numel() > 0.999 * numbers.numel()


@pytest.mark.usefixtures("inside")
def test_sources_differ_and_one_seed_makes_them():
    like = torch.zeros(4, 6)
    torch.manual_seed(3)
    one, other = noise.source(like), noise.source(like)
    torch.manual_seed(3)
    again = noise.source(like)
    numbers = [noise.normal(like, source) for source in (one, other, again)]
    assert not torch.equal(numbers[0], numbers[1])
    assert torch.equal(numbers[0], numbers[2])


@pytest.mark.usefixtures("inside")
def test_the_count_goes_on_beyond_32_bits():
    like, source = torch.zeros(4, 6), noise.source(torch.zeros(1))
    first = noise.normal(like, source)
    source[2] = 2**32
    assert not torch.equal(noise.normal(like, source), first)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@DTYPES
def test_the_compiler_does_the_same_arithmetic(dtype, request):
    torch._dynamo.reset()
    like, source = torch.zeros(64, 7, dtype=dtype), noise.source(torch.zeros(1))
    compiled = torch.compile(noise.normal, dynamic=False)(like, source.clone())
    request.getfixturevalue("inside")
    torch.testing.assert_close(compiled, noise.normal(like, source))


@pytest.mark.parametrize(
    "bath", [Langevin(1.0, 1.0), GJF(1.0, 1.0), Andersen(1.0, 1.0)], ids=lambda b: type(b).__name__
)
def test_a_run_on_these_numbers_samples_the_discrete_answer(way, bath):
    dt, m = 0.5, HARMONIC.m
    x2, p2 = discrete_variance(BAOAB, HARMONIC.k, m, dt, 1.0)
    q, p = (torch.randn(2048, 6, dtype=torch.float64) * v.sqrt() for v in (x2, p2))
    phase = (engine := Splitting(BAOAB, HARMONIC, dt, bath, compile=way == "compiled")).start(0.3 * q, 1.5 * p, m)
    kept = []
    for step in range(60 + 12 * 10):
        engine(phase)
        if step >= 60 and step % 10 == 0:
            kept.append((phase.q.square(), phase.p.square()))
    q2, k2 = (torch.stack(x).mean(0) for x in zip(*kept, strict=True))
    assert phase.bath[0][2] == (2 if isinstance(bath, Andersen) else 1) * 180
    assert deviation(q2, x2) < Z
    assert deviation(k2, p2) < Z
    assert deviation(k2, m) > Z  # the continuum's


def test_a_run_continues_bit_for_bit_from_its_saved_bath(way):
    engine = Splitting(BAOAB, HARMONIC, 0.3, Langevin(1.0, 1.0), compile=way == "compiled")
    q, p = torch.randn(2, 16, 6, dtype=torch.float64)
    phase = engine.start(q, p, HARMONIC.m)
    for _ in range(20):
        engine(phase)
    saved = [x.clone() for x in (phase.q, phase.p, *phase.bath)]
    for _ in range(20):
        engine(phase)
    torch.manual_seed(7)  # torch's own numbers have no part in it
    other = engine.start(saved[0], saved[1], HARMONIC.m)
    other.bath[0].copy_(saved[2])
    for _ in range(20):
        engine(other)
    assert torch.equal(other.q, phase.q)
    assert torch.equal(other.p, phase.p)


def test_without_a_graph_the_numbers_are_torchs():
    source = noise.source(like := torch.zeros(4, 6))
    torch.manual_seed(1)
    numbers = noise.normal(like, source)
    torch.manual_seed(1)
    assert torch.equal(numbers, torch.randn(4, 6))
    assert source[2] == 0
