"""The run: the loop over steps, and around it schedules, actions, reports, checkpoints and a soft stop."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from integrators import Integrator, Phase
from mdnet import checkpoint
from mdnet.actions import Action
from mdnet.cautions import refuse_conflicts, warn
from mdnet.identity import describe, fingerprint
from mdnet.progress import Bar
from mdnet.randomness import Stream
from mdnet.recording import Record
from mdnet.reporters import Frames, Reporter, Scalars, due, remembered, settings
from mdnet.routes.stepping import stepper
from mdnet.schedules import Schedule, Scheduler
from mdnet.signals import SoftStop
from mdnet.stability import DivergenceError, Watch
from mdnet.system import ParticleSystem
from thermostats.parameters import maxwell
from trajectories.storage.options import Storage

Outcome = Literal["finished", "interrupted", "out of time"]
_GUARD = 100  # steps between two looks for a divergence when no report is due


class Simulation:
    """Moves a particle system by an integrator and writes down what reporters see.

    `positions` (replicas, dof): where to start, by default the network's own weights. `temperature`: of the
    Maxwell-Boltzmann momenta at the start, by default the integrator's; at rest where there is none.
    `schedule`: {"temperature": ..., "dt": ...}, see mdnet.schedules. `seed` makes the run. `output`: a new
    folder for trajectory.h5 and the checkpoints. `reporters`: Scalars(10) and Frames(100) unless given.
    `actions`: what changes the phase between steps, in this order, such as replica exchange.
    `checkpoint_every`: steps between checkpoints, by default about a minute of wall time. `overwrite`: an
    existing run in `output` is replaced. `parameters`: what else the file should remember under /parameters.
    `storage`: how the file is stored (live, compressed, rounded); a resume goes on as the file was begun.

    n + m steps in two processes equal one run of n + m steps bit for bit on the same machine and versions.

    Warns at a temperature without prior or box (UnboundedWarning), and where predictions are recorded of dynamics
    that is not canonical (NonCanonicalWarning). Raises ValueError for positions of the wrong shape or not finite,
    for a bad schedule, and for a schedule of what an action sets; see run and resume.
    """

    def __init__(
        self,
        system: ParticleSystem,
        integrator: Integrator,
        *,
        positions: Tensor | None = None,
        temperature: float | Tensor | None = None,
        schedule: Mapping[str, Schedule] | None = None,
        seed: int = 0,
        output: str | Path | None = None,
        reporters: Sequence[Reporter] = (),
        actions: Sequence[Action] = (),
        checkpoint_every: int | None = None,
        overwrite: bool = False,
        parameters: Mapping[str, Any] | None = None,
        storage: Storage = Storage(),
    ) -> None:
        self.system, self.integrator = system, integrator
        self.reporters, self.actions = tuple(reporters) or (Scalars(10), Frames(100)), tuple(actions)
        self.output, self.checkpoint_every = None if output is None else Path(output), checkpoint_every
        warn(system, integrator, self.reporters)
        refuse_conflicts(schedule or {}, self.actions)
        self.fingerprint = fingerprint(system, integrator, schedule or {}, seed, self.reporters, self.actions)
        described = describe(system, integrator, schedule or {}, seed, self.actions)
        described |= {"reporters": settings(self.reporters)} | dict(parameters or {})
        self.record = Record(
            self.output, system, described, overwrite=overwrite, reporters=self.reporters, storage=storage
        )
        self.step, self.time = 0, 0.0
        self._checkpointed: int | None = None  # the step of the last checkpoint written here
        self.scheduler = Scheduler(schedule or {}, integrator)
        self.scheduler.begin(0)
        self.stream = Stream(seed, system.device)
        with self.stream.active():
            self.phase = self._start(positions, temperature)
            for action in self.actions:
                action.start(system, integrator, self.phase)
        for reporter in self.reporters:
            reporter.start(system, integrator)
        self._watch: Watch | None = Watch(system, integrator, self.phase)
        self.stepper = stepper(system, integrator, self.phase)

    @property
    def latest(self) -> dict[str, np.ndarray]:
        """The values that were reported last, by name."""
        return self.record.latest

    def run(self, steps: int, *, wall_clock: float | None = None, progress: bool = True) -> Outcome:
        """Advance by `steps` steps, or until `wall_clock` seconds are over, Ctrl-C or SIGTERM; then checkpoint.

        Returns "finished", "out of time" or "interrupted". Raises DivergenceError naming step and replica
        (what was written stays), OutputExistsError, TrajectoryError where the disk is full or not writable.
        """
        if steps < 0:
            raise ValueError(f"steps = {steps} must not be negative")
        goal, first = self.step + steps, self.step
        deadline = time.monotonic() + (wall_clock if wall_clock is not None else float("inf"))
        outcome: Outcome = "finished"
        with self.stream.active(), SoftStop() as stop, Bar(steps, show=progress) as bar:
            try:
                self._open()
                while self.step < goal:
                    self._advance(goal)
                    bar.update(self.step - first, self.latest)
                    if stop.asked or time.monotonic() > deadline:
                        outcome = "interrupted" if stop.asked else "out of time"
                        break
                if self._checkpointed != self.step:
                    self._save()
            finally:
                self.record.close()
        return outcome if self.step < goal else "finished"

    def resume(self) -> Simulation:
        """Put back the last checkpoint in the output folder and go on from there; returns itself.

        Raises ResumeError where there is no checkpoint, or where the run, model or data differ, naming how.
        """
        if self.output is None:
            raise checkpoint.ResumeError("this simulation has no output folder to resume from; give output=...")
        state = checkpoint.load(self.output)
        checkpoint.compare(state["fingerprint"], self.fingerprint)
        for name in ("q", "p", "f", "u", "heat"):
            getattr(self.phase, name).copy_(state[name])
        for variable, saved in zip(self.phase.bath, state["bath"], strict=True):
            variable.copy_(saved)
        self.step, self.time = state["step"], state["time"]
        self.stream.states = state["random"]
        for action, saved in zip(self.actions, state["actions"], strict=True):
            action.load(saved)
        for reporter, saved in zip(self.reporters, state["reporters"], strict=True):
            if saved:
                reporter.load(saved)  # type: ignore[attr-defined]
        self.scheduler.begin(max(self.step - 1, 0))
        self.scheduler.reread()
        self.record.begun, self._watch = True, None
        return self

    def _start(self, positions: Tensor | None, temperature: float | Tensor | None) -> Phase:
        system = self.system
        q = system.positions() if positions is None else positions.detach()
        if q.shape != (system.replicas, system.dof) or not torch.isfinite(q).all():
            raise ValueError(
                f"positions have shape {tuple(q.shape)}; they must be finite and of shape "
                f"(replicas, dof) = ({system.replicas}, {system.dof})"
            )
        q = q.to(device=system.device, dtype=system.dtype, copy=True)
        p = torch.zeros_like(q)
        warmth = self.integrator.temperature if temperature is None else temperature
        if warmth is not None and self.integrator.has_momenta:
            warmth = torch.as_tensor(warmth, dtype=torch.float64, device=q.device)
            if not (warmth >= 0).all():
                raise ValueError(f"temperature = {temperature} must not be negative")
            p = maxwell(p, system.masses, warmth)
        return self.integrator.start(q, p, system.masses)

    def _advance(self, goal: int) -> None:
        """Advance to the next step after which there is something to do, and do it."""
        self.scheduler(self.step, self.phase)
        steps = self.scheduler.steady(self.step, self._undisturbed(goal))
        self.stepper.advance(self.phase, steps)
        self.step += steps
        if self._watch is not None and not self._watch(self.step, self.phase):
            self._watch = None
        for _ in range(steps):  # not steps x dt, so that the time does not depend on the blocks
            self.time += self.scheduler.time_step * self.integrator.substeps
        self._act()
        self._report()
        if self._checkpoint_due():
            self._save()

    def _undisturbed(self, goal: int) -> int:
        """The number of steps until something looks at the phase or acts on it."""
        cadences = [_GUARD, *(each.every for each in (*self.actions, *self.reporters))]
        if self.checkpoint_every is not None:
            cadences.append(self.checkpoint_every)
        ahead = [goal - self.step, self.stepper.block, *(every - self.step % every for every in cadences)]
        if self._watch is not None:
            ahead.append(self._watch.next(self.step) - self.step)
        return min(ahead)

    def _act(self) -> None:
        for action in due(self.actions, self.step):
            self.integrator.sync(self.phase)
            self._guard()
            self.record.write(self.step, self.time, action(self.step, self.phase))
            if "dt" in getattr(action, "sets", ()):
                self.scheduler.reread()

    def _report(self) -> None:
        reporters = due(self.reporters, self.step)
        if reporters or self.step % _GUARD == 0:
            self.integrator.sync(self.phase)
            self._guard()
        for reporter in reporters:
            self.record.write(self.step, self.time, reporter(self.step, self.phase))

    def _guard(self) -> None:
        finite = torch.isfinite(self.phase.u)
        if finite.all():
            return
        if self._watch is not None:
            self._watch.confirm(self.step)
        lost = (~finite).nonzero().flatten().tolist()
        raise DivergenceError(
            f"the energy of replica {lost[0]} ({len(lost)} of {len(finite)} replicas) was not finite at step "
            f"{self.step}; take a smaller dt (now {torch.unique(self.integrator.dt).tolist()}), a lower temperature, "
            "heavier masses, a slower bath (a Nose-Hoover chain wants tau >= 10 dt, or order=5), or a prior that keeps "
            "the weights bounded. What was written stays."
        )

    def _checkpoint_due(self) -> bool:
        if self.output is None:
            return False
        if self.checkpoint_every is not None:
            return self.step % self.checkpoint_every == 0
        return time.monotonic() - self._saved > 60.0

    def _save(self) -> None:
        self._saved, self._checkpointed = time.monotonic(), self.step
        phase = self.phase
        state: checkpoint.State = {name: getattr(phase, name).cpu() for name in ("q", "p", "f", "u", "heat")}
        state |= {"bath": [x.cpu() for x in phase.bath], "random": self.stream.states}
        state["actions"] = [{name: x.cpu() for name, x in action.state().items()} for action in self.actions]
        state["reporters"] = [{name: x.cpu() for name, x in remembered(each).items()} for each in self.reporters]
        state |= {"step": self.step, "time": self.time, "fingerprint": self.fingerprint}
        self.record.save(state)

    def _open(self) -> None:
        """Open the file; a run's first opening also reports and checkpoints its starting point."""
        self._saved = time.monotonic()
        first = not self.record.begun
        self.record.open(self.step)
        if first:
            self._report()
            self._save()
