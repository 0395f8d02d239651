"""`mdnet compare`: schemes and thermostats side by side on one system, at equal numbers of force evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from mdnet.comparison import report
from mdnet.comparison.compare import Setting
from mdnet.comparison.compare import compare as run
from mdnet.comparison.contest import METHODS, Contestant, of_method, of_pair
from mdnet.config import specs
from mdnet.config.schemes import spell
from mdnet.console import errors_told, say, tabulate
from mdnet.spelling import unknown
from mdnet.validation import networks
from mdnet.validation.pairs import Pair
from mdnet.validation.subjects import Subject
from mdnet.validation.systems import SYSTEMS

SCHEMES = "BAOAB,OBABO,outer(OMELYAN)"
THERMOSTATS = (
    "langevin,bussi,nose-hoover-chain(order=5),nose-hoover-chain(order=5, group='layer'),"
    "nose-hoover-chain(order=5, group='massive'),andersen,berendsen"
)


def compare(
    system: Annotated[
        str, typer.Argument(metavar="FILE|SYSTEM", help=f"A run file (TOML), or one of {', '.join(SYSTEMS)}.")
    ],
    schemes: Annotated[str, typer.Option(metavar="A,B", help="Words with an O, as in a run file.")] = SCHEMES,
    thermostats: Annotated[
        str, typer.Option(metavar="A,B", help='NAME, "NAME(key=value)", file.py:CLASS or package.module:CLASS.')
    ] = THERMOSTATS,
    methods: Annotated[str, typer.Option(metavar="A,B", help=f"With baths of their own: {', '.join(METHODS)}.")] = "",
    forces: Annotated[int, typer.Option(min=200, help="Force evaluations of each replica.")] = 20_000,
    replicas: Annotated[int, typer.Option(min=8, help="Independent copies, for the errors.")] = 32,
    temperature: Annotated[float | None, typer.Option(help="By default that of the system or of FILE.")] = None,
    dt: Annotated[float | None, typer.Option(help="Of one force evaluation; a scheme of n takes n dt.")] = None,
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of FILE: thermostat.tau=1.")
    ] = [],  # noqa: B006
    compiled: Annotated[bool, typer.Option("--compile", help="Time the steps compiled.")] = False,
    seed: Annotated[int, typer.Option(help="Of all random numbers.")] = 0,
    out: Annotated[Path | None, typer.Option(help="The folder; by default runs/compare/NAME.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; one is fastest for small networks.")] = 1,
) -> None:
    """Compare all pairs of schemes and thermostats on one system: what each gets right, and how fast.

    Writes a table, comparison.json, pictures and report.html. Every method has the same number of force
    evaluations and the same simulated time for each.
    """
    torch.set_num_threads(threads)
    with errors_told():
        subject = _subject(system, overrides, replicas, temperature)
        setting = Setting(
            temperature or subject.temperature, dt or subject.dt, subject.rows(replicas), forces, seed, compiled
        )
        contestants = _contestants(schemes, thermostats, methods)
        result = run(subject, contestants, setting, report=lambda text: say(f"  {text}"))
        tabulate(report.title_of(result), report.COLUMNS, report.rows(result))
        tabulate("steps", report.STEP_COLUMNS, report.step_rows(result))
        say(f"report: {report.write(result, out or Path('runs/compare') / subject.name)}")


def _subject(system: str, overrides: list[str], replicas: int, temperature: float | None) -> Subject:
    if system.endswith(".toml"):
        return networks.of_file(Path(system), overrides, replicas=replicas, temperature=temperature)[0]
    if overrides:
        raise ValueError("--set replaces values of a run file; give FILE.toml, or leave it out")
    if system not in SYSTEMS:
        raise ValueError(f"{unknown('system', system, SYSTEMS)}; or a run file, NAME.toml")
    return SYSTEMS[system]()


def _contestants(schemes: str, thermostats: str, methods: str) -> list[Contestant]:
    baths = [specs.read(text) for text in _split(thermostats)]
    pairs = []
    for word in _split(schemes):
        scheme = spell(word)
        if not scheme.has_bath:
            raise ValueError(f"scheme {word} has no O, so no thermostat would act; write outer({word})")
        for spec in baths:
            pairs.append(of_pair(Pair.of(scheme, spec)))
    return [*pairs, *map(of_method, _split(methods))]


def _split(text: str) -> list[str]:
    """Split at commas outside of parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]
