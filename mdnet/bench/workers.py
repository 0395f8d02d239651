"""A peer's process from the side of the benchmark: start it on as many cores as we have, ask, read the answer."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any


class PeerError(RuntimeError):
    """A peer is missing, or failed; the text is its own."""


class Worker:
    """The process of one peer: `python` is the interpreter of an environment that has it.

    It keeps to the cores of this process, and so do the threads of its libraries.
    """

    def __init__(self, python: str, name: str, threads: int) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                [python, "-m", "peers", name], env=_environment(threads), text=True, bufsize=1,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            )  # fmt: skip
        except OSError as error:
            self._errors.close()
            raise PeerError(f"{python} cannot be started: {error.strerror}") from error

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        """Send a request and return the answer; raises PeerError where the peer tells an error or is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do} | values) + "\n")
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise PeerError(f"ended with status {self._process.wait()}: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _last_words(self) -> str:
        self._errors.seek(0)
        return " ".join(self._errors.read().split())[-300:]


def _environment(threads: int) -> dict[str, str]:
    several = "true" if threads > 1 else "false"
    flags = f"--xla_cpu_multi_thread_eigen={several} intra_op_parallelism_threads={threads}"
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    return os.environ | counts | {
        "PYTHONPATH": str(Path(__file__).parent), "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "NPROC": str(threads),
    }  # fmt: skip
