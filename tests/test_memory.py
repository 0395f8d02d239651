"""Law: a file of 20 GB is analysed within 2 GB of memory, to the same numbers."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from trajectories import Writer
from trajectories.storage.layout import COMMITTED, PARTICLES

GIGABYTE = 1_000_000_000
SIZE, LIMIT = 20 * GIGABYTE, 2 * GIGABYTE
REAL, SAMPLES = 2, 200_000  # frames that are not zero; samples of each observable
SHAPES = {"wide": (125, 2, 20_000_000), "tall": (50_000, 2, 50_000)}  # frames, replicas, dof
DOF, TEMPERATURE = 10, 0.5  # of the kinetic energy

ANALYSES = {
    "info": "trajectories.info.summary(path)['frames']",
    "mean": "statistics.mean(run.observables['kinetic_energy'].values).value",
    "inefficiency": "statistics.inefficiency(run.observables['kinetic_energy'].values)",
    "kinetic": f"thermodynamics.kinetic_law(run.observables['kinetic_energy'].values,"
    f" dof={DOF}, temperature={TEMPERATURE}).mean",
    "displacement": "statistics.mean_squared_displacement(run.positions, run.times, longest=5).replicas.tolist()",
    "components": "[one.value for one in statistics.principal_components(run.positions, 2).variances]",
    "overlap": "statistics.overlap(run.positions, about=np.ones(run.dof)).matrix.tolist()",
}
SCRIPT = r"""
import json, re, sys
from pathlib import Path
import numpy as np
import trajectories
from trajectories import statistics, thermodynamics
path = sys.argv[1]
with trajectories.open(path) as run:
    value = {analysis}
peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())  # ru_maxrss would count the parent's
print(json.dumps([value, 1024 * int(peak.group(1))]))
"""


def sparse(path: Path, frames: int, replicas: int, dof: int) -> np.ndarray:
    """Make a trajectory whose frames are zero but for the first ones, (frames, replicas, dof), which are returned.

    The zeros are chunks that were never written: they take no space on the disk, and are read as any others.
    """
    rng = np.random.default_rng(0)
    real = rng.standard_normal((REAL, replicas, dof), dtype=np.float32)
    settings = {"table": [("w", (dof,), 0)], "replicas": replicas, "masses": np.ones(dof), "parameters": {}}
    with Writer.create(path, **settings) as writer:
        for i, one in enumerate(real):
            writer.frame(i, 0.5 * i, one)
        writer.observable("kinetic_energy", 0, 0.0, np.zeros(replicas))
    with h5py.File(path, "r+") as h5:
        grow(h5[f"{PARTICLES}/position"], h5[f"{COMMITTED}/position"], frames)
        grow(h5["observables/kinetic_energy"], h5[f"{COMMITTED}/observables/kinetic_energy"], SAMPLES)
        kinetic = rng.gamma(DOF / 2, TEMPERATURE, size=(SAMPLES, replicas))
        h5["observables/kinetic_energy/value"][:] = kinetic
    return real


def grow(group: h5py.Group, counter: h5py.Dataset, rows: int) -> None:
    """Declare that many rows committed."""
    for name in ("step", "time", "value"):
        group[name].resize(rows, axis=0)
    group["step"][:], group["time"][:] = np.arange(rows), 0.5 * np.arange(rows)
    counter[()] = rows


def products(vectors: np.ndarray, about: float) -> np.ndarray:
    """Scalar products of vectors about a point, summed in float64."""
    parts = (vectors[:, i : i + 100_000] - np.float64(about) for i in range(0, vectors.shape[1], 100_000))
    return sum(part @ part.T for part in parts)


@pytest.fixture(scope="module", params=SHAPES)
def large(request, tmp_path_factory):
    """A file of 20 GB, the products of its frames that are not zero, and its shape."""
    frames, replicas, dof = SHAPES[request.param]
    path = tmp_path_factory.mktemp(request.param) / "trajectory.h5"
    real = sparse(path, frames, replicas, dof).reshape(-1, dof)
    assert 4 * frames * replicas * dof >= SIZE
    yield path, products(real, 0.0), products(real, 1.0), SHAPES[request.param]
    path.unlink()


def analysed(path: Path, name: str):
    """The result of one analysis in a process of its own, and the most memory that it held."""
    code = SCRIPT.format(analysis=ANALYSES[name])
    here = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": here}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def displacements(gram: np.ndarray, frames: int, replicas: int, dof: int) -> np.ndarray:
    """MSD of 4 sections of each replica at lags 0 to 5, by definition; only the first section moves."""
    own = gram.reshape(REAL, replicas, REAL, replicas)
    length, found = frames // 4, np.zeros((6, 4 * replicas))
    for replica in range(replicas):
        products = np.zeros((length, length)) if length < 1000 else np.zeros((1000, 1000))
        products[:REAL, :REAL] = own[:, replica, :, replica]
        squares = products.diagonal()
        for lag in range(6):
            terms = squares[lag:] + squares[: len(squares) - lag] - 2 * products.diagonal(lag)
            found[lag, replica] = terms.sum() / (length - lag) / dof
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ANALYSES)
def test_a_file_larger_than_memory(large, name):
    path, gram, about, (frames, replicas, dof) = large
    value, memory = analysed(path, name)
    assert memory < LIMIT, f"{memory / GIGABYTE:.2f} GB"
    n = frames * replicas
    if name == "info":
        assert value == frames
    if name == "mean":
        assert value == pytest.approx(DOF * TEMPERATURE / 2, rel=0.01)
    if name == "inefficiency":
        assert value == pytest.approx(1, abs=0.05)
    if name == "kinetic":
        assert value == pytest.approx(1, rel=0.01)
    if name == "displacement":
        np.testing.assert_allclose(value, displacements(gram, frames, replicas, dof), rtol=1e-9, atol=1e-12)
    if name == "components":
        root = np.linalg.cholesky(gram)  # of the samples that are not zero; the mean is over all
        leading = np.linalg.eigvalsh(root.T @ (np.eye(len(gram)) - 1 / n) @ root)
        np.testing.assert_allclose(value, leading[::-1][:2] / (n - 1), rtol=1e-6)
    if name == "overlap":
        rest = (frames - REAL) * 1.0
        norms = np.sqrt(about.diagonal()).reshape(REAL, replicas)
        together = [about[2 * i, 2 * i + 1] / norms[i].prod() for i in range(REAL)]
        assert value[0][1] == pytest.approx((sum(together) + rest) / frames, rel=1e-9)
        assert math.isclose(value[0][0], 1)
