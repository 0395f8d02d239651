"""The record of a sweep, sweep.json: what is swept over, and how far each run has come."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mdnet.config import ConfigError
from mdnet.sweep.packing import Unit

FILE_NAME = "sweep.json"
_FORMAT = 1
State = Literal["pending", "finished", "failed"]


@dataclass
class Run:
    """One run of a sweep, as far as it is known.

    `out`: the folder of the sweep. `values`: what is swept over, by key. `steps` behind it, `tries`: how often a worker
    began it, `seconds` of work, its share of those of a simulation that it is a part of. `energy`, `temperature`: the
    last that were reported, means over the replicas; None where none was. `pack`: the folder of the simulation that it
    is a part of, "" for one of its own; `replicas`: the first of its replicas there, and the one after its last.
    `alone`: it is not to be joined with others any more.
    """

    out: Path
    name: str
    values: dict[str, Any]
    state: State = "pending"
    steps: int = 0
    tries: int = 0
    seconds: float = 0.0
    error: str = ""
    energy: float | None = None
    temperature: float | None = None
    pack: str = ""
    replicas: tuple[int, int] | None = None
    alone: bool = False

    @property
    def first(self) -> int:
        """The first of its replicas in the simulation."""
        return 0 if self.replicas is None else self.replicas[0]

    @property
    def folder(self) -> Path:
        """Where its trajectory lies, or is to lie."""
        return self.out / (self.pack or self.name)


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep in the order of its grid; `interrupted`: stopped by a signal, the same call goes on.

    sweep[0.01, 3] is the run with these values, in the order of the keys.
    """

    out: Path
    runs: tuple[Run, ...]
    interrupted: bool = False

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, values: Any) -> Run:
        """Return the run of one combination; raises KeyError where there is none."""
        wanted = values if isinstance(values, tuple) else (values,)
        for run in self.runs:
            if tuple(run.values.values()) == wanted:
                return run
        raise KeyError(f"no run has the values {wanted} of {', '.join(self.runs[0].values)}")

    @property
    def finished(self) -> list[Run]:
        """The runs that have all their steps."""
        return [run for run in self.runs if run.state == "finished"]

    @property
    def failed(self) -> list[Run]:
        """The runs that ended with an error; `error` says which."""
        return [run for run in self.runs if run.state == "failed"]

    @property
    def folders(self) -> list[Path]:
        """The folders that hold a trajectory: what `trajectories.open_many` takes."""
        return [folder for folder in dict.fromkeys(r.folder for r in self.runs) if (folder / "trajectory.h5").exists()]


@dataclass
class Record:
    """sweep.json: `base`, the values of the file that are not swept over, and every run that was ever asked for."""

    out: Path
    keys: list[str]
    base: dict[str, Any]
    runs: dict[str, Run] = field(default_factory=dict)

    def assign(self, units: Iterable[Unit]) -> None:
        """Note which runs are parts of one simulation; those for which that is new have no steps behind them."""
        for unit in units:
            each = unit.members[0].runfile.system.replicas
            for place, member in enumerate(unit.members):
                run, pack = self.runs[member.name], unit.name if len(unit.members) > 1 else ""
                if run.pack != pack:
                    run.pack, run.steps, run.tries = pack, 0, 0
                    run.replicas = (place * each, (place + 1) * each) if pack else None

    def save(self) -> None:
        """Write it by a temporary name, so that a kill at any moment leaves one whole."""
        runs = {}
        for name, run in self.runs.items():
            runs[name] = dataclasses.asdict(run)
            del runs[name]["out"], runs[name]["name"]
        text = json.dumps(
            {"format": _FORMAT, "over": self.keys, "base": self.base, "runs": runs}, indent=1, default=str
        )
        temporary = self.out / "sweep.tmp"
        temporary.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, self.out / FILE_NAME)


def load(out: Path, keys: Sequence[str], base: Mapping[str, Any]) -> Record:
    """Return the record in a folder, or a new one where there is none.

    Raises ConfigError where it is of another sweep, naming what differs, and where it cannot be read.
    """
    record = Record(out, list(keys), json.loads(json.dumps(base, default=str)))
    if not (out / FILE_NAME).exists():
        return record
    before = found(out)
    _refuse_other(out / FILE_NAME, (before.keys, before.base), (record.keys, record.base))
    record.runs = before.runs
    return record


def found(out: Path) -> Record:
    """Return the record in a folder; raises ConfigError where there is none, or none that can be read."""
    path = out / FILE_NAME
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
        if tables["format"] != _FORMAT or not tables["runs"]:
            raise ValueError(f"format {tables['format']}, {len(tables['runs'])} runs")
        runs = {name: Run(out, name, **run) for name, run in tables["runs"].items()}
        return Record(out, tables["over"], tables["base"], runs)
    except OSError as error:
        raise ConfigError(f"{out} holds no sweep: {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"{path} is not the record of a sweep ({error}); choose another folder (--out)") from error


def _refuse_other(path: Path, before: tuple[list[str], dict[str, Any]], now: tuple[list[str], dict[str, Any]]) -> None:
    lines = []
    if before[0] != now[0]:
        ordered = ", in this order" if sorted(before[0]) == sorted(now[0]) else ""
        lines.append(f"  it sweeps over {', '.join(before[0])}{ordered}, now {', '.join(now[0])}")
    for key in sorted({*before[1], *now[1]} - {*before[0], *now[0]}):
        if before[1].get(key) != now[1].get(key):
            lines.append(f"  {key}: {before[1].get(key, 'not given')} there, now {now[1].get(key, 'not given')}")
    if lines:
        raise ConfigError(
            f"{path} is the record of another sweep:\n" + "\n".join(lines)
            + "\nMore values of the same keys can be added; for all else choose another folder (--out)"
        )  # fmt: skip
