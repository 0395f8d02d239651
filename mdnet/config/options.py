"""What a run file may say about a thing with a name: the options of the class or function that makes it.

A thermostat, a schedule, a prior or a network is not described a second time here. The keys, types and
defaults of its table come from the signature of what makes it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, create_model
from pydantic_core import CoreSchema, core_schema
from torch import Tensor

from integrators import Scheme
from mdnet.config.schemes import SchemeWord
from mdnet.config.values import PER_REPLICA, Ladder, Numbers, Radius, SpreadByLayer, tensor
from mdnet.priors import Spread
from mdnet.schedules import Value

_IN_A_FILE: dict[Any, Any] = {
    Value: Numbers,
    Spread: SpreadByLayer,
    Value | Literal["start"] | None: Radius,
    Scheme: SchemeWord,
    Sequence[float] | Tensor: Ladder,
    Sequence[float] | Tensor | None: list[float] | None,
    Sequence[Value]: list[float],
    Sequence[int]: list[int],
}
"""The types of a file for the types of arguments that TOML does not have."""


def default(function: Callable[..., Any], name: str) -> Any:
    """Return the default that a function or class gives an argument, so that it stands in one place."""
    return inspect.signature(function).parameters[name].default


class Section(BaseModel):
    """A table of the run file: unknown keys are errors, and a value is not bent to another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def lists(self) -> Iterator[tuple[str, list[float]]]:
        """Yield the keys of this table, with their values, that are lists with one number a replica."""
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if PER_REPLICA in info.metadata and isinstance(value, list):
                yield name, value


class Options(Section):
    """The table of a thing with a name: its word, and the options of what makes it."""

    maker: ClassVar[Callable[..., Any]]
    key: ClassVar[str]

    def make(self, known: Mapping[str, Any] | None = None) -> Any:
        """Make the thing from its options and from the arguments that are `known` from elsewhere.

        Raises ValueError where it refuses a value.
        """
        given = {name: getattr(self, name) for name in type(self).model_fields if name != self.key}
        lists = {name: tensor(value) for name, value in self.lists()}
        arguments = {name: value for name, value in (given | lists).items() if value is not None}
        return type(self).maker(**(arguments | dict(known or {})))


@dataclass(frozen=True, eq=False)
class Choice:
    """A table that picks one of `makers` by the word under `key`: Annotated[Options, Choice(...)].

    `leave`: arguments that a file does not give. `defaults`: those that are different in a file. `word`: the one
    that is meant where the table names none.
    """

    key: str
    makers: Mapping[str, Callable[..., Any]]
    leave: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    word: str | None = None

    def model(self, word: str) -> type[Options]:
        """Return the section for one word, its fields read off the signature of what it makes."""
        maker = self.makers[word]
        hints = get_type_hints(maker.__init__ if inspect.isclass(maker) else maker)
        fields: dict[str, Any] = {self.key: (Literal[word], ...)}
        for name, parameter in inspect.signature(maker).parameters.items():
            if name in self.leave:
                continue
            default = self.defaults.get(name, parameter.default)
            default = list(default) if isinstance(default, tuple) else default
            fields[name] = (_IN_A_FILE.get(hints[name], hints[name]), ... if default is parameter.empty else default)
        made = create_model(word, __base__=Options, **fields)
        made.maker, made.key = maker, self.key
        return made

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Describe the table to pydantic: one section for each word, or none at all."""
        schemas = {word: handler.generate_schema(self.model(word)) for word in self.makers}
        union: CoreSchema = core_schema.tagged_union_schema(schemas, discriminator=self.key)
        if self.word is not None:
            union = core_schema.no_info_before_validator_function(self._named, union)
        return core_schema.nullable_schema(union)

    def _named(self, table: Any) -> Any:
        return {self.key: self.word} | table if isinstance(table, dict) else table
