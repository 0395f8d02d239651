"""Sums over time of x(t) x(t + lag) by FFT, in blocks of bounded memory: what displacements and correlations need."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.statistics.walking import BYTES, Samples

Floats = NDArray[np.float64]
Change = Callable[[Floats, slice, slice, slice], Floats]  # a block and its frames, replicas, columns -> the block used
_ENOUGH_REPLICAS = 4
_FEW_FRAMES = 200
_COPIES = 6  # of a block, that the transforms hold at a time


class Lagged(NamedTuple):
    """Sums over the coordinates of each replica, or of each section of a run of few replicas."""

    products: Floats  # (lags, replicas) sum over t of x(t) x(t + lag)
    squares: Floats  # (frames, replicas) x(t)^2

    @property
    def pairs(self) -> Floats:
        """Number of pairs of frames at each lag, (lags, 1)."""
        return len(self.squares) - np.arange(len(self.products), dtype=np.float64)[:, None]


def spacing(times: ArrayLike, frames: int) -> float:
    """Time between frames; ValueError unless there are as many times as frames, evenly spaced and growing."""
    moments = np.asarray(times, dtype=np.float64)
    if moments.shape != (frames,) or frames < 2:
        raise ValueError(f"times are {moments.shape}; they must be ({frames},), one a frame, and 2 or more")
    dt = float(moments[-1] - moments[0]) / (frames - 1)
    if dt <= 0 or np.abs(np.diff(moments) - dt).max() > 1e-6 * dt:
        raise ValueError("times must grow evenly: take the part of the run where every frame is as far from the next")
    return dt


def lagged(samples: Samples, longest: int | None, change: Change) -> Lagged:
    """Sum x(t) x(t + lag) over coordinates and times for lags up to ``longest``, x = ``change`` of what is stored.

    With fewer than 4 replicas the run is cut into 4 sections of equal length, which then stand for replicas.
    ``longest`` is half of what is correlated unless given; long lags of many coordinates take many passes over
    the file, short ones a single pass.
    """
    count = 1 if samples.replicas >= _ENOUGH_REPLICAS else _ENOUGH_REPLICAS
    length = samples.frames // count
    longest = length // 2 if longest is None else longest
    if not 0 < longest < length:
        raise ValueError(
            f"the longest lag is {longest}; it must be from 1 to {length - 1}, as {samples.frames} samples of "
            f"{samples.replicas} replicas are analysed in {count} section(s) of {length}"
        )
    parts = [_section(samples, part * length, length, longest, change) for part in range(count)]
    return Lagged(*(np.concatenate(fields, axis=1) for fields in zip(*parts, strict=True)))


def _section(samples: Samples, start: int, length: int, longest: int, change: Change) -> Lagged:
    """Lagged sums of the frames from ``start`` on, segment by segment, a block of coordinates at a time."""
    segment = _segment(samples, length, longest)
    lines = BYTES // (8 * _COPIES * (segment + longest))
    found = Lagged(np.zeros((longest + 1, samples.replicas)), np.zeros((length, samples.replicas)))
    for first in range(0, length, segment):
        own = min(segment, length - first)  # first factors; the second ones reach ``longest`` further
        frames = slice(start + first, start + min(first + segment + longest, length))
        for replicas, columns in samples.by_line(lines):
            block = change(samples.read(frames, replicas, columns), frames, replicas, columns)
            found.squares[first : first + own, replicas] += np.einsum("frc,frc->fr", block[:own], block[:own])
            found.products[:, replicas] += _correlate(block, own, longest)
    return found


def _segment(samples: Samples, length: int, longest: int) -> int:
    """Frames a segment: all where lags are long, else as many as fit with every coordinate."""
    room = BYTES // (8 * _COPIES * samples.replicas * samples.dof)
    return length if 2 * longest >= length else min(length, max(longest, room - longest, 16))


def _correlate(block: Floats, own: int, longest: int) -> Floats:
    """Sum over columns and the first ``own`` times t of x(t) x(t + lag), (lags, replicas).

    Few frames of many coordinates are multiplied as matrices: there that is ten times as fast as FFTs.
    """
    from scipy import fft

    if len(block) <= min(_FEW_FRAMES, block.shape[2]):
        every = block.transpose(1, 0, 2) @ block.transpose(1, 2, 0)  # (replicas, frames, frames)
        return np.stack([every.diagonal(lag, 1, 2)[:, :own].sum(axis=1) for lag in range(longest + 1)])
    length = fft.next_fast_len(own + longest, real=True)
    second = fft.rfft(block, length, axis=0)
    first = second if own == len(block) else fft.rfft(block[:own], length, axis=0)
    spectrum = np.einsum("frc,frc->fr", first.conj(), second)
    return np.asarray(fft.irfft(spectrum, length, axis=0)[: longest + 1])
