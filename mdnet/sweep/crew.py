"""The runs that are with the workers: handed over, followed, noted as they end, and begun again where that helps."""

from __future__ import annotations

import shutil
import time
import uuid
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mdnet.signals import SoftStop
from mdnet.sweep import packing
from mdnet.sweep.board import Board
from mdnet.sweep.cluster import ClusterError
from mdnet.sweep.packing import Unit
from mdnet.sweep.records import Record, Run
from mdnet.sweep.work import Result, checkpointed, stop, work

if TYPE_CHECKING:
    from distributed import Client, Future

_LOOK = 0.05  # seconds between two looks at what has ended
_SAVE = 1.0  # seconds between two writes of the record, and between two requests to stop
_PATIENCE = 900.0  # seconds without any process of this machine until it is given up


class Crew:
    """Has units of runs done by the workers of a client; the record says of each how it stands."""

    def __init__(self, client: Client, record: Record, units: Sequence[Unit], retries: int, board: Board) -> None:
        self.client, self.record, self.retries, self.board = client, record, retries, board
        self.units = {unit.name: unit for unit in units}
        self.topic = f"mdnet-sweep-{uuid.uuid4().hex}"
        self.running: set[str] = set()
        self.said: set[str] = set()
        client.subscribe_topic(self.topic, self._heard)
        self.futures: dict[str, Future[Result]] = self._submit(units)
        board.begin(self._share())

    def work(self, stopping: SoftStop, *, own: bool) -> None:
        """Wait for all to end, noting each that does; once asked to stop, have them stop at their next checkpoint.

        `own`: the workers are processes of this sweep; ClusterError where none of them comes back.
        """
        noted, seen = 0.0, time.monotonic()
        while self.futures:
            ended = [name for name, future in self.futures.items() if future.done()]
            for name in ended:
                self._ended(self.units[name], self.futures.pop(name), again=not stopping.asked)
            self.board.update(self._running(), self._share())
            if time.monotonic() > noted + _SAVE:
                noted = time.monotonic()
                self.record.save()
                workers = self.client.nthreads()
                if stopping.asked:  # again and again, for a worker that started since
                    self.client.run(stop, self.topic, on_error="ignore")
                    if not workers:
                        return
                seen = noted if workers else seen
                if own and noted > seen + _PATIENCE:
                    raise ClusterError(
                        f"the processes of this sweep ended, and none started anew in {_PATIENCE:.0f} s; what the runs "
                        "have written is on disk, and the same call goes on with it"
                    )
            time.sleep(_LOOK)

    def _submit(self, units: Sequence[Unit]) -> dict[str, Future[Result]]:
        """Hand units over at once and under one prefix, so that the scheduler keeps them until a worker is free."""
        names = [unit.name for unit in units]
        tables = [[each.runfile.model_dump(exclude_none=True) for each in unit.members] for unit in units]
        folders = [str(self.record.out / name) for name in names]
        told = [unit.told for unit in units]
        keys = [f"mdnet_run-{uuid.uuid4().hex}" for _ in names]
        topics = [self.topic] * len(names)
        return dict(zip(names, self.client.map(work, topics, names, tables, folders, told, key=keys), strict=True))

    def _heard(self, event: tuple[float, Any]) -> None:
        """Note what a worker tells of a unit: that it began, and how far it is; called from the client's thread."""
        name, step, began = event[1]
        if (unit := self.units.get(name)) is None:  # parted since
            return
        for run in self._runs(unit):
            run.steps = step
            run.tries += began
        if began:
            self.running.add(name)

    def _ended(self, unit: Unit, future: Future[Result], *, again: bool) -> None:
        from distributed import KilledWorker

        if future.status in ("cancelled", "lost"):
            raise ClusterError(
                "the scheduler went away; what the runs have written is on disk, and the same call goes on with it"
            )
        runs = self._runs(unit)
        self.running.discard(unit.name)
        try:
            result = future.result()
        except KilledWorker:
            steps = checkpointed(self.record.out / unit.name)
            for run in runs:
                run.steps = steps
            if again and runs[0].tries <= self.retries:
                self.board.say(f"{unit.name}: its worker was killed; it goes on from step {steps} on another")
                self.futures |= self._submit([unit])
                return
            result = Result("pending", steps, 0.0)
            if again:
                error = (
                    f"its worker was killed {runs[0].tries} times; where memory ran out, fewer workers leave each more"
                )
                result = Result("failed", steps, 0.0, error, apart=() if len(runs) > 1 else None)
        except Exception as error:
            result = Result("failed", runs[0].steps, 0.0, f"{type(error).__name__}: {error}")
        if result.apart is not None and again:
            self._part(unit, result)
            return
        self._note(runs, result)
        self.board.update(self._running(), self._share())
        self.board.ended(unit.name, runs)

    def _part(self, unit: Unit, result: Result) -> None:
        """Begin runs anew that failed together: those to blame alone, where that is known, and the others without."""
        blamed = result.apart or range(len(unit.members))
        units = [packing.alone(unit.members[place]) for place in blamed]
        if others := [each for place, each in enumerate(unit.members) if place not in blamed]:
            units.append(packing.together(others))
        for place in blamed:
            self.record.runs[unit.members[place].name].alone = True
        del self.units[unit.name]
        self.units |= {each.name: each for each in units}
        self.record.assign(units)
        self.record.save()  # before anything is removed, so that a kill leaves no run without its folder
        shutil.rmtree(self.record.out / unit.name, ignore_errors=True)
        self.board.say(f"{unit.name}: {result.error}\n{len(blamed)} of its {len(unit.members)} runs go on alone")
        self.futures |= self._submit(units)

    def _note(self, runs: Sequence[Run], result: Result) -> None:
        for place, run in enumerate(runs):
            run.state, run.error = result.state, result.error
            run.steps, run.seconds = max(run.steps, result.steps), run.seconds + result.seconds / len(runs)
            last = result.last[place] if result.last else {}
            run.energy, run.temperature = last.get("energy", run.energy), last.get("temperature", run.temperature)
        for text in result.warnings:
            if text not in self.said:
                self.said.add(text)
                warnings.warn(text, stacklevel=7)

    def _runs(self, unit: Unit) -> list[Run]:
        return [self.record.runs[each.name] for each in unit.members]

    def _running(self) -> int:
        """How many runs are under way."""
        return sum(len(self.units[name].members) for name in tuple(self.running))

    def _share(self) -> float:
        """How many runs' worth of steps is done."""
        return sum(self._done(unit) for unit in self.units.values())

    def _done(self, unit: Unit) -> float:
        first = self.record.runs[unit.members[0].name]
        done = 1.0 if first.state != "pending" else min(1.0, first.steps / max(unit.steps, 1))
        return done * len(unit.members)
