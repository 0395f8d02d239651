"""One way to compile a method into a graph: each with a cache of its own, and eager where it cannot be."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

import torch

# on a CPU the compiler's own random numbers cost ten times those of torch
_OPTIONS: dict[str, Any] = {"fallback_random": True}


class Compiled:
    """A bound method as one compiled graph, compiled at its first call.

    Where compilation fails (no C++ compiler) it warns once, naming `what`, and runs the method as it is.
    """

    def __init__(self, method: Callable[..., Any], what: str, *, fullgraph: bool = True) -> None:
        self.method, self.what, self.fullgraph = method, what, fullgraph
        self._graph = torch.compile(_own_code(method), fullgraph=fullgraph, dynamic=False, options=_OPTIONS)
        self._run: Callable[..., Any] = self._first

    def __call__(self, *arguments: Any) -> Any:
        """Return what the method returns."""
        with torch.no_grad():  # one grad mode, one compiled graph
            return self._run(*arguments)

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled:
        """A copy belongs to the copy of the method's owner, and compiles anew."""
        return Compiled(copy.deepcopy(self.method, memo), self.what, fullgraph=self.fullgraph)

    def _first(self, *arguments: Any) -> Any:
        self._run = self._graph
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # the compiler's own, of no use to the caller
                return self._run(*arguments)
        except Exception as error:
            self._run = self.method
            reason = " ".join(line.strip() for line in str(error).splitlines()[:2]) or type(error).__name__
            warnings.warn(f"{self.what} could not be compiled and runs uncompiled: {reason}", stacklevel=4)
            return self._run(*arguments)


def _own_code(method: Callable[..., Any]) -> Callable[..., Any]:
    """Copy a bound method with a code object of its own: the compiler allows each code object few graphs."""
    function = method.__func__  # type: ignore[attr-defined]
    copy = FunctionType(
        function.__code__.replace(),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    return MethodType(copy, method.__self__)  # type: ignore[attr-defined]
