"""What a validation says: a table for each pair, one line in the end, and JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from math import isnan
from typing import Any

from mdnet.console import say, tabulate
from mdnet.validation.law import Law
from mdnet.validation.laws import Verdicts

_COLUMNS = ("law", "value", "expected", "z", "verdict")


def show(result: Verdicts) -> None:
    """Print the laws of one pair on one system, and under the table what is to be said of them."""
    title = (
        f"{result.pair} on {result.subject}: T = {result.temperature:g}, dt = {result.dt:.4g}, "
        f"{result.replicas} replicas"
    )
    tabulate(title, _COLUMNS, [_row(law) for law in result.laws])
    told: dict[str, list[str]] = {}
    for law in result.laws:
        for note in law.note.split("; ") if law.note and law.verdict != "pass" else ():
            told.setdefault(note, []).append(law.name)
    for note, names in told.items():
        say(f"  {', '.join(names)}: {note}")


def summary(results: Sequence[Verdicts]) -> str:
    """Return one line: how many laws hold, and which fail where."""
    laws = [law for result in results for law in result.laws]
    counts = {verdict: sum(law.verdict == verdict for law in laws) for verdict in ("pass", "fail", "skipped")}
    told = f"{counts['pass']} laws hold, {counts['fail']} fail, {counts['skipped']} skipped"
    failed = [f"{r.pair} on {r.subject}: {', '.join(law.name for law in r.failed)}" for r in results if r.failed]
    return "\n".join([told, *(f"FAIL {line}" for line in failed)])


def document(results: Sequence[Verdicts], seed: int) -> dict[str, Any]:
    """Return what goes into JSON:

        {"mdnet": version, "seed": ..., "passed": true or false, "pairs": [
            {"pair": "BAOAB + langevin", "system": ..., "temperature": ..., "dt": ..., "replicas": ..., "passed": ...,
             "laws": [{"name", "value", "expected", "gate", "z", "verdict", "note"}, ...]}, ...]}

    `verdict` is "pass", "fail" or "skipped"; `gate` is text; numbers that do not apply or are not finite are null.
    """
    pairs = [
        {
            "pair": result.pair, "system": result.subject, "temperature": result.temperature, "dt": result.dt,
            "replicas": result.replicas, "passed": not result.failed, "laws": [law.entry() for law in result.laws],
        }
        for result in results
    ]  # fmt: skip
    return {"mdnet": version("mdnet"), "seed": seed, "passed": all(p["passed"] for p in pairs), "pairs": pairs}


def _row(law: Law) -> list[str]:
    if law.verdict == "skipped":
        return [law.name, "", "", "", law.verdict]
    expected = law.gate if isnan(law.expected) else f"{law.expected:.4g}, {law.gate}"
    z = "" if law.z is None else f"{law.z:+.1f}"
    return [law.name, f"{law.value:.4g}", expected, z, law.verdict]
