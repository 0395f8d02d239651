"""STUDY.toml: a sweep described in a file, with the run file, what is swept over, and how it is done."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mdnet.config import ConfigError
from mdnet.spelling import unknown
from mdnet.sweep import grid
from mdnet.sweep.conducting import sweep
from mdnet.sweep.records import Sweep

_ALLOWED = {
    "run": 'must be the path of a run file, in quotes: run = "digits.toml"',
    "out": 'must be the path of a folder, in quotes: out = "runs/heat"',
    "over": 'must be a table of keys with their values: [over], then run.seed = "0:8"',
    "runs": "must be tables of keys with one value each: [[runs]], then integrator.dt = 0.1",
    "set": "must be a table of keys with one value each: [set], then run.steps = 1000",
    "pack": "must be true or false",
    "workers": "must be a whole number, 1 or more",
    "threads": "must be a whole number, 1 or more",
    "retries": "must be a whole number, 0 or more",
    "scheduler": 'must be an address, in quotes: scheduler = "tcp://HOST:8786"',
}
_RANGE = re.compile(r"\s*-?\d+:-?\d+(:-?\d+)?\s*")


class _File(BaseModel):
    """The keys of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    run: str
    out: str | None = Field(default=None, min_length=1)
    over: dict[str, Any] = {}
    runs: list[dict[str, Any]] = []
    set: dict[str, Any] = {}
    pack: bool = True
    workers: int | None = Field(default=None, ge=1)
    threads: int | None = Field(default=None, ge=1)
    retries: int = Field(default=3, ge=0)
    scheduler: str | None = None


@dataclass(frozen=True)
class Study:
    """What is to be swept over, and how: the arguments of `sweep`, by the same names."""

    file: Path
    over: grid.Over
    out: Path
    overrides: Sequence[str] = ()
    pack: bool = True
    workers: int | None = None
    threads: int | None = None
    retries: int = 3
    scheduler: str | None = None

    def sweep(self, *, progress: bool = True) -> Sweep:
        """Run it, see `mdnet.sweep.sweep`."""
        return sweep(
            self.file, self.over, out=self.out, overrides=self.overrides, pack=self.pack, workers=self.workers,
            threads=self.threads, scheduler=self.scheduler, retries=self.retries, progress=progress,
        )  # fmt: skip


def plain(file: Path) -> Study:
    """Return the study of a run file, with nothing to sweep over yet; raises ConfigError where there is no file."""
    if not file.is_file():
        raise ConfigError(f"cannot read the run file {file}: there is no such file")
    return Study(file, {}, Path("runs") / file.stem)


def changed(
    study: Study,
    *,
    over: grid.Over,
    overrides: Sequence[str],
    out: Path | None,
    pack: bool | None,
    workers: int | None,
    threads: int | None,
    retries: int | None,
    scheduler: str | None,
) -> Study:
    """Return a study with other values: those that are None stay, keys and overrides join those that are there."""
    given = {
        "out": out, "pack": pack, "workers": workers, "threads": threads, "retries": retries, "scheduler": scheduler
    }  # fmt: skip
    told: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(study, over={**study.over, **over}, overrides=[*study.overrides, *overrides], **told)


def is_study(path: Path) -> bool:
    """Whether a file is a study: it names its run file, where a run file has the table [run].

    Raises ConfigError for what is not TOML.
    """
    if not path.is_file():  # told where it is read as a run file
        return False
    tables = _tables(path)
    return isinstance(tables.get("run"), str) or bool({"over", "runs", "set"} & tables.keys())


def read(path: str | Path) -> Study:
    """Read a study file; the run file is looked for beside it, and `out` is runs/NAME of NAME.toml unless given.

    [over] has lists of values, or ranges as text ("0:8", "0:100:10"), and is taken in all combinations;
    "a.b,c.d" = [[1, 2], [3, 4]] for keys that vary together. [[runs]] lists combinations by themselves, all of the same
    keys; each is taken with all combinations of [over], if both are there.

    Raises ConfigError with all that is wrong.
    """
    path = Path(path)
    try:
        found = _File.model_validate(_tables(path))
    except ValidationError as error:
        told = list(dict.fromkeys(_told(each) for each in error.errors(include_url=False)))
        count = f"{len(told)} errors" if len(told) > 1 else "an error"
        raise ConfigError("\n  ".join([f"{path} has {count}:", *told])) from None
    return Study(
        path.parent / found.run,
        _over(path, found),
        Path("runs") / path.stem if found.out is None else Path(found.out),
        grid.overrides(grid.flatten(found.set)),
        found.pack, found.workers, found.threads, found.retries, found.scheduler,
    )  # fmt: skip


def _tables(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def _told(error: Any) -> str:
    key = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return f"{unknown('key', key, _File.model_fields)}; values of the run file go into [set] or [over]"
    if error["type"] == "missing":
        return f"{key} is missing; it {_ALLOWED[key]}"
    return f"{key} = {error['input']!r} {_ALLOWED[key]}"


def _over(path: Path, found: _File) -> dict[str | tuple[str, ...], list[Any]]:
    over: dict[str | tuple[str, ...], list[Any]] = {}
    if found.runs:
        listed = [grid.flatten(run) for run in found.runs]
        over |= _listed(path, listed)
    for place, values in grid.flatten(found.over).items():
        keys = tuple(key.strip() for key in place.split(","))
        key = keys if len(keys) > 1 else keys[0]
        if key in over:
            raise ConfigError(f"{path}: {place} is in [[runs]] and in [over], or twice in one; give its values once")
        over[key] = _values(path, place, values)
    return over


def _listed(path: Path, runs: Sequence[Mapping[str, Any]]) -> dict[str | tuple[str, ...], list[Any]]:
    """What [[runs]] lists, as keys that vary together."""
    keys = tuple(runs[0])
    for number, run in enumerate(runs):
        if run.keys() != set(keys) or not keys:
            raise ConfigError(
                f"{path}: [[runs]] number {number + 1} gives {', '.join(run) or 'nothing'}, the first gives "
                f"{', '.join(keys) or 'nothing'}; give all of them the same keys"
            )
    if len(keys) == 1:
        return {keys[0]: [run[keys[0]] for run in runs]}
    return {keys: [tuple(run[key] for key in keys) for run in runs]}


def _values(path: Path, key: str, values: Any) -> list[Any]:
    """A list as it is, and the numbers of a range."""
    if isinstance(values, str) and _RANGE.fullmatch(values):
        return grid.several(values)
    if not isinstance(values, list):
        raise ConfigError(
            f'{path}: [over] {key} = {values!r} must be a list of values, as in [0.01, 0.02], or a range, as in "0:8"; '
            "a single value goes into [set]"
        )
    return values
