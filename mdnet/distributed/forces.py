"""The force on data that several ranks share: each has some of the rows, and all get the mean."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from mdnet.force import BatchForce, Evaluation


class Reduced:
    """U = sum_m (n_m/n) U_m and f likewise, over the M ranks that share the data, n_m rows on rank m.

    Each U_m holds the prior whole, and the weights n_m/n add up to one, so U holds it once. `force`: this rank's.
    `share`: n_m/n. `total`: sums a tensor over the ranks, in place. A force of R replicas moves 2 (M - 1)/M
    R (4 dof + 8) bytes to and from each rank in single precision.
    """

    def __init__(self, force: BatchForce, share: float, total: Callable[[Tensor], None]) -> None:
        self.force, self.share, self.total = force, share, total

    def __call__(self, q: Tensor) -> Evaluation:
        """Return u (replicas,) float64 and f (replicas, dof) of all data at q (replicas, dof)."""
        u, f = (x * self.share for x in self.force(q))
        self.total(f)
        self.total(u)
        return u, f

    def gradient(self, q: Tensor) -> Tensor:
        """Return dU/dq (replicas, dof) of this rank's data alone, differentiable once more."""
        return self.force.gradient(q)

    def __repr__(self) -> str:
        return f"Reduced({self.share:.3g} of the data)"
