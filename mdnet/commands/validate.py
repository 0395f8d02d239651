"""`mdnet validate`: the laws of physics on any pair of scheme and thermostat, as a conformance test."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer

from integrators import Scheme, Thermostat
from mdnet.config import RunFile, specs
from mdnet.config.choices import bath
from mdnet.config.schemes import spell
from mdnet.console import errors_told, say
from mdnet.spelling import unknown
from mdnet.validation import networks, report
from mdnet.validation.laws import Verdicts, known
from mdnet.validation.laws import validate as tested
from mdnet.validation.pairs import Pair
from mdnet.validation.subjects import Subject
from mdnet.validation.systems import SYSTEMS
from mdnet.validation.trial import Trial

DEFAULT = (  # a scheme and a bath each: what is tested where nothing is named
    ("BAOAB", "langevin"),
    ("OBABO", "andersen"),
    ("OBABO", "bussi"),
    ("outer(OMELYAN)", "langevin"),
    ("outer(YOSHIDA4)", "bussi"),
    ("outer(VERLET)", 'nose-hoover-chain(group="massive")'),
)
_BOTH = ("lattice", "linear")
_SCHEMES = ("BAOAB", "OBABO")  # for a bath that is named alone


@dataclass(frozen=True)
class _Plan:
    """What was asked for on the command line, as far as all pairs share it."""

    temperature: float | None
    dt: float | None
    replicas: int | None
    seed: int
    laws: list[str]
    show: bool


def validate(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A run file: test on its network, with its pair.")
    ] = None,
    schemes: Annotated[
        list[str],
        typer.Option("--scheme", metavar="WORD", help="BAOAB, outer(VERLET), ...; several times for several."),
    ] = [],  # noqa: B006
    thermostats: Annotated[
        list[str],
        typer.Option(
            "--thermostat", metavar="SPEC", help='NAME, "NAME(key=value)", file.py:CLASS or package.module:CLASS.'
        ),
    ] = [],  # noqa: B006
    systems: Annotated[
        list[str], typer.Option("--system", metavar="NAME", help=f"Without FILE: {', '.join(SYSTEMS)}.")
    ] = [],  # noqa: B006
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of FILE: thermostat.tau=1.")
    ] = [],  # noqa: B006
    temperature: Annotated[float | None, typer.Option(min=0, help="By default that of the system or of FILE.")] = None,
    dt: Annotated[
        float | None, typer.Option(min=0, help="The time step, by default that of the system or of FILE.")
    ] = None,
    replicas: Annotated[int | None, typer.Option(min=16, help="Independent copies: more see smaller errors.")] = None,
    burn: Annotated[int, typer.Option(min=1, help="With FILE: steps to equilibrate.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of all random numbers.")] = 0,
    laws: Annotated[str, typer.Option(metavar="A,B", help="Only these laws.")] = "",
    as_json: Annotated[str | None, typer.Option("--json", metavar="FILE", help='As JSON; "-" to the screen.')] = None,
) -> None:
    """Test a scheme with a thermostat against the laws of physics; exit code 1 where one fails.

    Without FILE the systems have exact answers: a lattice that mixes by itself, where the law has to be found,
    and a linear network, where it has to be kept. With FILE it is your network, and your own pair unless named.
    """
    with errors_told():
        quiet = as_json == "-"
        plan = _Plan(temperature, dt, replicas, seed, known(laws.split(",")), not quiet)
        if file is None:
            if overrides:
                raise ValueError("--set replaces values of a run file; give FILE, or leave it out")
            jobs = [(pair, _built_in(name)) for pair in _pairs(schemes, thermostats) for name in systems or _BOTH]
        else:
            if systems:
                raise ValueError("--system is for the built-in systems; with FILE the system is the file's")
            jobs = list(_own(file, schemes, thermostats, overrides, plan, burn))
        results = list(_results(jobs, plan))
        _write(results, seed, as_json)
    if any(result.failed for result in results):
        raise typer.Exit(1)


def _results(jobs: Sequence[tuple[Pair, Subject]], plan: _Plan) -> Iterator[Verdicts]:
    torch.set_num_threads(1)
    trials = [
        Trial(
            pair, subject, plan.temperature or subject.temperature, plan.dt or subject.dt,
            plan.replicas or subject.replicas, plan.seed, tests=len(jobs), show=plan.show,
        )
        for pair, subject in jobs
    ]  # fmt: skip
    for trial in trials:
        _ = trial.thermostat  # what is wrong with one is told before the work begins
    for trial in trials:
        result = tested(trial, plan.laws)
        if plan.show:
            report.show(result)
        yield result


def _write(results: Sequence[Verdicts], seed: int, as_json: str | None) -> None:
    text = json.dumps(report.document(results, seed), indent=2, allow_nan=False)
    if as_json == "-":
        typer.echo(text)
        return
    if as_json is not None:
        Path(as_json).write_text(text + "\n", encoding="utf-8")
    say(report.summary(results))


def _built_in(name: str) -> Subject:
    if name not in SYSTEMS:
        raise ValueError(unknown("system", name, SYSTEMS))
    return SYSTEMS[name]()


def _pairs(schemes: Sequence[str], thermostats: Sequence[str], own: Pair | None = None) -> list[Pair]:
    """Each scheme with each bath; what is not named is the file's, or the usual."""
    if not schemes and not thermostats:
        return [own] if own is not None else [Pair.of(spell(word), specs.read(spec)) for word, spec in DEFAULT]
    usual = [own.scheme] if own is not None else [spell(word) for word in _SCHEMES]
    spelt = [spell(word) for word in schemes] or usual
    if thermostats and not any(scheme.has_bath for scheme in spelt):
        raise ValueError(f"no scheme of {', '.join(map(str, spelt))} has an O, so no thermostat would act; try BAOAB")
    pairs = [Pair(scheme) for scheme in spelt if not scheme.has_bath]
    for scheme in (scheme for scheme in spelt if scheme.has_bath):
        if own is not None and not thermostats:
            pairs.append(Pair(scheme, own.make, own.bath))
        pairs += [Pair.of(scheme, specs.read(text)) for text in thermostats or ([] if own else ["langevin"])]
    return pairs


def _own(
    file: Path, schemes: Sequence[str], thermostats: Sequence[str], overrides: Sequence[str], plan: _Plan, burn: int
) -> Iterator[tuple[Pair, Subject]]:
    """The pairs on the user's network."""
    given = [*overrides, *([f"integrator.dt={plan.dt}"] if plan.dt is not None else [])]
    subject, runfile = networks.of_file(
        file, given, replicas=plan.replicas, temperature=plan.temperature, burn=burn, progress=plan.show
    )
    for pair in _pairs(schemes, thermostats, _of_file(runfile) if runfile.method == "splitting" else None):
        yield pair, subject


def _of_file(runfile: RunFile) -> Pair | None:
    """The file's own pair, at any temperature; None where its method is not made of a scheme and a bath."""
    if runfile.method != "splitting":
        return None
    scheme: Scheme = runfile.integrator.scheme  # type: ignore[attr-defined]
    options = runfile.thermostat
    if options is None:
        return Pair(scheme)

    def make(temperature: float, subject: Subject) -> Thermostat:
        warm = options.model_copy(update={"temperature": temperature}) if hasattr(options, "temperature") else options
        return bath(warm, subject.sizes)

    return Pair(scheme, make, str(getattr(options, options.key)))
