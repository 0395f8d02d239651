"""Thermostats as the command line spells them: a word with values, or a class in a file or a module."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from integrators import Thermostat
from mdnet.config.choices import THERMOSTATS
from mdnet.spelling import unknown

_FORM = re.compile(r"\s*(?:(?P<place>[^()]+):)?(?P<name>\w[\w-]*)\s*(?P<call>\(.*\))?\s*", re.DOTALL)
_IN_TIMES: dict[str, Callable[[float], float]] = {  # well-known parameters in a system's typical time
    "tau": lambda time: time / 2,
    "friction": lambda time: 1 / time,
    "rate": lambda time: 1 / time,
}


@dataclass(frozen=True)
class Spec:
    """A thermostat that is spelt but not yet made: its class, and the values that were given."""

    text: str
    maker: Callable[..., Any]
    options: Mapping[str, Any]

    def make(self, temperature: Any, *, sizes: Sequence[int] = (), time: float = 1.0) -> Thermostat:
        """Return the thermostat at a temperature; values given in the spec go first.

        `sizes` of the parameter tensors go to group="layer". Parameters called tau, friction or rate that have
        no default are time/2, 1/time and 1/time. Raises ValueError naming the parameters that are missing.
        """
        parameters = inspect.signature(self.maker).parameters
        known: dict[str, Any] = {"temperature": temperature} if "temperature" in parameters else {}
        required = [name for name, each in parameters.items() if each.default is each.empty]
        known |= {name: value(time) for name, value in _IN_TIMES.items() if name in required}
        if "sizes" in required or ("sizes" in parameters and self.options.get("group") == "layer"):
            known["sizes"] = tuple(sizes)
        given = known | dict(self.options)
        if missing := [name for name in required if name not in given]:
            shown = ", ".join(f"{name}=VALUE" for name in missing)
            raise ValueError(f"thermostat {self.text!r} needs {', '.join(missing)}; write {self.label}({shown})")
        made = self.maker(**given)
        if not (callable(made) and callable(getattr(made, "bath", None))):
            raise ValueError(
                f"thermostat {self.text!r} is not one: it needs the methods bath(p) and __call__(p, m, bath, dt)"
            )
        thermostat: Thermostat = made
        return thermostat

    @property
    def label(self) -> str:
        """The spec without its values."""
        return self.text.partition("(")[0].strip()


def thermostat(
    spec: str, *, temperature: Any, sizes: Sequence[int] = (), time: float = 1.0, folder: Path | None = None
) -> Thermostat:
    """Return the thermostat that a spec means, see `read` and Spec.make; raises ValueError."""
    return read(spec, folder).make(temperature, sizes=sizes, time=time)


def read(text: str, folder: Path | None = None) -> Spec:
    """Read NAME, NAME(key=value, ...), path/to/file.py:CLASS(...) or package.module:CLASS(...).

    NAME is a word of a run file's [thermostat], or the class's own name; values are literals. A relative path
    starts at `folder`, by default the current one. Raises ValueError for what cannot be read, naming the
    nearest that is known.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise ValueError(
            f"thermostat {text!r} cannot be read; write NAME, NAME(key=value), file.py:CLASS or package.module:CLASS"
        )
    maker = _known(form["name"]) if form["place"] is None else _found(form["place"].strip(), form["name"], folder)
    return Spec(text.strip(), maker, _values(text, maker, form["call"]))


def _known(name: str) -> Callable[..., Any]:
    words: Mapping[str, Any] = THERMOSTATS
    makers: dict[str, Callable[..., Any]] = {maker.__name__: maker for maker in words.values()} | dict(words)
    if name not in makers:
        raise ValueError(f"{unknown('thermostat', name, THERMOSTATS)}; or file.py:CLASS, package.module:CLASS")
    return makers[name]


def _found(place: str, name: str, folder: Path | None) -> Callable[..., Any]:
    module = _from_file((folder or Path()) / place) if place.endswith(".py") else _from_path(place)
    classes = [
        key for key, each in vars(module).items() if inspect.isclass(each) and each.__module__ == module.__name__
    ]
    maker = getattr(module, name, None)
    if not callable(maker):
        raise ValueError(f"{place}: {unknown('class', name, classes)}")
    return maker  # type: ignore[no-any-return]


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ValueError(f"there is no file {path} to take a thermostat from")
    name = f"mdnet_own_{path.stem}_{abs(hash(path.resolve()))}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ValueError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _from_path(place: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except ImportError as error:
        raise ValueError(f"module {place!r} cannot be imported: {error}; a file is written with its .py") from error


def _values(text: str, maker: Callable[..., Any], call: str | None) -> dict[str, Any]:
    """The keyword values of a call, all literals."""
    if call is None:
        return {}
    try:
        node = ast.parse(f"f{call}", mode="eval").body
        if not isinstance(node, ast.Call) or node.args:
            raise ValueError("values are given by name")
        values = {str(each.arg): ast.literal_eval(each.value) for each in node.keywords}
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f"thermostat {text!r} cannot be read; values are literals given by name, as in langevin(friction=2.0)"
        ) from error
    allowed = inspect.signature(maker).parameters
    for name in values:
        if name not in allowed:
            raise ValueError(f"thermostat {text!r}: {unknown('parameter', name, allowed)}")
    return values
