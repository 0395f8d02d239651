"""What an error says about a name that nobody knows: the nearest known one, and all that are allowed."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return "unknown WHAT 'nmae'; did you mean 'name'? Known: ...", the guess only where one is near."""
    names = sorted(known)
    folded = {each.casefold(): each for each in names}
    near = get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    guess = f" did you mean {folded[near[0]]!r}?" if near else ""
    return f"unknown {what} {name!r};{guess} {'K' if guess else 'k'}nown: {', '.join(names) or 'none'}"
