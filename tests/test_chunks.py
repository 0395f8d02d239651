"""Law: an evaluation in pieces is the evaluation in one piece, within the memory that it may have."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_force import NETWORKS, mse, system
from torch import nn
from torch.func import grad_and_value, vmap

from mdnet.reporters import accuracy, r2
from mdnet.routes.chunks import Chunked, Sizes, coupled, fit, outputs_in_chunks
from mdnet.routes.memory import Need, default_budget, measure, peak
from mdnet.routes.module import ModuleGradient
from mdnet.system import ParticleSystem

CLOSE = {"rtol": 1e-12, "atol": 1e-12}
INDEX = torch.stack([torch.arange(10) + i for i in range(3)])
SIZES = [(1, 1), (1, 12), (2, 5), (3, 1), (3, 7), (3, 12), (8, 40)]


def vectorised(particles, *, per_replica=False):
    """Loss and gradient of all replicas at once."""
    data = 0 if per_replica else None
    gradient = vmap(grad_and_value(particles.mean_loss), in_dims=(0, data, data))
    return lambda *given: gradient(*given)[::-1]


def digits(replicas=64, rows=1000, **options):
    network = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
    x, y = torch.randn(rows, 64), torch.randint(10, (rows,))
    return ParticleSystem(network, nn.functional.cross_entropy, x, y, replicas=replicas, **options)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "batch_norm"])
def test_pieces_of_any_size_are_the_whole(name, sizes):
    particles = system(name)
    q, x, y = particles.positions(seed=1), particles.inputs, particles.targets
    for gradient in (vectorised(particles), ModuleGradient(particles, per_replica=False)):
        pieces = Chunked(particles, gradient, per_replica=False, sizes=Sizes(*sizes))
        torch.testing.assert_close(pieces(q, x, y), gradient(q, x, y), check_dtype=False, **CLOSE)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_pieces_of_data_that_differ_by_replica(sizes):
    particles = system(index=INDEX)
    q, gradient = particles.positions(seed=1), vectorised(particles, per_replica=True)
    pieces = Chunked(particles, gradient, per_replica=True, sizes=Sizes(*sizes))
    whole = gradient(q, particles.inputs, particles.targets)
    torch.testing.assert_close(pieces(q, particles.inputs, particles.targets), whole, check_dtype=False, **CLOSE)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("own", [False, True], ids=["shared data", "own data"])
def test_outputs_and_metrics_in_pieces(own, sizes):
    particles = system(index=INDEX if own else None)
    q, x, y = particles.positions(seed=1), particles.inputs, particles.targets

    def output(q, inputs):
        return particles.output(q, inputs, per_replica=own)

    outputs = outputs_in_chunks(output, q, x, Sizes(*sizes), per_replica=own)
    torch.testing.assert_close(outputs, output(q, x), **CLOSE)
    for metric, targets in ((r2, y), (accuracy, y.argmax(-1))):
        values = vmap(metric, in_dims=(0, 0 if own else None))(outputs, targets)
        torch.testing.assert_close(values, particles.evaluate(metric, q, x, targets, per_replica=own), **CLOSE)


def test_energies_alone():
    particles = system()
    q, x, y = particles.positions(seed=1), particles.inputs, particles.targets
    energy = vmap(particles.mean_loss, in_dims=(0, None, None))
    pieces = Chunked(particles, lambda *given: (energy(*given),), per_replica=False, sizes=Sizes(2, 5))
    (loss,) = pieces(q, x, y)
    assert loss.dtype == torch.float64
    torch.testing.assert_close(12 * loss, particles.energy(q), **CLOSE)


def test_what_fits_is_not_cut():
    assert fit(Need(10.0, 1.0), 4, 90, 400) == (4, 90)
    assert fit(Need(10.0, 1.0), 4, 90, 399) == (2, 90)  # two pieces of two, and not three and one
    assert fit(Need(10.0, 1.0), 7, 90, 600) == (4, 90)  # a prime: four and three
    assert fit(Need(10.0, 1.0), 15, 90, 900) == (5, 90)  # three alike, and not eight and seven
    assert fit(Need(10.0, 1.0), 4, 90, 55) == (1, 45)
    assert fit(Need(10.0, 1.0), 4, 90, 55, whole_rows=True) == (1, 90)
    assert fit(Need(10.0, 1.0), 4, 90, 5) == (1, 1)
    particles = digits(4)
    sizes = Chunked(particles, vectorised(particles), per_replica=False, budget_bytes=10**9).sizes(
        particles.positions(), particles.inputs, particles.targets
    )
    assert sizes == (4, 1000)


@pytest.mark.parametrize("share", [3, 8, 200])
def test_the_measured_need_is_the_need(share):
    """The peak of the pieces is at most the budget, and more than a third of it, for cuts of replicas and of rows."""
    particles = digits(3, rows=200)
    q, x, y = particles.positions(), particles.inputs, particles.targets
    gradient = vectorised(particles)
    with torch.no_grad():
        whole = peak(lambda: gradient(q, x, y))
        budget = whole // share
        pieces = Chunked(particles, gradient, per_replica=False, budget_bytes=budget)
        if share < 200:
            pieces.sizes(q, x, y)
        else:
            with pytest.warns(UserWarning, match="more than the budget .* larger budget"):
                pieces.sizes(q, x, y)
        result = q.numel() * 4 + len(q) * 8  # the gradient itself is there in any case
        most = peak(lambda: pieces(q, x, y))
    assert most > budget / 3
    if share < 200:
        assert most < budget + 2 * result


def test_it_is_measured_once_and_within_the_budget():
    particles = digits(8)
    seen = []

    def gradient(q, inputs, targets):
        seen.append((len(q), len(inputs)))
        return vectorised(particles)(q, inputs, targets)

    pieces = Chunked(particles, gradient, per_replica=False, budget_bytes=100_000)
    data = particles.positions(), particles.inputs, particles.targets
    first = pieces.sizes(*data)
    count = len(seen)
    assert 1 < count < 12
    assert max(replicas * rows for replicas, rows in seen) < 100
    assert pieces.sizes(*data) == first
    assert len(seen) == count


def test_a_compiled_gradient_is_measured_uncompiled():
    """What is measured is `plain`; what is run is the other."""
    particles = digits(4)
    seen = []

    def compiled(*given):
        seen.append(len(given[0]))
        return vectorised(particles)(*given)

    pieces = Chunked(particles, compiled, plain=vectorised(particles), per_replica=False, budget_bytes=3_000_000)
    data = particles.positions(), particles.inputs, particles.targets
    pieces.sizes(*data)
    assert seen == []
    pieces(*data)
    assert seen == [2, 2]


class Centred(nn.Module):
    """Subtracts the mean over the rows, which no layer's name tells of."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return self.layer(x - x.mean(0))


