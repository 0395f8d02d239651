"""The run: the loop over steps, and around it schedules, actions, reports, checkpoints and a soft stop."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from integrators import Integrator
from mdnet import checkpoint
from mdnet.actions import Action
from mdnet.cadence import until
from mdnet.cautions import refuse_conflicts, warn
from mdnet.distributed.world import ALONE, RankLostError, World
from mdnet.identity import describe, fingerprint
from mdnet.progress import Bar
from mdnet.randomness import Stream
from mdnet.recording import Record
from mdnet.reporters import Frames, Reporter, Scalars, due, remembered, settings
from mdnet.routes.stepping import PlainSteps, stepper
from mdnet.schedules import Schedule, Scheduler
from mdnet.signals import SoftStop
from mdnet.stability import Watch, refuse_infinite
from mdnet.starting import start
from mdnet.system import ParticleSystem
from trajectories.storage.options import Storage

Outcome = Literal["finished", "interrupted", "out of time"]
_GUARD = 100  # steps between two looks for a divergence when no report is due
_MINUTE = 60.0  # between two checkpoints, unless the steps between them are given


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
    `world`: the processes that run it together, see mdnet.distributed; all else describes the whole run, the same on
    every rank, and `system`, `integrator` and `phase` become this rank's part.

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
        world: World = ALONE,
    ) -> None:
        self.world = world.over(system)
        self.reporters: tuple[Reporter, ...] = tuple(reporters) or (Scalars(10), Frames(100))
        self.actions = tuple(actions)
        self.output, self.checkpoint_every = None if output is None else Path(output), checkpoint_every
        warn(system, integrator, self.reporters)
        refuse_conflicts(schedule or {}, self.actions)
        self.fingerprint = fingerprint(system, integrator, schedule or {}, seed, self.reporters, self.actions)
        described = describe(system, integrator, schedule or {}, seed, self.actions)
        described |= {"reporters": settings(self.reporters)} | dict(parameters or {})
        self.record = Record(
            self.output, system, described, overwrite=overwrite, reporters=self.reporters, storage=storage,
            world=self.world,
        )  # fmt: skip
        self.step, self.time = 0, 0.0
        self._checkpointed: int | None = None  # the step of the last checkpoint written here
        self.system = own = self.world.part(system)
        self.integrator = method = self.world.method(integrator, system, own)
        self.reporters = tuple(self.world.reporters(self.reporters))
        self.scheduler = Scheduler(self.world.schedules(schedule or {}), method)
        self.scheduler.begin(0)
        self.stream, self._counted = Stream(seed, system.device), self.world.counted
        with self.stream.active():
            self.phase = start(self.world, system, method, positions, temperature, counted=self._counted)
            for action in self.actions:
                self.world.admit(action)
                action.start(own, method, self.phase)
        for reporter in self.reporters:
            reporter.start(own, method)
        self._watch: Watch | None = Watch(own, method, self.phase)
        self.stepper = PlainSteps(own, method) if self.world.reduces else stepper(own, method, self.phase)
        described["dynamics"]["steps"] = repr(self.stepper)

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
        outcome: Outcome | None = None
        with self.stream.active(), SoftStop() as stop, Bar(steps, show=progress and self.world.is_writer) as bar:
            try:
                self._open()
                while self.step < goal and outcome is None:
                    self._advance(goal)
                    bar.update(self.step - first, self.latest)
                    outcome = self._agree(stop.asked, time.monotonic() > deadline)
                if self._checkpointed != self.step:
                    self._save()
            except RankLostError as lost:
                raise RankLostError(f"{lost} at about step {self.step}; {self._remedy()}") from lost
            finally:
                self.record.close()
        return "finished" if self.step >= goal or outcome is None else outcome

    def resume(self) -> Simulation:
        """Put back the last checkpoint in the output folder and go on from there; returns itself.

        Raises ResumeError where there is no checkpoint, or where the run, model or data differ, naming how.
        """
        if self.output is None:
            raise checkpoint.ResumeError("this simulation has no output folder to resume from; give output=...")
        state = checkpoint.load(self.output)
        checkpoint.compare(state["fingerprint"], self.fingerprint)
        self.world.restore(self.phase, state)
        self.step, self.time, self._counted = state["step"], state["time"], state.get("counted", False)
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

    def _advance(self, goal: int) -> None:
        """Advance to the next step after which there is something to do, and do it."""
        with self.world.draws(self._counted):
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
        if self.output is not None and self.checkpoint_every and self.step % self.checkpoint_every == 0:
            self._save()

    def _agree(self, stop: bool, late: bool) -> Outcome | None:
        """Whether all ranks stop here, and why; also whether a minute is over and they checkpoint."""
        old = self.output is not None and self.checkpoint_every is None and time.monotonic() - self._saved > _MINUTE
        stop, late, old = self.world.meet(self.step, (stop, late, old))
        if old and self._checkpointed != self.step:
            self._save()
        if stop:
            return "interrupted"
        return "out of time" if late else None

    def _undisturbed(self, goal: int) -> int:
        """The number of steps until something looks at the phase or acts on it."""
        cadences = [_GUARD, *(each.every for each in self.actions), *(each.every for each in self.reporters)]
        if self.checkpoint_every is not None:
            cadences.append(self.checkpoint_every)
        meeting = self.world.meeting(self.step) - self.step
        ahead = [goal - self.step, meeting, self.stepper.block, *(until(every, self.step) for every in cadences)]
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
            with self.world.by_row():
                values = reporter(self.step, self.phase)
            self.record.write(self.step, self.time, values)

    def _guard(self) -> None:
        if self._watch is not None and not torch.isfinite(self.phase.u).all():
            self._watch.confirm(self.step)
        refuse_infinite(self.step, self.phase, self.integrator, first=self.world.rows.start or 0)

    def _save(self) -> None:
        self._saved, self._checkpointed = time.monotonic(), self.step
        if self.output is None:
            return
        state: checkpoint.State = {**self.world.state(self.phase), "random": self.stream.states}
        state["actions"] = [{name: x.cpu() for name, x in action.state().items()} for action in self.actions]
        state["reporters"] = [{name: x.cpu() for name, x in remembered(each).items()} for each in self.reporters]
        state |= {"step": self.step, "time": self.time, "counted": self._counted, "fingerprint": self.fingerprint}
        self.record.save(state)

    def _remedy(self) -> str:
        if self.output is None:
            return "nothing was written"
        whole = "" if self._checkpointed is None else f"the checkpoint of step {self._checkpointed} is whole: "
        return f"{whole}go on with torchrun ... -m mdnet run {self.output} --resume, on fewer ranks if you like"

    def _open(self) -> None:
        """Open the file; a run's first opening also reports and checkpoints its starting point."""
        self._saved = time.monotonic()
        first = not self.record.begun
        self.record.open(self.step)
        if first:
            self._report()
            self._save()


def finish(simulation: Simulation, steps: int, *, progress: bool = True, resume: bool = False) -> None:
    """Run all steps of a part of something larger; raises KeyboardInterrupt where a signal has stopped it.

    `resume`: go on from the last checkpoint in the output folder, if there is one, until there are `steps` in all.
    """
    if resume and simulation.output is not None and checkpoint.found(simulation.output):
        steps = max(0, steps - simulation.resume().step)
    if simulation.run(steps, progress=progress) == "interrupted":
        raise KeyboardInterrupt
