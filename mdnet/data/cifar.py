"""Reads CIFAR-10 in its python format: a folder of pickled batches, from which nothing but arrays is made."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TRAIN, TEST = tuple(f"data_batch_{i}" for i in range(1, 6)), "test_batch"
_SIDE = 32
_PIXELS = 3 * _SIDE**2
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"): ("numpy", "ndarray"),
    ("numpy", "dtype"): ("numpy", "dtype"),
}


def read_batches(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64], int]:
    """Return pixels (n, 3, 32, 32) and labels (n,) of all batches, training rows first, and how many train.

    The batches are dicts with b"data" (rows, 3072) uint8, the red, green and blue of a row's pixels one after the
    other, and b"labels", a list of rows numbers 0 to 9. Raises FileNotFoundError for a missing batch, ValueError for
    one of another form, and pickle.UnpicklingError for a pickle that asks for anything but arrays, bytes and lists.

    Reference: Krizhevsky, "Learning multiple layers of features from tiny images" (2009).
    """
    missing = [name for name in (*TRAIN, TEST) if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} has no file {missing[0]}; it needs {', '.join(TRAIN)} and {TEST}")
    batches = [_batch(folder / name) for name in (*TRAIN, TEST)]
    pixels, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return pixels, labels, len(labels) - len(batches[-1][1])


def _batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with path.open("rb") as file:
        content = _Arrays(file, encoding="bytes").load()
    if not isinstance(content, dict) or not {b"data", b"labels"} <= set(content):
        raise ValueError(f"{path} is no batch of CIFAR-10: it must hold a dict with b'data' and b'labels'")
    pixels, labels = content[b"data"], np.asarray(content[b"labels"])
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (len(labels), _PIXELS):
        told = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise ValueError(f"{path}: b'data' is {told}; it must be uint8 ({len(labels)}, {_PIXELS}), one row a label")
    if labels.dtype.kind not in "iu" or not ((labels >= 0) & (labels < 10)).all():
        raise ValueError(f"{path}: b'labels' must be whole numbers from 0 to 9")
    return pixels.reshape(-1, 3, _SIDE, _SIDE), labels.astype(np.int64)


class _Arrays(pickle.Unpickler):
    """Makes arrays and what pickle itself knows (dicts, lists, bytes, numbers); refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what rebuilds an array; raises UnpicklingError for all else."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f"the pickle asks for {module}.{name}; only arrays are made from it, for a pickle can run any program"
            )
        return super().find_class(*_ALLOWED[module, name])
