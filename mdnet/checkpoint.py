"""Exact resume: the whole state of a run in one file, written so that a kill at any moment leaves one whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trajectories import WriteFailed
from trajectories.storage.disk import sync_folder

State = dict[str, Any]


class ResumeError(RuntimeError):
    """A run cannot be continued: there is no checkpoint, or it belongs to another run."""


def save(folder: Path, state: State, *, keep: int = 2) -> Path:
    """Write `state` as folder/checkpoint-STEP.pt: temporary name, fsync, rename; the last `keep` stay.

    Raises WriteFailed where it cannot be written; the checkpoints before it stay.
    """
    path = folder / f"checkpoint-{state['step']:012d}.pt"
    temporary = folder / "checkpoint.tmp"
    try:
        with open(temporary, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(folder)
    except (OSError, RuntimeError) as error:
        _remove(temporary)
        before = found(folder)
        raise WriteFailed(
            f"the checkpoint {path} cannot be written: {_reason(error)}. The trajectory is on disk and readable; free "
            "some space (or raise the quota), check the permissions, and then "
            + (f"resume: {before[-1].name} is whole" if before else "start anew (--force)")
        ) from error
    for old in found(folder)[:-keep]:
        old.unlink()
    return path


def load(folder: Path) -> State:
    """Return the state of the last readable checkpoint in a folder.

    Raises ResumeError where there is none.
    """
    for path in reversed(found(folder)):
        try:
            state: State = torch.load(path, map_location="cpu", weights_only=True)
        except Exception:  # torn by a crash of the machine: the one before is whole
            continue
        return state
    raise ResumeError(
        f"{folder} holds no readable checkpoint (checkpoint-*.pt): no run was begun there, or it ended before its "
        "first one; start anew with overwrite (--force)"
    )


def found(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, oldest first."""
    return sorted(folder.glob("checkpoint-*.pt"))


def compare(saved: Mapping[str, str], current: Mapping[str, str]) -> None:
    """Raise ResumeError naming what differs between the run that was saved and the one to go on with."""
    differing = [name for name in {**saved, **current} if saved.get(name) != current.get(name)]
    if differing:
        lines = [f"  {name}: saved {saved.get(name)}, now {current.get(name)}" for name in differing]
        raise ResumeError(
            "this is not the run that was saved; it differs in\n" + "\n".join(lines)
            + "\nRestore these, or start a new run in another folder"
        )  # fmt: skip


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _reason(error: BaseException) -> str:
    """Give the operating system's words, which torch may have wrapped in its own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error)
