"""How rows are stored: read while they are written, compressed, rounded."""

from dataclasses import dataclass
from typing import Literal

Compression = Literal["none", "lzf", "gzip", "zstd", "blosc-zstd"]


@dataclass(frozen=True, slots=True)
class Storage:
    """What the user asks of the file.

    live: HDF5's single-writer-multiple-reader mode, so that other processes read on while it grows; a run that is
        killed then leaves a mark by which plain readers refuse the file until it is recovered.
    compression: of positions, velocities and forces. Weights hardly compress (1.1 to 1.2 times); "zstd" and
        "blosc-zstd" need hdf5plugin wherever the file is read.
    bits: mantissa bits kept of positions, velocities and forces, 1 to 23 of float32 (52 of float64); the rest is
        rounded to zero, a relative error of at most 2^-(bits + 1), and then compresses well. None keeps all.
    """

    live: bool = False
    compression: Compression = "none"
    bits: int | None = None
