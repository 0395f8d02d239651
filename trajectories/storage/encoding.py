"""What becomes of numbers on their way to disk: rounded to fewer mantissa bits, and compressed."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from trajectories.errors import NotATrajectory
from trajectories.storage.options import Storage, plugged_in

Array = NDArray[Any]
_BLOCK = 1 << 15  # numbers rounded at a time, so that what lies between the operations stays in the cache


def round_mantissa(values: Array, bits: int) -> Array:
    """Round to nearest, ties to even, on the grid of ``bits`` mantissa bits: |x' - x| <= 2^-(bits + 1) |x|.

    ``values``: float32 or float64 of any shape; a new array unless all bits are kept. What would round to infinity,
    infinities and NaN stay as they are, and so do the signs of zeros. Below the smallest normal number the error is
    at most half a unit of the grid there.
    """
    drop = np.finfo(values.dtype).nmant - bits
    if drop <= 0:
        return values
    whole = np.dtype(f"u{values.dtype.itemsize}").type
    one, shift, half = whole(1), whole(drop), whole((1 << (drop - 1)) - 1)
    kept = ~whole((1 << drop) - 1)
    flat = np.ascontiguousarray(values).reshape(-1)
    rounded = np.empty_like(flat)
    for start in range(0, flat.size, _BLOCK):
        old, new = flat[start : start + _BLOCK], rounded[start : start + _BLOCK]
        code = new.view(whole)
        np.right_shift(old.view(whole), shift, out=code)
        np.bitwise_and(code, one, out=code)  # the last bit kept: adding it makes ties even
        np.add(code, old.view(whole), out=code)
        np.add(code, half, out=code)
        np.bitwise_and(code, kept, out=code)
        np.copyto(new, old, where=~(np.isfinite(old) & np.isfinite(new)))
    return rounded.reshape(values.shape)


def check(storage: Storage, dtype: Any) -> None:
    """Raise ValueError where more mantissa bits are to be kept than the type has."""
    most = np.finfo(dtype).nmant
    if storage.bits is not None and storage.bits > most:
        raise ValueError(f"bits = {storage.bits}, but {np.dtype(dtype)} has {most}: give 1 to {most}, or None for all")


def filters(storage: Storage) -> dict[str, Any]:
    """Return the keywords of h5py's create_dataset for a compression; empty for "none"."""
    match storage.compression:
        case "lzf":
            return {"compression": "lzf", "shuffle": True}
        case "gzip":
            return {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        case "zstd":
            import hdf5plugin

            return {"shuffle": True, **hdf5plugin.Zstd(clevel=1)}
        case "blosc-zstd":
            import hdf5plugin

            return dict(hdf5plugin.Blosc(cname="zstd", clevel=3, shuffle=hdf5plugin.Blosc.BITSHUFFLE))
    return {}


def remember(h5: h5py.File, storage: Storage) -> None:
    """Write the options into a new trajectory, for `stored`."""
    own = h5["mdnet"].attrs
    own["live"], own["compression"] = storage.live, storage.compression
    if storage.bits is not None:
        own["bits"] = storage.bits


def stored(h5: h5py.File) -> Storage:
    """Return the options that a trajectory was made with."""
    own = h5["mdnet"].attrs
    bits = int(own.get("bits", 0))
    return Storage(
        live=bool(own.get("live", False)), compression=own.get("compression", "none"), bits=bits if bits > 0 else None
    )


def is_filtered(dataset: h5py.Dataset) -> bool:
    """Whether chunks change their size on the way to disk."""
    return bool(dataset.id.get_create_plist().get_nfilters())


def make_readable(dataset: h5py.Dataset, path: Path) -> None:
    """See that HDF5 knows the filters of a dataset.

    Raises NotATrajectory where one comes from hdf5plugin, which is not installed.
    """
    plan = dataset.id.get_create_plist()
    codes = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    unknown = [code for code in codes if not h5py.h5z.filter_avail(code)]
    if unknown and not (plugged_in() and all(map(h5py.h5z.filter_avail, unknown))):
        raise NotATrajectory(
            f"{path}: {dataset.name} is compressed with filter {unknown[0]}, which is not in HDF5 itself; to read it, "
            "pip install mdnet[filters] (hdf5plugin)"
        )
