"""All laws by name, and their verdicts on one pair of scheme and thermostat on one system."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mdnet.spelling import unknown
from mdnet.validation import equilibrium, mechanics
from mdnet.validation.law import Law, decide, skipped
from mdnet.validation.trial import Trial

MECHANICS: dict[str, Callable[[Trial], Iterator[Law]]] = {
    "force": mechanics.force,
    "order": mechanics.order,
    "reversal": mechanics.reversal,
    "conserved": mechanics.conserved,
    "bath-energy": mechanics.bath_energy,
    "composition": mechanics.composition,
}
EQUILIBRIUM: dict[str, Callable[[Trial], Iterator[Law]]] = {
    "kinetic": equilibrium.kinetic,
    "equipartition": equilibrium.equipartition,
    "configurational": equilibrium.configurational,
    "positions": equilibrium.positions,
    "potential": equilibrium.potential,
    "two-temperatures": equilibrium.two_temperatures,
}
LAWS = MECHANICS | EQUILIBRIUM

_NOT_CANONICAL = "this thermostat is not canonical, and says so: use it to equilibrate, never to sample"
_NOT_ERGODIC = (
    "a deterministic bath is canonical only where the motion is ergodic: take more links, "
    'group="massive", or a Langevin bath'
)
_NOT_SHARED = "a bath that acts on all momenta alike leaves it to the motion to share the energy among the modes"
_TIME_STEP = "a scheme has an error of its own that falls with dt^2: if half the dt passes, it was that"
_NOT_YET = "the run may be too short for this system to be in equilibrium: give more --burn"


@dataclass(frozen=True)
class Verdicts:
    """What the laws said of one pair on one system."""

    pair: str
    subject: str
    temperature: float
    dt: float
    replicas: int
    laws: tuple[Law, ...]

    @property
    def failed(self) -> list[Law]:
        """The laws that do not hold."""
        return [law for law in self.laws if law.verdict == "fail"]


def known(names: Iterable[str]) -> list[str]:
    """Return the names of laws, all of them where none is given; raises ValueError for one that is unknown."""
    wanted = [name.strip() for name in names if name.strip()] or list(LAWS)
    for name in wanted:
        if name not in LAWS:
            raise ValueError(unknown("law", name, LAWS))
    return wanted


def validate(trial: Trial, names: Sequence[str] = ()) -> Verdicts:
    """Test one pair on one system; `names` of laws, by default all that apply.

    Raises ValueError for an unknown law.
    """
    laws = [law for name in known(names) for law in _tested(trial, name)]
    subject = trial.subject
    return Verdicts(trial.pair.name, subject.name, trial.temperature, trial.dt, trial.replicas, tuple(laws))


def _tested(trial: Trial, name: str) -> Iterator[Law]:
    if name in MECHANICS:
        yield from MECHANICS[name](trial)
    elif not trial.heated:
        yield skipped(name, "no thermostat with a temperature acts, so the energy is constant")
    elif not trial.sample.finite:
        yield decide(name, False, float("nan"), float("nan"), "finite").noted("the run diverged; take a shorter dt")
    else:
        yield from (_explained(trial, law) for law in EQUILIBRIUM[name](trial))


def _explained(trial: Trial, law: Law) -> Law:
    """Say what a failure in equilibrium may come from."""
    if not trial.canonical:
        return law.noted(_NOT_CANONICAL)
    law = law.noted(_NOT_ERGODIC if trial.deterministic else "")
    if law.name == "equipartition":
        law = law.noted(_NOT_SHARED)
    elif not law.name.startswith("kinetic"):
        law = law.noted(_TIME_STEP)
    return law.noted(_NOT_YET if trial.subject.exact is None else "")
