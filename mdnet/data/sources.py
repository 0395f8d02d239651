"""The data sets known by name, and where each is looked for: a folder, this package, scikit-learn, a formula."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mdnet.data.cifar import read_batches
from mdnet.data.dataset import DataSet
from mdnet.data.synthetic import sine
from mdnet.data.tables import read_table
from mdnet.data.translation import translations
from mdnet.spelling import unknown

FOLDER = "MDNET_DATA"
_OWN = Path(__file__).with_name("files")
_HIGGS_ROWS, _HIGGS_FEATURES = 200_000, 28


def load(name: str, *, seed: int = 0) -> DataSet:
    """Return the data set called `name`, one of SETS; `seed` is that of a set with noise of its own (sine).

    Files are looked for in the folder that the environment variable MDNET_DATA names, then in this package.
    Raises ValueError for an unknown name, and FileNotFoundError saying which file is wanted and where it is had.
    """
    if name not in SETS:
        raise ValueError(unknown("data set", name, SETS))
    return SETS[name](name, seed)


def _sine(name: str, seed: int) -> DataSet:
    return sine(seed=seed)


def _bundled(name: str, seed: int) -> DataSet:
    from sklearn import datasets

    bunch = {"digits": datasets.load_digits, "iris": datasets.load_iris}[name]()
    scale = 16.0 if name == "digits" else 1.0  # digits: grey values 0 to 16 become 0 to 1
    return DataSet(
        name,
        inputs=torch.tensor(bunch.data / scale, dtype=torch.float32),
        targets=torch.tensor(bunch.target, dtype=torch.int64),
        kind="classification",
        source=f"scikit-learn, load_{name}",
        classes=len(bunch.target_names),
        features=tuple(str(feature) for feature in bunch.feature_names),
    )


def _table(
    files: Collection[str], target: str, origin: str, *,
    only: Collection[str] = (), without: Collection[str] = (), categories: Collection[str] = (),
) -> Callable[[str, int], DataSet]:  # fmt: skip
    def make(name: str, seed: int) -> DataSet:
        path = find(name, files, origin)
        columns, targets = read_table(path, target, only=only, without=without, categories=categories)
        return DataSet(name, columns.values.float(), targets.float(), "regression", str(path), features=columns.names)

    return make


def _images(files: Collection[str], origin: str) -> Callable[[str, int], DataSet]:
    """Images as (n, channels, height, width) with grey values 0 to 255 as 0 to 1, training rows first."""

    def make(name: str, seed: int) -> DataSet:
        path = find(name, files, origin)
        pixels, labels, rows = read_batches(path) if path.is_dir() else _archive(path)
        return DataSet(
            name, torch.from_numpy(pixels).float() / 255, torch.from_numpy(labels), "classification", str(path),
            classes=int(labels.max()) + 1, training_rows=rows,
        )  # fmt: skip

    return make


def _archive(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64], int]:
    """Return pixels (n, channels, height, width) and labels (n,), training rows first, and how many train."""
    with np.load(path) as archive:
        missing = {"x_train", "y_train", "x_test", "y_test"} - set(archive)
        if missing:
            raise ValueError(f"{path} has no array {min(missing)!r}; it needs x_train, y_train, x_test, y_test")
        pixels = np.concatenate([archive["x_train"], archive["x_test"]])
        labels = np.concatenate([archive["y_train"], archive["y_test"]]).astype(np.int64)
        rows = len(archive["x_train"])
    return (pixels[:, None] if pixels.ndim == 3 else np.moveaxis(pixels, -1, 1)), labels, rows


def _higgs(name: str, seed: int) -> DataSet:
    """The first rows of HIGGS: the label first, then 28 numbers, without a heading."""
    origin = "https://archive.ics.uci.edu/dataset/280 (CC BY 4.0)"
    path = find(name, ["HIGGS.csv", "HIGGS.csv.gz"], origin)
    values = np.loadtxt(path, delimiter=",", max_rows=_HIGGS_ROWS, ndmin=2, dtype=np.float32)
    labels = values[:, 0]
    if values.shape[1] != 1 + _HIGGS_FEATURES or not np.isin(labels, (0, 1)).all() or not np.isfinite(values).all():
        raise ValueError(
            f"{path} has {values.shape[1]} columns; HIGGS has a label, 0 or 1, and {_HIGGS_FEATURES} finite numbers"
        )
    return DataSet(
        name, torch.from_numpy(values[:, 1:].copy()), torch.from_numpy(labels.astype(np.int64)), "classification",
        f"{path}, the first {len(values)} rows; unverified: never tried on the published file",
        classes=2, features=tuple(f"x{i}" for i in range(1, 1 + _HIGGS_FEATURES)),
    )  # fmt: skip


def _pairs(name: str, seed: int) -> DataSet:
    origin = "the Debian packages debian-handbook, debian-reference and debian-faq, as (part, English, Portuguese)"
    return translations(name, find(name, ["debian_en_pt.tsv.gz"], origin))


def find(name: str, files: Collection[str], origin: str) -> Path:
    folder = os.environ.get(FOLDER)
    folders = ([Path(folder)] if folder else []) + [_OWN]
    for place in folders:
        for file in files:
            if (place / file).exists():
                return place / file
    where = f"it is not in {FOLDER} = {folder}" if folder else f"the environment variable {FOLDER} names no folder"
    raise FileNotFoundError(
        f"data set {name!r} needs the file {' or '.join(files)}, and {where}; get it from {origin}, put it into a "
        f"folder, and let {FOLDER} name that folder"
    )


_ARRAYS = "as an npz archive of uint8 arrays x_train, y_train, x_test, y_test"
_AUTO = "https://archive.ics.uci.edu/dataset/9 as csv with a heading"
_CARS = ("auto_mpg.csv",)
SETS: dict[str, Callable[[str, int], DataSet]] = {
    "sine": _sine,
    "iris": _bundled,
    "digits": _bundled,
    "auto-mpg": _table(_CARS, "mpg", _AUTO, without=["name"], categories=["origin"]),
    "auto-mpg-single": _table(_CARS, "mpg", _AUTO, only=["horsepower"]),
    "concrete": _table(
        ["concrete.csv"],
        "compressive_strength",
        "https://archive.ics.uci.edu/dataset/165 (CC BY 4.0), columns as there",
    ),
    "diamonds": _table(["diamonds.csv.gz", "diamonds.csv"], "price", "the R package ggplot2 (MIT), data set diamonds"),
    "ames": _table(["ames.csv.gz", "ames.csv"], "Sale_Price", "the R package modeldata (MIT), data set ames"),
    "mnist": _images(["mnist.npz"], f"http://yann.lecun.com/exdb/mnist (CC BY-SA 3.0) {_ARRAYS}"),
    "fashion-mnist": _images(
        ["fashion_mnist.npz", "fashion_mnist_10k.npz"],
        f"https://github.com/zalandoresearch/fashion-mnist (MIT) {_ARRAYS}",
    ),
    "cifar10": _images(
        ["cifar10.npz", "cifar-10-batches-py", "cifar10_10k.npz"],
        f"https://www.cs.toronto.edu/~kriz/cifar.html in its python format, or {_ARRAYS}, (n, 32, 32, 3)",
    ),
    "higgs": _higgs,
    "english-portuguese": _pairs,
}
