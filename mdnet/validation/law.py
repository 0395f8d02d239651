"""The verdict on one law, and the gates: how far chance may carry a number that is right."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import isfinite, sqrt
from typing import Any, Literal

import torch
from scipy import stats
from torch import Tensor

Verdict = Literal["pass", "fail", "skipped"]
Z = 5.0  # standard errors from independent replicas


@dataclass(frozen=True)
class Law:
    """One law: what was measured, what is expected, where the gate stands, and the verdict.

    `z`: the deviation in standard errors, where there are any. `note`: what a failure may mean, or why it was skipped.
    """

    name: str
    value: float = float("nan")
    expected: float = float("nan")
    gate: str = ""
    z: float | None = None
    verdict: Verdict = "skipped"
    note: str = ""

    def noted(self, note: str, *, failure: bool = True) -> Law:
        """Return the law with one more note; by default only where it failed."""
        if not note or (failure and self.verdict != "fail"):
            return self
        return replace(self, note="; ".join(filter(None, (self.note, note))))

    def entry(self) -> dict[str, Any]:
        """Return the fields for JSON; numbers that are not finite are None."""
        fields = asdict(self)
        return {k: None if isinstance(v, float) and not isfinite(v) else v for k, v in fields.items()}


def decide(name: str, holds: bool, value: float, expected: float, gate: str, z: float | None = None) -> Law:
    """Return a law that passed or failed."""
    return Law(name, value, expected, gate, z, "pass" if holds else "fail")


def skipped(name: str, why: str) -> Law:
    """Return a law that was not tested."""
    return Law(name, note=why)


def limit(replicas: int, tests: int = 1) -> float:
    """The deviation that the worst of so many tests exceeds by chance as rarely as a normal number exceeds 5.

    With few replicas the standard error itself is uncertain: Student's law says how much.
    """
    return float(stats.t.isf(stats.norm.sf(Z) / tests, max(replicas - 1, 1)))


def deviations(samples: Tensor, exact: Tensor | float) -> Tensor:
    """Return the deviation of the mean of samples (replicas, ...) from the exact answer in standard errors: (...)."""
    error = samples.std(0) / sqrt(len(samples))
    off = samples.mean(0) - exact
    return torch.where(off == 0, 0.0, off / error)


def average(name: str, samples: Tensor, exact: float, tests: int = 1) -> Law:
    """Test the mean of independent samples (replicas,) against the exact answer."""
    z, gate = float(deviations(samples, exact)), limit(len(samples), tests)
    return decide(name, abs(z) <= gate, float(samples.mean()), exact, f"|z| <= {gate:.1f}", z)


def worst(name: str, samples: Tensor, exact: Tensor, labels: list[str]) -> Law:
    """Test the means of samples (replicas, n) against n exact answers; the law tells of the worst."""
    z, gate = deviations(samples, exact), limit(len(samples), samples.shape[1])
    i = int(torch.nan_to_num(z.abs(), nan=float("inf")).argmax())
    worst_z, answer = float(z[i]), float(exact.expand_as(z)[i])
    law = decide(name, abs(worst_z) <= gate, float(samples[:, i].mean()), answer, f"|z| <= {gate:.1f}", worst_z)
    return law.noted(f"worst: {labels[i]}", failure=False)
