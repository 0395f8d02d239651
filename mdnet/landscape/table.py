"""The table S(x): a bias that is interpolated between bins, and that grows by kernels where the walkers are."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mdnet.routes.native.walkers import NativeTable, usable
from trajectories.landscape.axes import Axis, check_axes

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem

_CUT = 4.0  # standard deviations at which a kernel ends


class Table:
    """S on a grid of one or two variables, in float64, for every window and every independent copy of a table:

        b(x) = S(x), multilinear between the middles of bins, straight on beyond the outermost

    The walkers (replicas) are dealt out to the tables: replica r belongs to table r % tables, table t to window
    t % windows of copy t // windows. `axes`: one or two. `windows`: of the first axis, neighbours sharing `overlap` of
    their bins. `copies`: tables that know nothing of each other, for errors. `sigma`: the standard deviation of a
    kernel, in bins, 0 for the bin alone; a kernel is cut at 4 sigma, reflected at the edges of the window and has the
    sum one, so that nothing is lost at edges. Narrow kernels of large weights leave spikes, too steep for a time step,
    where walkers with momenta stay: there a smaller weight helps, or 5 bins.

    Attributes, all float64: `entropy` S (tables, *bins), zero at first, which may be filled in place before a run;
    `hits` (tables, *bins), what waits for `smooth`; `low` (tables, variables) and `width` (variables,) of the bins;
    `owner` (replicas,): the table of each walker. A `BiasedForce` brings the table to the device of its system.

    Raises ValueError for more than two axes or axes without range, and for fewer replicas than tables.
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        replicas: int,
        *,
        windows: int = 1,
        overlap: float = 0.75,
        copies: int = 1,
        sigma: float = 5.0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.axes, self.windows, self.copies, self.sigma = tuple(axes), windows, copies, sigma
        check_axes(self.axes)
        tables = windows * copies
        if len(self.axes) > 2 or copies < 1 or replicas < tables or sigma < 0:
            raise ValueError(
                f"{len(self.axes)} axes, {copies} copies of {windows} windows, {replicas} replicas, sigma = {sigma}: a "
                "table has one or two axes, one or more copies, a replica or more for each table, and sigma >= 0"
            )
        self.parts = self.axes[0].windows(windows, overlap)
        shape = (self.parts[0].bins, *(axis.bins for axis in self.axes[1:]))
        lows = [[part.low, *(axis.low for axis in self.axes[1:])] for part in self.parts]
        self.low = torch.tensor(lows, dtype=torch.float64, device=device).repeat(copies, 1)
        self.width = torch.tensor([axis.width for axis in self.axes], dtype=torch.float64, device=device)
        self.entropy = torch.zeros(tables, *shape, dtype=torch.float64, device=device)
        self.hits = torch.zeros_like(self.entropy)
        self.owner = torch.arange(replicas, device=device) % tables
        self._bins = torch.tensor(shape, device=device)
        self._stride = torch.tensor([*shape[1:], 1], device=device)
        self._kernels = [kernel(bins, sigma).to(device) for bins in shape]
        self.native: NativeTable | None = None

    def place(self, system: ParticleSystem) -> None:
        """Bring the table to the system's device; where the system's forces are native code, so is the table."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(system.device))
        self._kernels = [each.to(system.device) for each in self._kernels]
        self.native = None
        if usable(system):
            self.native = NativeTable(self.entropy.shape[1:], self._kernels, int(_CUT * self.sigma))

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return S (replicas,) and dS/dx (replicas, variables) at x (replicas, variables), each by its own table."""
        if self.native is not None:
            return self.native.look_up(x, self.low, self.width, self.owner, self.entropy)
        place = self._place(x) - 0.5
        corner = torch.minimum(place.floor().clamp_(min=0), self._bins - 2)
        t = place - corner
        first, flat = self._flat(corner), self.entropy.view(-1)
        if len(self.axes) == 1:
            s = flat[first]
            slope = flat[first + 1] - s
            return s + t[:, 0] * slope, slope[:, None] / self.width
        across = self._stride[0]
        s, up = flat[first], flat[first + 1] - flat[first]
        right, right_up = flat[first + across], flat[first + across + 1] - flat[first + across]
        twist = right_up - up
        slopes = torch.stack([right - s + t[:, 1] * twist, up + t[:, 0] * twist], -1)
        return s + t[:, 0] * slopes[:, 0] + t[:, 1] * up, slopes / self.width

    def inside(self, x: Tensor) -> Tensor:
        """Whether x (replicas, variables) lies in the window of each walker's table (replicas,)."""
        if self.native is not None:
            return self.native.bin(x, self.low, self.width, self.owner)[1]
        place = self._place(x)
        return ((place >= 0) & (place < self._bins)).all(-1)

    def cells(self, x: Tensor) -> Tensor:
        """Return the bin of each walker's x (replicas, variables), (replicas,): an index into `entropy`, flattened."""
        if self.native is not None:
            return self.native.bin(x, self.low, self.width, self.owner)[0]
        return self._flat(torch.minimum(self._place(x).floor().clamp_(min=0), self._bins - 1))

    def add(self, x: Tensor, weight: Tensor | float) -> None:
        """Let weights, a number or (replicas,), wait at x (replicas, variables) until they are smoothed."""
        self.hit(self.cells(x), torch.as_tensor(weight, dtype=torch.float64, device=x.device).expand(len(x)))

    def hit(self, cells: Tensor, weights: Tensor) -> None:
        """Let weights (n,) wait in bins (n,), which are indices into `entropy`, flattened."""
        self.hits.view(-1).index_put_((cells,), weights, accumulate=True)  # in one order on a GPU, too

    def smooth(self, hits: Tensor) -> None:
        """Spread hits (tables, *bins) by the kernel, add them to S, and begin to wait anew."""
        if self.native is not None:
            self.native.spread(self.entropy, hits)
            if hits is not self.hits:
                self.hits.zero_()
            return
        spread = hits @ self._kernels[-1].T
        self.entropy.add_(spread if len(self.axes) == 1 else self._kernels[0] @ spread)
        self.hits.zero_()

    def part(self, rows: slice) -> Table:
        """Return a table of the same tables for these replicas."""
        own = copy.copy(self)
        own.entropy, own.hits, own.owner = self.entropy.clone(), self.hits.clone(), self.owner[rows].clone()
        return own

    @property
    def settings(self) -> dict[str, Any]:
        """Axes, windows, copies and kernel, as the run's file keeps them."""
        return {
            "kind": "table",
            "axes": [axis.as_dict() for axis in self.axes],
            "lows": [part.low for part in self.parts],
            "bins": list(self.entropy.shape[1:]),
            "copies": self.copies,
            "sigma": self.sigma,
        }

    def _place(self, x: Tensor) -> Tensor:
        """X in bins from the low end of each walker's window."""
        return (x - self.low[self.owner]) / self.width

    def _flat(self, bins: Tensor) -> Tensor:
        """The place of bins (replicas, variables) of each walker's table in `entropy`, flattened."""
        inside = (bins.nan_to_num().long() * self._stride[-bins.shape[-1] :]).sum(-1)
        return self.owner * self.entropy[0].numel() + inside


def kernel(bins: int, sigma: float) -> Tensor:
    """Return K (bins, bins) float64: K_ij is what bin i gets of a unit at bin j, whose columns have the sum one.

    A normal law of sigma bins on the lattice, cut at 4 sigma, with its images in mirrors at both ends.
    """
    reach = int(_CUT * sigma)
    away = torch.arange(-reach, reach + 1, dtype=torch.float64)
    shape = torch.exp(-0.5 * (away / sigma).square()) if sigma else torch.ones(1, dtype=torch.float64)
    at = (torch.arange(bins)[:, None] + away.long()).remainder(2 * bins)
    images = torch.where(at < bins, at, 2 * bins - 1 - at)
    spread = torch.zeros(bins, bins, dtype=torch.float64)
    return spread.scatter_add_(1, images, (shape / shape.sum()).expand(bins, -1)).T.contiguous()
