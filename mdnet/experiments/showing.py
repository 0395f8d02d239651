"""What the command line shows of a finished reproduction: its table, its checks, and where its files are."""

from __future__ import annotations

import json
from pathlib import Path

from mdnet.console import say, tabulate


def show(folder: Path) -> bool:
    """Print table and checks of a folder's results.json, and return whether all hold; the studies are in the page."""
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    tabulate(f"\n{found['title']}; mean ± standard error", found["columns"], found["rows"])
    if found["studies"]:
        say(f"In the report: {'; '.join(study['title'] for study in found['studies'])}.")
    if found["checks"]:
        columns = ["check", "expectation", "measured", "verdict"]
        tabulate("Checks", columns, [list(entry.values()) for entry in found["checks"]])
    for run in found["runs"]:
        say(f"trajectory: {folder / run / 'trajectory.h5'}")
    say(f"report:     {folder / 'report.html'}")
    return all(entry["verdict"] == "pass" for entry in found["checks"])
