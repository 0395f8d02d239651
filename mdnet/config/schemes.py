"""Splitting schemes as a run file names them: BAOAB, outer(VERLET), or any word of A, B and O."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer
from pydantic_core import PydanticCustomError

from integrators import SCHEMES, Scheme, middle, outer, scheme
from mdnet.spelling import unknown

_AROUND = {"outer": outer, "middle": middle}


def spell(word: str) -> Scheme:
    """Return the scheme that a word means: a name, a word of A, B and O, or outer(...) or middle(...) of those.

    Raises ValueError for anything else, naming the nearest known.
    """
    around = re.fullmatch(r"(\w+)\((\w+)\)", word)
    if around and around[1] in _AROUND:
        return _AROUND[around[1]](spell(around[2]))
    if word in SCHEMES:
        return SCHEMES[word]
    if word and set(word) <= set("ABO"):
        return scheme(word)
    known = [*SCHEMES, *(f"outer({name})" for name in ("VERLET", "OMELYAN", "YOSHIDA4"))]
    raise ValueError(f"{unknown('scheme', word, known)}, or any palindrome of A, B and O")


def _read(word: object) -> Scheme:
    if not isinstance(word, str):
        raise PydanticCustomError("kind", "must be {what}", {"what": "the name of a scheme, or a word of A, B and O"})
    return spell(word)


SchemeWord = Annotated[Any, BeforeValidator(_read), PlainSerializer(str)]
"""The scheme that a word means; written back as the word."""
