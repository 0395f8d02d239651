"""Law: the arrows point one way: dynamics, baths and trajectories know neither each other nor mdnet."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"mdnet", "integrators", "thermostats", "trajectories"}
LEAVES = PACKAGES - {"mdnet"}


def imports(path):
    """The top-level packages that a source file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield path.relative_to(ROOT).parts[0] if node.level else node.module.partition(".")[0]


def sources(package):
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", sorted(LEAVES))
def test_a_leaf_knows_no_other_package(package):
    assert sources(package)
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources(package)
        for name in imports(path)
        if name in PACKAGES - {package}
    }
    assert not wrong


def test_trajectories_never_import_torch_by_name():
    assert not [path for path in sources("trajectories") if "torch" in set(imports(path))]


def test_every_module_of_trajectories_works_without_torch():
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sources("trajectories")]
    names = [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]
    code = f"import sys; sys.modules['torch'] = None; import importlib\nfor n in {names}: importlib.import_module(n)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_every_package_is_typed_and_every_file_says_what_it_is(package):
    assert (ROOT / package / "py.typed").exists()
    assert not [path for path in sources(package) if not ast.get_docstring(ast.parse(path.read_text()))]


def test_the_core_needs_torch_numpy_h5py_and_scipy_alone():
    """On a bare GPU machine a run works without the libraries of the command line, the reports and the data sets."""
    blocked = ("rich", "typer", "pydantic", "matplotlib", "jinja2", "sklearn", "pandas")
    code = f"""
import sys
sys.modules.update(dict.fromkeys({blocked}))
import torch, mdnet as md, trajectories
from integrators import BAOAB, Splitting
from thermostats import Langevin
system = md.ParticleSystem(torch.nn.Linear(2, 1), torch.nn.functional.mse_loss, torch.ones(3, 2), torch.ones(3, 1),
                           prior=md.GaussianPrior())
q = md.minimise(system, system.positions(), 3, 0.1)
simulation = md.Simulation(system, Splitting(BAOAB, system.force, 0.1, Langevin(0.1, 1.0)), positions=q)
simulation.run(5)
assert simulation.step == 5
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
