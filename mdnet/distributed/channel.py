"""What ranks tell each other: rows of tensors, sums, and once in a while whether to stop."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from mdnet.distributed import packing
from mdnet.distributed.parts import division
from mdnet.distributed.pulse import Pulse

_APART = 1.0  # seconds between two meetings, about
_MOST = 10_000  # steps between two meetings


class Channel:
    """The collectives of rank g M + d of G x M, which has part g of the replicas and part d of M of the data.

    All but the sum over data go by the CPU. Raises RankLostError where another rank is gone.
    """

    def __init__(self, data_ranks: int, pulse: Pulse) -> None:
        self.rank, self.size, self.data_ranks, self.pulse = dist.get_rank(), dist.get_world_size(), data_ranks, pulse
        self.groups = self.size // data_ranks
        self.group, self.part_of_data = divmod(self.rank, data_ranks)
        self.is_writer, self.reduces = self.rank == 0, data_ranks > 1
        self.replicas = 0  # of the whole run
        ranks = torch.arange(self.size).view(self.groups, data_ranks)
        self._data = _mine(ranks.tolist(), self.rank)
        self._replicas = _mine(ranks.T.tolist(), self.rank)
        self._next, self._met = 0, (0, time.monotonic())

    def gather(self, values: Tensor) -> Tensor:
        """Return values (rows, ...) of all ranks as (replicas, ...), on every rank."""
        sent = packing.padded(packing.packed([values]), self._longest)
        received = [torch.empty_like(sent) for _ in range(self.groups)]
        self._call(dist.all_gather, received, sent, group=self._replicas)
        return packing.unpacked(self._joined(received), [values])[0].to(values.device)

    def collect(self, report: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return named values (rows, ...) as (replicas, ...) on the writer; on the others nothing: one message each."""
        if self.part_of_data > 0 or not report:
            return {}
        sent = packing.padded(packing.packed([*report.values()]), self._longest)
        received = [torch.empty_like(sent) for _ in range(self.groups)] if self.is_writer else None
        self._call(dist.gather, sent, received, dst=0, group=self._replicas)
        if received is None:
            return {}
        return dict(zip(report, packing.unpacked(self._joined(received), [*report.values()]), strict=True))

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of values over the parts of the replicas, such as histograms of any shape."""
        total = values.detach().cpu().clone()
        self._call(dist.all_reduce, total, group=self._replicas)
        return total.to(values.device)

    def meet(self, step: int, asked: Sequence[bool]) -> Sequence[bool]:
        """Return of each question whether any rank says yes; about once a second, and else all are no.

        Ranks also compare their random numbers. Raises ValueError where these have come apart.
        """
        if step < self._next:
            return [False] * len(asked)
        code = int.from_bytes(hashlib.sha256(torch.get_rng_state().numpy().tobytes()).digest()[:7])
        stride = self._stride(step) if self.rank == 0 else 0
        table = torch.tensor([*map(int, asked), stride, code, -code])
        self._call(dist.all_reduce, table, op=dist.ReduceOp.MAX)
        *answers, stride, highest, lowest = table.tolist()
        if highest != -lowest:
            raise ValueError(
                f"step {step}: the ranks have drawn different random numbers, so their replicas do not belong to one "
                "run any more; a method of your own that draws must draw as much on every rank, by thermostats.noise "
                "or with the replicas as the first dimension"
            )
        self._next = step + stride
        return [bool(answer) for answer in answers]

    def meeting(self, step: int) -> int:
        """Return the step of the next meeting."""
        return max(self._next, step + 1)

    def _stride(self, step: int) -> int:
        """The steps that take about a second, at most ten times as many as lately."""
        before, now = self._met, time.monotonic()
        self._met = step, now
        done = max(step - before[0], 1)
        return max(1, min(int(done * _APART / max(now - before[1], 1e-9)), 10 * done, _MOST))

    def rows_of(self, replicas: int, group: int) -> slice:
        """The replicas of a group of ranks."""
        return division(replicas, self.groups, group, even=True)

    @property
    def _counts(self) -> list[int]:
        """The replicas of each group of ranks."""
        parts = [self.rows_of(self.replicas, group) for group in range(self.groups)]
        return [part.stop - part.start for part in parts]

    @property
    def _longest(self) -> int:
        return max(self._counts)

    def _joined(self, received: Sequence[Tensor]) -> Tensor:
        return torch.cat([part[:count] for part, count in zip(received, self._counts, strict=True)])

    def sum_of_data(self, values: Tensor) -> None:
        """Add up values, in place, over the ranks that share these replicas."""
        self._call(dist.all_reduce, values, group=self._data)

    def _call(self, collective: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        """Call a collective; where another rank is gone, find out which and raise RankLostError."""
        try:
            collective(*arguments, **named)
        except RuntimeError as error:
            raise self.pulse.lost(str(error)) from error


def _mine(several: Sequence[Sequence[int]], rank: int) -> Any:
    """Make one group of each list of ranks, on all ranks in the same order, and return this rank's."""
    groups = [(ranks, dist.new_group(list(ranks))) for ranks in several]
    return next(group for ranks, group in groups if rank in ranks)
