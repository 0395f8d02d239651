"""Splitting schemes as data: tuples of (letter, fraction of the step), A = drift, B = kick, O = heat bath."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

Letter = Literal["A", "B", "O"]
Steps = tuple[tuple[str, float], ...]
"""Operators and their fractions of the step, applied from left to right."""
_MEANING = "A (drift), B (kick), O (heat bath)"


@dataclass(frozen=True)
class Scheme:
    """A palindromic product of exponentials, exp(c_1 dt L_1) exp(c_2 dt L_2) ..., applied from left to right.

    `steps` holds (letter, fraction); the fractions of each letter add up to one. `order` is the order of the
    energy error in dt of the scheme without its bath. `lead`: the part of a step by which the momenta are
    ahead of the positions, 1/2 in LEAPFROG and zero else.
    """

    name: str
    steps: Steps
    order: int = 2
    reference: str = ""
    lead: float = 0.0

    @property
    def word(self) -> str:
        """The letters in order, such as "BAOAB"."""
        return "".join(letter for letter, _ in self.steps)

    @property
    def has_bath(self) -> bool:
        """Whether the heat bath acts in this scheme."""
        return "O" in self.word

    @property
    def closing_kick(self) -> float:
        """The fraction of the last kick: p - closing_kick dt f is the momentum at the half step."""
        return next((c for letter, c in reversed(self.steps) if letter == "B"), 0.0)

    @property
    def ends_with_kick(self) -> bool:
        """Whether the force of a step's last kick is the force at its end point."""
        return self.word.rstrip("O").endswith("B")

    @property
    def between_forces(self) -> list[Steps]:
        """The operators in groups, with an evaluation of the force between two groups."""
        groups: list[list[tuple[str, float]]] = [[]]
        moved = False
        for letter, fraction in self.steps:
            if letter == "B" and moved:
                groups.append([])
            moved = letter == "A" or (moved and letter == "O")
            groups[-1].append((letter, fraction))
        return [tuple(group) for group in groups]

    @property
    def forces(self) -> int:
        """Evaluations of the force in a step."""
        return len(self.between_forces) - 1

    def turn(self, phase: float) -> tuple[float, float, float, float]:
        """The matrix ((a, b), (c, d)) of a step without bath for q'' = -q and dt = phase, as (a, b, c, d)."""
        a, b, c, d = 1.0, 0.0, 0.0, 1.0
        for letter, fraction in self.steps:
            if letter == "A":
                a, b = a + fraction * phase * c, b + fraction * phase * d
            elif letter == "B":
                c, d = c - fraction * phase * a, d - fraction * phase * b
        return a, b, c, d

    @property
    def stability(self) -> float:
        """The largest w dt at which a mode of frequency w stays bounded: 2 for VERLET."""
        steps = range(1, 20_000)
        return next((k - 1 for k in steps if abs(sum(self.turn(k / 1000)[::3])) > 2 + 1e-9), steps[-1]) / 1000

    def __str__(self) -> str:
        return self.name


def scheme(
    word: str, *, A: Sequence[float] = (), B: Sequence[float] = (), O: Sequence[float] = (),  # noqa: E741
    name: str = "", order: int = 2, reference: str = "",
) -> Scheme:  # fmt: skip
    """Spell a splitting scheme: `scheme("BAOAB")` shares each letter's time equally among its occurrences.

    Fractions that are not equal are given by letter: `scheme("BABAB", B=(x, 1 - 2 * x, x))`.

    Raises ValueError for an unknown letter, a word that is not a palindrome, a word without A or B, and
    fractions that do not match the word, do not add up to one or are not symmetric.
    """
    unknown = sorted(set(word) - set("ABO"))
    if unknown:
        raise ValueError(f"scheme word {word!r} has the unknown letter {unknown[0]!r}; allowed are {_MEANING}")
    if not {"A", "B"} <= set(word):
        raise ValueError(f"scheme word {word!r} needs both A (drift) and B (kick), as in 'BAB' or 'BAOAB'")
    if word != word[::-1]:
        raise ValueError(
            f"scheme word {word!r} is not a palindrome, so it is neither time-reversible nor second order; "
            f"try {word + word[-2::-1]!r}"
        )
    fractions = {letter: iter(_fractions(word, letter, c)) for letter, c in zip("ABO", (A, B, O), strict=True)}
    steps = tuple((letter, next(fractions[letter])) for letter in word)
    return Scheme(name or word, steps, order, reference)


def _fractions(word: str, letter: str, given: Sequence[float]) -> Sequence[float]:
    count = word.count(letter)
    if not given:
        return (1.0 / count,) * count if count else ()
    if len(given) != count:
        raise ValueError(f"{letter}={tuple(given)} has {len(given)} fractions, but {word!r} has {count} {letter}")
    _check_sum(letter, given)
    return given


def _check_sum(name: str, given: Sequence[float]) -> None:
    if abs(sum(given) - 1.0) > 1e-12:
        raise ValueError(f"{name}={tuple(given)} adds up to {sum(given)}; the fractions must add up to 1")
    if any(abs(x - y) > 1e-12 for x, y in zip(given, reversed(given), strict=True)):
        raise ValueError(f"{name}={tuple(given)} is not symmetric, so the scheme is not time-reversible")


def outer(inner: Scheme) -> Scheme:
    """Put half of the bath on each side of a scheme: outer(VERLET) is OBABO. Keeps the scheme's order.

    Raises ValueError where the scheme has a bath already, or momenta ahead of its positions.
    """
    _refuse_bath(inner)
    return replace(inner, name=f"outer({inner.name})", steps=(("O", 0.5), *inner.steps, ("O", 0.5)))


def middle(inner: Scheme) -> Scheme:
    """Put the bath into the central drift: middle(VERLET) is BAOAB. The whole is of second order.

    It pays for Verlet only: around YOSHIDA4's long central drift its bias is about twice OBABO's at equal dt.

    Raises ValueError where the scheme has a bath already, or no drift in its centre.
    """
    _refuse_bath(inner)
    half = len(inner.steps) // 2
    letter, fraction = inner.steps[half]
    if len(inner.steps) % 2 == 0 or letter != "A":
        raise ValueError(f"scheme {inner.name} has {letter} (kick) in its centre; use outer({inner.name})")
    centre = (("A", fraction / 2), ("O", 1.0), ("A", fraction / 2))
    steps = (*inner.steps[:half], *centre, *inner.steps[half + 1 :])
    return replace(inner, name=f"middle({inner.name})", steps=steps, order=2)


def _refuse_bath(inner: Scheme) -> None:
    if inner.has_bath:
        raise ValueError(f"scheme {inner.name} has a bath (O) already; start from one without, such as VERLET")
    if inner.lead:
        raise ValueError(
            f"scheme {inner.name} has momenta ahead of its positions, where a bath has no place; take VERLET, "
            "which has the same positions"
        )


def compose(inner: Scheme, weights: Sequence[float], *, name: str = "", order: int = 2, reference: str = "") -> Scheme:
    """Run a scheme several times per step with time fractions `weights` (Suzuki-Yoshida), neighbours merged.

    Raises ValueError where the weights do not add up to one or are not symmetric.
    """
    _check_sum("weights", weights)
    steps = [(letter, w * c) for w in weights for letter, c in inner.steps]
    merged = tuple((k, sum(c for _, c in same)) for k, same in groupby(steps, key=lambda step: step[0]))
    return Scheme(name or f"compose({inner.name})", merged, order, reference)
