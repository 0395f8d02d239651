"""C++ to a shared library: compiled once for this processor, then kept in the user's cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path

FLAGS = (
    "-std=c++20", "-O3", "-march=native", "-mprefer-vector-width=512", "-fopenmp-simd", "-ffp-contract=fast",
    "-fno-math-errno", "-fno-trapping-math", "-fno-semantic-interposition", "-shared", "-fPIC", "-pthread",
    "-fno-builtin-sinf", "-fno-builtin-cosf", "-fno-builtin-sin", "-fno-builtin-cos",  # joined they have no vector form
)  # fmt: skip
HEADERS = ("lanes.h", "dense.h", "norms.h", "loops.h", "walkers.h")


class NotCompiled(RuntimeError):
    """There is no compiler, or it refused the source."""


def compiler() -> str | None:
    """Return the path of the C++ compiler, $CXX or g++; None where there is none."""
    return shutil.which(os.environ.get("CXX", "g++"))


def cache_folder() -> Path:
    """Return where libraries are kept: $MDNET_CACHE, else mdnet in the user's cache."""
    if given := os.environ.get("MDNET_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mdnet"


def library(source: str) -> ctypes.CDLL:
    """Return the library of a source, compiled unless it was before.

    Raises NotCompiled where there is no compiler or it fails, with its words.
    """
    return _loaded(source)


@cache
def _loaded(source: str) -> ctypes.CDLL:
    text = "\n".join((source, *_headers(), *FLAGS, _processor()))
    name = f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.so"
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / name).exists():
            _compile(source, folder / name)
        return ctypes.CDLL(str(folder / name))
    except OSError as error:
        raise NotCompiled(f"no library could be kept in {cache_folder()} ({error}); set MDNET_CACHE") from error


def _compile(source: str, target: Path) -> None:
    """Compile beside the target and rename, so that two processes do not disturb each other."""
    program = compiler()
    if program is None:
        raise NotCompiled("there is no C++ compiler; install g++ or set CXX")
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        code, made = Path(scratch) / "mdnet.cpp", Path(scratch) / "mdnet.so"
        code.write_text(source)
        done = subprocess.run(
            [program, *FLAGS, f"-I{_folder()}", str(code), "-o", str(made), *_libraries()],
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise NotCompiled(f"{program} refused: {done.stderr.strip()[:600]}")
        os.replace(made, target)


def _libraries() -> tuple[str, ...]:
    """The C library's vector functions, where it has them."""
    glibc = platform.libc_ver()[0] == "glibc" and platform.machine() == "x86_64"
    return ("-lmvec", "-lm") if glibc else ("-lm",)


@cache
def _folder() -> Path:
    return Path(str(files("mdnet.routes.native")))


@cache
def _headers() -> tuple[str, ...]:
    return tuple((_folder() / name).read_text() for name in HEADERS)


@cache
def _processor() -> str:
    """What tells this processor's instructions from another's, for a cache that several machines share."""
    flags = Path("/proc/cpuinfo")
    if flags.exists():
        return next((line for line in flags.read_text().splitlines() if line.startswith("flags")), "")
    return f"{platform.machine()} {platform.processor()}"
