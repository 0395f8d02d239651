"""A step of an integrator as graphs: what happens between two evaluations of the force, traced once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx

from integrators import Integrator, Phase
from integrators.dynamics import Part
from mdnet.force import energy_and_force, mirrored
from mdnet.routes.native.expressions import Untraceable
from thermostats import noise

if TYPE_CHECKING:
    from mdnet.system import ParticleSystem

PHASE = ("q", "p", "f", "u", "m", "heat")
Change = Callable[[Phase, Tensor, Tensor, Tensor], None]
"""What changes a phase, given loss (replicas,), its gradient (replicas, dof) and room for positions (replicas, dof)."""


@dataclass(frozen=True)
class Trace:
    """A graph, and what its placeholders and constants stand for by name."""

    graph: fx.Graph
    tensors: dict[str, Tensor]
    held: dict[str, str]  # what the loop over steps holds: loss, slope, image
    shared: frozenset[str]  # what belongs to no single replica: masses, constants, some variables of the bath


def parts_of_step(system: ParticleSystem, integrator: Integrator, parts: Sequence[Part]) -> Iterator[Change | None]:
    """Yield what a step does in turn; None where the gradient is evaluated, at q or at its mirror image."""

    def reflect(phase: Phase, loss: Tensor, slope: Tensor, image: Tensor) -> None:
        image.copy_(mirrored(system, phase.q)[0])

    def fold(phase: Phase, loss: Tensor, slope: Tensor, image: Tensor) -> None:
        sign = system.fold(phase.q)
        assert sign is not None
        integrator.mirror(phase, sign)

    walled = system.walls is not None
    for number, part in enumerate(parts):
        if number:
            yield from (reflect, None) if walled else (None,)
        yield _segment(system, part, forced=number > 0)
    if walled:
        yield fold


def _segment(system: ParticleSystem, part: Part, *, forced: bool) -> Change:
    """A part of a step as a change of the phase by loss and slope, which have just been evaluated if `forced`."""

    def act(phase: Phase, loss: Tensor, slope: Tensor, image: Tensor) -> None:
        found = energy_and_force(system, *mirrored(system, phase.q), loss, slope) if forced else None
        part(phase, found)

    return act


def traced(change: Change, phase: Phase, owners: Sequence[object] = ()) -> Trace:
    """Return the graph of a change of a phase like this one, which stays as it is; so do `owners` of attributes.

    Raises Untraceable where it depends on numbers as Python sees them, or changes an attribute of an owner.
    """
    tensors = {name: getattr(phase, name) for name in PHASE}
    tensors |= {f"bath{k}": variable for k, variable in enumerate(phase.bath)}
    given = {"loss": phase.u.new_zeros(len(phase.u), dtype=torch.float64), "slope": torch.zeros_like(phase.f)}
    given["image"] = torch.zeros_like(phase.q)
    names = [*tensors, *given]

    def function(*values: Tensor) -> tuple[()]:
        by_name = dict(zip(names, values, strict=True))
        bath = tuple(by_name[f"bath{k}"] for k in range(len(phase.bath)))
        moved = Phase(**{name: by_name[name] for name in PHASE}, bath=bath)
        change(moved, by_name["loss"], by_name["slope"], by_name["image"])
        return ()

    shared = {name for name, tensor in tensors.items() if name.startswith("bath") and not _by_replica(tensor, phase)}
    copies = [
        tensor.clone() if name in shared or name == "m" else _several(tensor)
        for name, tensor in (tensors | given).items()
    ]
    try:
        with _left_alone(owners), noise.counted(), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = make_fx(functionalize(function, remove="mutations_and_views"))(*copies)
    except (RuntimeError, NotImplementedError, TypeError) as error:
        raise Untraceable(str(error).splitlines()[0]) from error
    for node in module.graph.nodes:
        if node.op == "call_function" and _mutates(node.target):
            raise Untraceable(f"{node.target} on what is neither the phase nor the bath")
    module.graph.eliminate_dead_code()
    places = dict(zip((n.name for n in module.graph.nodes if n.op == "placeholder"), names, strict=True))
    found = {name: tensors[place] for name, place in places.items() if place in tensors}
    found |= {n.name: getattr(module, str(n.target)) for n in module.graph.nodes if n.op == "get_attr"}
    held = {name: place for name, place in places.items() if place in given}
    by_row = {name for name, place in places.items() if place not in shared and place != "m"}
    return Trace(module.graph, found, held, frozenset(found.keys() - by_row))


def attributes(owners: Sequence[object]) -> Iterator[tuple[object, str, Any]]:
    """Yield owner, name and value of the attributes of these and of the heat baths that they hold."""
    for owner in owners:
        for name, value in vars(owner).items() if hasattr(owner, "__dict__") else ():
            yield owner, name, value
            yield from attributes([x for x in (value if isinstance(value, tuple) else (value,)) if hasattr(x, "bath")])


@contextmanager
def _left_alone(owners: Sequence[object]) -> Iterator[None]:
    """Put back attributes that are replaced or changed inside, and raise Untraceable; random numbers are put back."""
    before = [(*each, each[2].clone() if isinstance(each[2], Tensor) else None) for each in attributes(owners)]
    versions = [value._version if isinstance(value, Tensor) else 0 for _, _, value, _ in before]
    changed: list[str] = []
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        known = {(id(owner), name) for owner, name, *_ in before}
        for owner, name, _ in [x for x in attributes(owners) if (id(x[0]), x[1]) not in known]:
            object.__delattr__(owner, name)
            changed.append(name)
        for (owner, name, value, saved), version in zip(before, versions, strict=True):
            if vars(owner).get(name) is not value:
                object.__setattr__(owner, name, value)
                changed.append(name)
            if saved is not None and value._version != version:
                value.copy_(saved)
                changed.append(name)
    if changed:
        raise Untraceable(f"a step changes the attribute {changed[0]!r}, which is not in the bath")


def _mutates(target: Any) -> bool:
    """Whether an operation changes its arguments, other than the stores at the end."""
    return hasattr(target, "_schema") and target._schema.is_mutable and not str(target).startswith("aten.copy_.")


def _several(rows: Tensor) -> Tensor:
    """A copy with two replicas where there is one, so that one replica is moved by the code that moves many."""
    return rows.repeat(2, *[1] * (rows.ndim - 1)) if len(rows) == 1 else rows.clone()


def _by_replica(variable: Tensor, phase: Phase) -> bool:
    """Whether a bath's variable belongs to single replicas: the rule by which replicas are exchanged."""
    return variable.is_floating_point() and variable.ndim > 1 and len(variable) == len(phase.q)
