"""Command lines of mdnet, one after the other in the processes of one torchrun job, as a launch takes seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def start(ranks: int, *program: object) -> subprocess.Popen[str]:
    """Start a job of so many ranks: the options and words of torchrun's `program`."""
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", ranks, *program]
    known = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "1000", "MDNET_ROUTE": "eager"}
    return subprocess.Popen(
        [sys.executable, *map(str, words)], cwd=ROOT, env=os.environ | known,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def launch(ranks: int, *commands: list[object]) -> str:
    """Run command lines on so many ranks to their ends, and return what they said; all have to succeed."""
    told = json.dumps([[str(word) for word in command] for command in commands])
    job = start(ranks, Path(__file__), told)
    said = job.communicate(timeout=300)[0]
    assert job.returncode == 0, said
    return said


if __name__ == "__main__":
    import torch.distributed as dist

    from mdnet.cli import app

    dist.init_process_group("gloo")
    for command in json.loads(sys.argv[1]):
        app(command, standalone_mode=False)
    dist.destroy_process_group()
