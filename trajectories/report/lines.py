"""Tables as lines of plain text, for a terminal or a pipe: the rows of a summary."""

import math
from typing import Any

from trajectories.statistics import Estimate


def block(title: str, rows: list[list[str]]) -> list[str]:
    """A title and rows below one another in columns; nothing where there is one row of headings."""
    if len(rows) < 2:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return ["", title, *(f"  {line.rstrip()}" for line in lines)]


def averages(found: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Rows of the key "statistics" of a summary."""
    rows = [["", "mean ± 1 se", "g", "ESS", "R-hat", "from step"]]
    for name, one in found.items():
        mean = Estimate(one["mean"], math.inf if one["error"] is None else one["error"])
        rows.append(
            [
                name,
                str(mean),
                f"{one['inefficiency']:.3g}",
                f"{one['effective_samples']:.0f}",
                "–" if one["rhat"] is None else f"{one['rhat']:.3f}",
                str(one["from_step"]),
            ]
        )
    return rows


def checks(found: list[dict[str, Any]]) -> list[list[str]]:
    """Rows of the key "checks" of a summary."""
    rows = [["", "value", "exact", "z", "verdict"]]
    for one in found:
        if one["verdict"] != "open":
            value = _number(one["value"], 4) + (f" ± {one['error']:.2g}" if one["error"] is not None else "")
            rows.append([one["name"], value, _number(one["expectation"], 4), _number(one["z"], 2), one["verdict"]])
    return rows


def scores(found: list[dict[str, Any]]) -> list[list[str]]:
    """Rows of the key "ensemble" of a summary."""
    rows = [["", "of", "value", "se (members)", "se (test points)"]]
    for one in found:
        errors = [one["sampling_error"], one["data_error"]]
        rows.append([one["score"], one["of"], _number(one["value"], 4), *(_number(error, 2) for error in errors)])
    return rows


def entropies(found: list[dict[str, Any]]) -> list[list[str]]:
    """Rows of the key "entropy" of a summary."""
    rows = [["", "of", "kind", "value ± 1 se"]]
    for one in found:
        error = "" if one["error"] is None else f" ± {one['error']:.2g}"
        rows.append([one["name"], one["of"], one["kind"], _number(one["value"], 5) + error])
    return rows


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}g}"
