"""Splitting schemes as data: tuples of (letter, fraction of the step), A = drift, B = kick, O = heat bath."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

Letter = Literal["A", "B", "O"]
_MEANING = "A (drift), B (kick), O (heat bath)"


@dataclass(frozen=True)
class Scheme:
    """A palindromic product of exponentials, exp(c_1 dt L_1) exp(c_2 dt L_2) ..., applied from left to right.

    `steps` holds (letter, fraction); the fractions of each letter add up to one. `order` is the order of the
    energy error in dt of the scheme without its bath.
    """

    name: str
    steps: tuple[tuple[str, float], ...]
    order: int = 2
    reference: str = ""

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

    Raises ValueError where the scheme has a bath already.
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


def compose(inner: Scheme, weights: Sequence[float], *, name: str = "", order: int = 2, reference: str = "") -> Scheme:
    """Run a scheme several times per step with time fractions `weights` (Suzuki-Yoshida), neighbours merged.

    Raises ValueError where the weights do not add up to one or are not symmetric.
    """
    _check_sum("weights", weights)
    steps = [(letter, w * c) for w in weights for letter, c in inner.steps]
    merged = tuple((k, sum(c for _, c in same)) for k, same in groupby(steps, key=lambda step: step[0]))
    return Scheme(name or f"compose({inner.name})", merged, order, reference)


VERLET = scheme("BAB", name="VERLET", reference="Swope, Andersen, Berens, Wilson, J. Chem. Phys. 76, 637 (1982)")

_XI = 0.1931833275037836
OMELYAN = scheme(
    "BABAB", B=(_XI, 1 - 2 * _XI, _XI), name="OMELYAN",
    reference="McLachlan, SIAM J. Sci. Comput. 16, 151 (1995); Omelyan, Mryglod, Folk, Phys. Rev. E 65, 056706 (2002)",
)  # fmt: skip

_W = 1 / (2 - 2 ** (1 / 3))
YOSHIDA4 = compose(
    VERLET, (_W, 1 - 2 * _W, _W), name="YOSHIDA4", order=4,
    reference="Yoshida, Phys. Lett. A 150, 262 (1990); Forest, Ruth, Physica D 43, 105 (1990)",
)  # fmt: skip

BAOAB = scheme("BAOAB", reference="Leimkuhler, Matthews, Appl. Math. Res. Express 2013, 34")
OBABO = scheme("OBABO", reference="Bussi, Parrinello, Phys. Rev. E 75, 056707 (2007)")