def weighted(output, targets):
    return nn.functional.cross_entropy(output, targets.argmax(-1), weight=torch.tensor([1.0, 3.0], dtype=output.dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_rows_that_need_each_other_are_found(dtype):
    x, y = torch.randn(12, 3), torch.randn(12, 2)
    assert "layer '1' (BatchNorm1d)" in coupled(system("batch_norm", dtype=dtype))
    assert "not the mean over its rows" in coupled(ParticleSystem(Centred(), mse, x, y, dtype=dtype))
    assert "not the mean over its rows" in coupled(ParticleSystem(nn.Linear(3, 2), weighted, x, y, dtype=dtype))
    assert all(coupled(system(name, dtype=dtype)) is None for name in NETWORKS if name != "batch_norm")
    assert coupled(system(index=INDEX, dtype=dtype)) is None


def test_batch_norm_is_cut_by_replicas_only_and_says_where_that_is_not_enough():
    network = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.Tanh(), nn.Linear(64, 10))
    x, y = torch.randn(400, 64), torch.randint(10, (400,))
    particles = ParticleSystem(network, nn.functional.cross_entropy, x, y, replicas=6, dtype=torch.float64)
    gradient, data = vectorised(particles), (particles.positions(seed=1), particles.inputs, particles.targets)
    need = measure(gradient, *data, per_replica=False, budget=10**9)
    pieces = Chunked(particles, gradient, per_replica=False, budget_bytes=int(2.5 * need.bytes(1, 400)))
    assert pieces.sizes(*data) == (2, 400)
    torch.testing.assert_close(pieces(*data), gradient(*data), check_dtype=False, **CLOSE)
    scarce = Chunked(particles, gradient, per_replica=False, budget_bytes=int(0.5 * need.bytes(1, 400)))
    with pytest.warns(UserWarning, match=r"cannot be divided, for layer '1' \(BatchNorm1d\).*minibatch"):
        assert scarce.sizes(*data) == (1, 400)


@pytest.mark.parametrize("wrong", [{"budget_bytes": 0}, {"sizes": Sizes(0, 5)}])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match="must be one or more"):
        Chunked(system(), vectorised(system()), per_replica=False, **wrong)


def test_the_budget_is_the_environments(monkeypatch):
    cpu = torch.device("cpu")
    assert 2**28 < default_budget(cpu) == default_budget(cpu)
    monkeypatch.setenv("MDNET_MEMORY", "12345")
    assert default_budget(cpu) == 12345
    monkeypatch.setenv("MDNET_MEMORY", "1 GB")
    with pytest.raises(ValueError, match="MDNET_MEMORY = '1 GB' must be a number of bytes"):
        default_budget(cpu)


SCRIPT = r"""
import json, re, sys
from pathlib import Path
import torch
from torch import nn
from torch.func import grad_and_value, vmap
from mdnet.routes.chunks import Chunked
from mdnet.system import ParticleSystem

def resident(name):
    return 1024 * int(re.search(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text()).group(1))

torch.set_num_threads(1)
network = nn.Sequential(nn.Linear(64, 256), nn.Tanh(), nn.Linear(256, 10))
x, y = torch.randn(2000, 64), torch.randint(10, (2000,))
particles = ParticleSystem(network, nn.functional.cross_entropy, x[:8], y[:8], replicas=48)
gradient = vmap(grad_and_value(particles.mean_loss), in_dims=(0, None, None))
q, found = particles.positions(), []
with torch.no_grad():
    gradient(q[:1], x[:8], y[:8])  # what libraries allocate once
    for budget in map(int, sys.argv[1:]):
        pieces = Chunked(particles, lambda *given: gradient(*given)[::-1], per_replica=False, budget_bytes=budget)
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
        loss, slope = pieces(q, x, y)
        found.append([resident("VmHWM") - before, *pieces.sizes(q, x, y)])
        del loss, slope
print(json.dumps(found))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of a process is told by Linux only")
def test_the_memory_of_the_process_stays_within_the_budget():
    """The most resident memory that a force took beyond its result, cut by rows, by replicas, and not at all."""
    budgets = 3_000_000, 30_000_000, 10**10
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, budgets)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    by_rows, by_replicas, whole = json.loads(done.stdout)
    result = 48 * 19_210 * 4
    for (most, *_), budget in zip((by_rows, by_replicas), budgets, strict=False):
        assert most - result < 1.5 * budget
    assert by_rows[1] == 1 > by_rows[2] / 2000
    assert by_replicas[1] > 1 == by_replicas[2] / 2000
    assert whole[0] > 10 * budgets[1]
    assert whole[1:] == [48, 2000]
