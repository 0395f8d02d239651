"""What a comparison of entropies says: one row an estimator, as a table for people and as JSON for programs."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from trajectories.statistics import Estimate


class Row(NamedTuple):
    """One estimator: its entropy, or why it does not apply."""

    name: str
    of: str  # the coordinates
    dimension: int
    samples: int
    independent: float
    kind: str  # "absolute", "upper bound", "relative", or "phase space"
    estimate: Estimate | None  # None: it does not apply
    note: str  # why it does not, or what to know


@dataclass(frozen=True)
class Comparison:
    """Entropies of one distribution by several estimators; ``str`` prints them as a table."""

    what: str
    rows: tuple[Row, ...]
    disagreements: tuple[str, ...]

    def __str__(self) -> str:
        """Aligned lines: the samples, then one line an estimator, then who contradicts whom."""
        lines = [f"entropy of {self.what}, in nats"]
        cells = [(row.name, str(row.estimate) if row.estimate else "-", row.kind, row.note) for row in self.rows]
        widths = [max(len(cell[i]) for cell in cells) for i in range(3)]
        told = None
        for row, cell in zip(self.rows, cells, strict=True):
            if row.of != told:
                told = row.of
                lines += ["", f"{row.of}: {row.samples} samples, worth {row.independent:.0f} independent ones"]
            lines.append("  " + "  ".join(f"{cell[i]:{widths[i]}}" for i in range(3)) + f"  {cell[3]}")
            lines[-1] = lines[-1].rstrip()
        return "\n".join([*lines, *([""] if self.disagreements else []), *self.disagreements])

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON: what, rows with value and error or null, disagreements."""
        rows = []
        for row in self.rows:
            value, error = row.estimate or (None, None)
            finite = error if error is not None and math.isfinite(error) else None
            rows.append(row._asdict() | {"estimate": None if value is None else {"value": value, "error": finite}})
        return {"what": self.what, "rows": rows, "disagreements": list(self.disagreements)}
