"""A process that has imported everything and forks a command line at a time, to be killed at any moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ZYGOTE = """
import errno, json, os, resource, signal, sys, time
import torch
from mdnet.cli import app
import numpy.lib.npyio, sklearn.model_selection, torch._dynamo, trajectories.storage.sink
from torch.func import grad, vmap
torch.set_num_threads(1)
vmap(grad(lambda x: torch.tanh(x).sum()))(torch.zeros(2, 3))  # what is imported only when it is used

def counted(name, at):
    before, calls = getattr(os, name), iter(range(10**9))
    def call(*words, **named):
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return before(*words, **named)
    setattr(os, name, call)

def full_at(suffix):
    before = os.replace
    def replace(source, target):
        if str(target).endswith(suffix):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        return before(source, target)
    os.replace = replace

def one(words, log, call, at, full, limit, uid):
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(out, 1), os.dup2(out, 2)
    code = 70
    try:
        if call:
            counted(call, at)
        if full:
            full_at(full)
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        if uid:
            os.setgid(uid), os.setuid(uid)
        app(words, standalone_mode=True)
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)

for line in sys.stdin:
    asked = json.loads(line)
    seconds = asked.pop("kill_after")
    child = os.fork()
    if not child:
        one(**asked)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
os._exit(0)
"""


class Zygote:
    """Runs `mdnet` commands in forks of a warm process; a context manager."""

    def __enter__(self) -> Zygote:
        root = str(Path(__file__).parents[1])
        self._process = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1", "COLUMNS": "1000"},
        )  # fmt: skip
        return self

    def __exit__(self, *error) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def run(
        self, log: Path, *words, kill_after: float | None = None, call: str = "", at: int = 0, full: str = "",
        limit: int = 0, uid: int = 0,
    ) -> tuple[int, str]:  # fmt: skip
        """Run one command to its end, kill it after so many seconds, or before its call number `at` of os.`call`.

        `full`: the disk is full when a file whose name ends so is to get its name. `limit`: bytes that a file may
        have. `uid`: whose permissions it has. Returns its exit status, -9 for a killed one, and what it said.
        """
        asked = {"words": [*map(str, words)], "log": str(log), "kill_after": kill_after, "call": call, "at": at}
        asked |= {"full": full, "limit": limit, "uid": uid}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        return status, log.read_text() if log.exists() else ""
