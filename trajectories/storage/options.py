"""How rows are stored: read while they are written, compressed, rounded."""

from dataclasses import dataclass
from typing import Literal, get_args

Compression = Literal["none", "lzf", "gzip", "zstd", "blosc-zstd"]
PLUGGED = ("zstd", "blosc-zstd")  # filters that are not in HDF5 itself


@dataclass(frozen=True, slots=True)
class Storage:
    """What the user asks of the file.

    live: keep HDF5's mark of a file that is being written (SWMR), so that other programs read on while it grows, with
        swmr=True; a killed run keeps the mark until it is resumed or recovered. `trajectories.open` needs no mark.
    compression: of positions, velocities and forces. Weights hardly compress (1.1 to 1.2 times); "zstd" and
        "blosc-zstd" need hdf5plugin wherever the file is read.
    bits: mantissa bits kept of positions, velocities and forces, 1 to 23 of float32 (52 of float64); the rest is
        rounded to zero, a relative error of at most 2^-(bits + 1), and then compresses well. None keeps all.

    Raises ValueError for values that are not among these, and where hdf5plugin is needed but not installed.
    """

    live: bool = False
    compression: Compression = "none"
    bits: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.live, bool):
            raise ValueError(f"live = {self.live!r} must be True or False")
        if self.compression not in get_args(Compression):
            allowed = ", ".join(map(repr, get_args(Compression)))
            raise ValueError(f"compression = {self.compression!r} is not one of {allowed}")
        if self.bits is not None and not (type(self.bits) is int and 1 <= self.bits <= 52):
            raise ValueError(f"bits = {self.bits!r} must be 1 to 23 of float32, 1 to 52 of float64, or None for all")
        if self.compression in PLUGGED and not plugged_in():
            raise ValueError(
                f"compression = {self.compression!r} needs hdf5plugin: pip install mdnet[filters], or take 'lzf' or "
                "'gzip', which every HDF5 has"
            )


def plugged_in() -> bool:
    """Make the filters of hdf5plugin known to HDF5; False where it is not installed."""
    try:
        import hdf5plugin  # noqa: F401
    except ImportError:
        return False
    return True
