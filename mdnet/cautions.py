"""What is said before a run starts: no equilibrium to reach, averages that are not thermal, settings that conflict."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from integrators import Integrator
from mdnet.actions import Action
from mdnet.reporters import Reporter
from mdnet.schedules import Schedule
from mdnet.system import ParticleSystem


class UnboundedWarning(UserWarning):
    """There is neither prior nor box, so the weights may drift off instead of reaching an equilibrium."""


class NonCanonicalWarning(UserWarning):
    """Predictions are recorded for an ensemble average from dynamics that does not sample exp(-U/T)."""


def warn(system: ParticleSystem, integrator: Integrator, reporters: Sequence[Reporter]) -> None:
    """Warn of a temperature without prior or box, and of predictions of dynamics that is not canonical."""
    bounded = system.walls is not None or (system.stiffness is not None and bool((system.stiffness > 0).all()))
    if integrator.temperature is not None and not bounded:
        warnings.warn(
            "there is no prior and no box: where the loss has flat directions or an infimum at infinity, no "
            "equilibrium exists and the weights drift; give the system prior=md.GaussianPrior(...) or md.Box(...)",
            UnboundedWarning,
            stacklevel=4,
        )
    if not integrator.canonical and any(getattr(each, "feeds_ensemble", False) for each in reporters):
        why, remedy = "does not sample exp(-U/T)", "Langevin, Bussi or a Nose-Hoover chain"
        if integrator.stochastic:
            why, remedy = "is heated by the noise of its minibatches", "AdaptiveLangevin, which removes that heat"
        warnings.warn(
            f"predictions are recorded for an ensemble average, but {integrator} {why}: its averages are no thermal "
            f"averages; take {remedy}",
            NonCanonicalWarning,
            stacklevel=4,
        )


def refuse_conflicts(schedule: Mapping[str, Schedule], actions: Sequence[Action]) -> None:
    """Raise ValueError where a schedule and an action set the same thing, or two actions do."""
    setters = dict.fromkeys(schedule, "a schedule")
    for action in actions:
        for name in getattr(action, "sets", ()):
            if name in setters:
                raise ValueError(f"{name} is set by {type(action).__name__} and by {setters[name]}; drop one of them")
            setters[name] = type(action).__name__
