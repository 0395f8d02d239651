"""The README's script runs as it stands, only shorter."""

from __future__ import annotations

import re
from pathlib import Path

import trajectories

README = Path(__file__).parents[1] / "README.md"


def test_the_script_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    script = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[1]
    assert script.count("\n") <= 32, "the first script should be read at a glance"
    monkeypatch.chdir(tmp_path)
    exec(compile(script.replace("20_000", "400").replace("[200:]", "[20:]"), "README", "exec"), {})
    with trajectories.open("runs/first") as run:
        assert run.positions.shape == (5, 64, 91)
    assert "(5, 64, 91)" in capsys.readouterr().out


def test_the_files_it_names_are_there():
    for path in re.findall(r"\]\(((?!http)[^)#]+)\)", README.read_text()):
        assert (README.parent / path).exists(), path
