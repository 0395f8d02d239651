"""Law: an approximate activation keeps within its stated error, and its force is the gradient of its energy."""

import pytest
import torch
from test_force import mse
from torch import nn

from mdnet.activations import RationalTanh
from mdnet.system import ParticleSystem

ERROR = 5e-7  # as its docstring says
SMALLEST, LARGEST = torch.tensor([2.0**-22, 10.0]).view(torch.int32).tolist()  # numbers from 0 to 10 count from 0 up
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
tanh = RationalTanh()


def worst(x):
    """The largest difference from the exact tanh, in its own precision."""
    return (tanh(x).double() - torch.tanh(x.double())).abs().max().item()


@DTYPES
def test_the_error_is_as_stated(dtype):
    assert worst(torch.arange(-10, 10, 1e-5, dtype=torch.float64).to(dtype)) < ERROR
    assert worst(torch.arange(0, LARGEST, 997, dtype=torch.int32).view(torch.float32).to(dtype)) < ERROR
    assert worst(torch.tensor([0.0, -1e30, 1e30, torch.inf, -torch.inf], dtype=dtype)) < ERROR


@pytest.mark.slow
def test_the_error_of_every_number():
    """All 2e8 single-precision numbers from 2^-22, where both are x, to 10; those below are their mirror images."""
    block = 1 << 23
    for start in range(SMALLEST, LARGEST + 1, block):
        bits = torch.arange(start, min(start + block, LARGEST + 1), dtype=torch.int32)
        x = bits.view(torch.float32)
        assert worst(x) < ERROR
        assert tanh(x).max() <= 1


@DTYPES
def test_it_is_odd_bounded_and_monotone(dtype):
    """Monotone exactly in double precision; in single precision two neighbours may be out of order by rounding."""
    x = torch.arange(-10, 10, 1e-5, dtype=torch.float64).to(dtype)
    y = tanh(x)
    assert y.dtype == dtype
    assert torch.equal(tanh(-x), -y)
    assert y.abs().max() <= 1
    assert y.diff().min() >= (0 if dtype == torch.float64 else -ERROR)
    assert y.diff().max() > 0
    assert torch.isnan(tanh(torch.tensor(torch.nan)))


def test_the_derivative_is_that_of_the_quotient():
    x = torch.linspace(-7.5, 7.5, 301, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(tanh, (x,), eps=1e-5, atol=1e-8)
    (slope,) = torch.autograd.grad(tanh(x).sum(), x)
    assert (slope - (1 - torch.tanh(x) ** 2)).abs().max() < 1e-6
    assert slope.min() >= 0


def test_the_force_is_minus_the_gradient_of_the_energy():
    network = nn.Sequential(nn.Linear(3, 4), RationalTanh(), nn.Linear(4, 2))
    particles = ParticleSystem(network, mse, torch.randn(12, 3), torch.randn(12, 2), dtype=torch.float64)
    q = particles.positions() + 0.3 * torch.randn(1, particles.dof, dtype=torch.float64)
    f, h = particles.force(q)[1], 1e-5
    steps = h * torch.eye(particles.dof, dtype=torch.float64)
    difference = torch.stack([(particles.energy(q - e) - particles.energy(q + e)) / (2 * h) for e in steps], -1)
    assert (f - difference).abs().max() < 1e-7 * f.abs().max()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_is_the_same_in_a_compiled_graph():
    x = torch.linspace(-9, 9, 10_001)
    compiled = torch.compile(lambda x: tanh(x), dynamic=False)(x)
    assert (compiled.double() - torch.tanh(x.double())).abs().max() < ERROR
