"""Law: runs are looked at, exported and analysed where torch is not installed, with the exact answers."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import trajectories
from trajectories import Writer

ROOT = Path(trajectories.__file__).parents[1]
LEFT_OUT = ("torch", "functorch", "nvidia", "triton", "mdnet", "_editable", "__editable", "distutils-precedence")
LEVELS = np.array([0.5, 1.0, 2.0, 4.0])
STIFFNESS = np.array([1.0, 3.0])
COPIES, FRAMES = 16, 100  # of each temperature, so that the scatter of copies is known well
Z = 5.0


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """A Python with everything that is installed here but torch, and with the sources on its path."""
    home = tmp_path_factory.mktemp("without") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True, timeout=60)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    target = home / "lib" / version / "site-packages"
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not entry.name.startswith(LEFT_OUT):
            (target / entry.name).symlink_to(entry)
    return home / "bin" / "python"


@pytest.fixture(scope="module")
def run(tmp_path_factory, seed) -> Path:
    """Exact samples of q ~ exp(-(k q^2/2)/T): copies of a ladder of four temperatures, (frames, replicas, 2)."""
    rng, folder = np.random.default_rng(seed + 5), tmp_path_factory.mktemp("run")
    temperatures = np.repeat(LEVELS, COPIES)
    q = rng.normal(size=(FRAMES, len(temperatures), 2)) * np.sqrt(temperatures[:, None] / STIFFNESS)
    energy = 0.5 * (STIFFNESS * q**2).sum(-1)
    with Writer.create(
        folder / "trajectory.h5", table=[("a", (1,), 0), ("b", (1,), 1)], replicas=len(temperatures),
        masses=np.ones(2), parameters={}, dtype="float64",
    ) as writer:  # fmt: skip
        for i in range(FRAMES):
            writer.frame(i, float(i), q[i])
            writer.observable("potential_energy", i, float(i), energy[i])
            writer.observable("set_temperature", i, float(i), temperatures)
    return folder


def call(python: Path, *arguments: object, code: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [python, *map(str, arguments)], capture_output=True, text=True, env=environment, cwd=python.parent, timeout=120
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_there_is_no_torch(python):
    assert "No module named 'torch'" in call(python, "-c", "import torch", code=1)
    assert "No module named 'torch'" in call(python, "-c", "import mdnet", code=1)
    assert str(ROOT) in call(python, "-c", "import trajectories; print(trajectories.__file__)")


def test_the_commands_work(python, run, tmp_path):
    assert f"{FRAMES} frames (float64)" in call(python, "-m", "trajectories", "info", run)
    call(python, "-m", "trajectories", "report", run, "--out", tmp_path / "report.html")
    assert "<svg" in (tmp_path / "report.html").read_text()
    call(python, "-m", "trajectories", "export", run, "--for", "npz", "--out", tmp_path / "npz")
    every = (
        "import sys; from trajectories.__main__ import app\n"
        "for out in sys.argv[2:]:\n"
        "    given = ['export', sys.argv[1], '--for', out.rpartition('/')[2], '--out', out]\n"
        "    app(given, standalone_mode=False)\n"
    )
    kinds = ("mdanalysis", "arviz", "safetensors")
    call(python, "-c", every, run, *(tmp_path / kind for kind in kinds))
    assert all((tmp_path / kind).stat().st_size for kind in kinds)
    with trajectories.open(run) as opened:
        np.testing.assert_array_equal(np.load(tmp_path / "npz")["positions"], opened.positions[:])


def tables(text: str) -> list[np.ndarray]:
    """The example's two tables: temperature, then value and error of each column; (rows, 1 + 2 columns)."""
    found: list[list[list[float]]] = []
    for line in text.splitlines():
        cells = line.split("  |  ")
        if len(cells) > 1 and cells[0] == "T":
            found.append([])
        elif len(cells) > 1:
            found[-1].append([float(cells[0]), *(float(number) for cell in cells[1:] for number in cell.split(" ± "))])
    return [np.array(rows) for rows in found]


def test_the_example_gives_the_exact_entropies_and_free_energies(python, run):
    """S = (d/2) ln(2 pi e T) - (1/2) sum ln k, ln Z - ln Z_0 = (d/2) ln(T/T_0), and S - S_0 the same; here d = 2."""
    weights, free = tables(call(python, "-m", "trajectories.examples.offline", run))
    exact = np.log(2 * np.pi * np.e * LEVELS) - 0.5 * np.log(STIFFNESS).sum()
    relative = np.log(LEVELS / LEVELS[0])
    assert weights[:, 0].tolist() == free[:, 0].tolist() == LEVELS.tolist()
    for table, column, expected, least in (
        (weights, 1, exact, 0),
        (weights, 3, exact, 0),
        (weights, 5, relative, 1),
        (free, 1, relative, 1),
        (free, 3, relative, 1),
    ):
        value, error = table[least:, column], table[least:, column + 1]
        z = (value - expected[least:]) / error
        assert (abs(z) < Z).all()
        assert (error < np.log(2) / Z).all()  # so that half the temperature would be seen
    assert (free[0, 1:] == 0).all()


def test_the_example_says_how_it_is_called(python):
    assert "trajectories.examples.offline RUN..." in call(python, "-m", "trajectories.examples.offline", code=1)
