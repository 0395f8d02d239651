"""Reproduces the free energies of stationary SGD: a page for each model and regime, and one of all laws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import trajectories
from mdnet.experiments import results
from mdnet.experiments.free_energy import checks, digits, telling, temperatures, toy
from mdnet.experiments.free_energy.analysis import Found, read
from mdnet.experiments.free_energy.images import MODELS as IMAGES
from mdnet.experiments.free_energy.images import PUBLISHED
from mdnet.experiments.free_energy.models import Model
from mdnet.experiments.free_energy.sweep import sweep
from mdnet.experiments.free_energy.temperature_problems import PROBLEMS
from mdnet.experiments.results import Check, Study, Table
from mdnet.experiments.stages import Setting, Stages, Tell
from mdnet.recording import refuse_existing
from mdnet.spelling import unknown

MODELS: dict[tuple[str, str], Model] = {**toy.MODELS, **digits.MODELS, **IMAGES}
NAMES = tuple(dict.fromkeys(name for name, _ in MODELS))
SWEEP, CONTROL, THINNED, LONG = "sweep", "control", "thinned", "toy-long"
_OTHER = 1000  # what the seeds of the control are further


@dataclass(frozen=True, eq=False)
class Page:
    """What was made of a model: its folder, its sweep, the control beside it where there is one, and all checks."""

    folder: Path
    found: Found
    control: Found | None
    checks: Sequence[Check]


def chosen(name: str, regime: str, *, published: bool = False) -> Model:
    """Return a model by name and regime, of images the published form where asked for.

    Raises ValueError for an unknown name, and for a regime, or a published form, that a model has not.
    """
    if name not in NAMES:
        raise ValueError(unknown("model", name, NAMES))
    regimes = [known for known_name, known in MODELS if known_name == name]
    if regime not in regimes:
        raise ValueError(f"regime = {regime!r}: model {name!r} has {' and '.join(regimes)}")
    if published and (name, regime) not in PUBLISHED:
        raise ValueError(f"model {name!r} has one form; the published networks are {sorted({n for n, _ in PUBLISHED})}")
    return (PUBLISHED if published else MODELS)[name, regime]


def control_of(model: Model) -> Model | None:
    """Return what is run beside a small model: UP at three rates from other starts, or UP where OP jumps."""
    if model.regime == "up" and model.name in ("toy", "mlp"):
        rates = list(model.rates)
        return replace(model, rates=[rates[0], rates[len(rates) // 2], rates[-1]], start=None, frames=False)
    if (model.name, model.regime) == ("mlp", "op"):
        low, high = checks.JUMP
        up = digits.MODELS["mlp", "up"]
        steps = max(up.fewest, min(model.steps, 45_000))
        return up.with_([low, (low * high) ** 0.5, high], steps, model.seeds)
    return None


def reproduce(model: Model, setting: Setting, *, tell: Tell = lambda stage, seconds: None) -> Page:
    """Run the sweep of a model with its control, and write results.json and report.html in setting.out/NAME-REGIME.

    The pages of small UP models also have the temperature by other routes, beside Langevin dynamics, with rates and
    seeds of their own. Raises OutputExistsError, before anything runs, where a run may not be replaced.
    """
    folder = setting.out / f"{model.name}-{model.regime}"
    other, routes = control_of(model), PROBLEMS if model.regime == "up" else {}
    _refuse(setting, _places(folder, model.name))
    stages = Stages(tell)
    with stages("sweep"):
        found = _found(setting, model, folder / SWEEP, setting.seed)
    control: Found | None = None
    if other is not None:
        with stages("control"):
            control = _found(setting, other, folder / CONTROL, setting.seed + _OTHER)
    claimed, told = claims(found, control), telling.studies(found)
    if (model.name, model.regime) == ("mlp", "up"):
        with stages("thinned"):
            apart = digits.THINNED.with_(model.rates, seeds=min(digits.THINNED.seeds, model.seeds))
            told.append(telling.thinned(_found(setting, apart, folder / THINNED, setting.seed)))
    if model.name in routes:
        with stages("temperature by other routes"):
            told.append(temperatures.study(model.name, folder=folder, seed=setting.seed, overwrite=setting.replaces,
                                           progress=setting.progress))  # fmt: skip
    runs = [each.folder for each in (found, control) if each is not None]
    with stages("page"):
        title = f"Stationary SGD as a thermodynamic system: {model.title}"
        results.write(folder, title, telling.table(found), claimed, telling.notes(found), told, runs, stages.seconds)
        trajectories.report.write([folder, *runs], folder)
    return Page(folder, found, control, [*claimed, *(check for study in told for check in study.checks)])


def claims(found: Found, control: Found | None) -> list[Check]:
    """Return what is claimed of a model's sweep beside its control."""
    kind = found.model.name, found.model.regime
    label = " ".join((found.model.name, found.model.regime.upper()))
    if kind == ("toy", "up") and control is not None:
        return [*checks.toy_up(found, control), *checks.thermal(label, found)]
    if kind == ("toy", "op"):
        return checks.toy_op(found)
    if kind == ("mlp", "op") and control is not None:
        return checks.jump(found, control)
    if kind[1] == "op":
        return []
    same = [] if control is None else [checks.same(f"{label}: U from other starts", found, control)]
    return [*checks.thermal(label, found), *checks.stationary(label, found), *same]


def laws(setting: Setting, *, tell: Tell = lambda stage, seconds: None) -> list[Path]:
    """Run F1 to F5 with the pages of toy and digits; return the folders of all pages, that of the laws last.

    Raises OutputExistsError, before anything runs, where a run is there and may not be replaced.
    """
    from mdnet.experiments.ideal_gas.checks import f5

    kinds = [kind for kind in MODELS if kind[0] in ("toy", "mlp")]
    long = setting.out / LONG
    _refuse(setting, [place for kind in kinds for place in _places(setting.out / "-".join(kind), kind[0])] + [long])
    stages = Stages(tell)
    with stages("F1"):
        found = {"F1": checks.f1()}
    pages: dict[tuple[str, str], Page] = {}
    for kind in kinds:
        with stages(" ".join(kind)):
            pages[kind] = reproduce(MODELS[kind], setting, tell=tell)
    found["F2"] = _both(pages, "toy", checks.f2)
    with stages("F3"):
        found["F3"] = checks.f3(_found(setting, toy.LONG, long, setting.seed))
    found["F4"] = _both(pages, "mlp", checks.f4)
    with stages("F5"):
        found["F5"] = f5()
    _write(setting.out / "laws", found, stages)
    return [*(page.folder for page in pages.values()), setting.out / "laws"]


SUBJECTS = {
    "F1": "The entropy's estimator",
    "F2": "The toy on a sphere: energies and noise",
    "F3": "The toy on a sphere: temperature",
    "F4": "Digits: temperature, free energy, and the jump of OP",
    "F5": "The ideal gas",
}


def _found(setting: Setting, model: Model, place: Path, seed: int) -> Found:
    """A model run in a folder, and read."""
    sweep(
        model, place, seed=seed, device=setting.device, overwrite=setting.overwrite, resume=setting.resume,
        progress=setting.progress,
    )  # fmt: skip
    return read(model, place)


def _both(
    pages: dict[tuple[str, str], Page], name: str, law: Callable[[Found, Found, Found], list[Check]]
) -> list[Check]:
    """A law of UP, OP and the control of UP."""
    up, op = pages[name, "up"], pages[name, "op"]
    return law(up.found, op.found, up.control if up.control is not None else up.found)


def _write(folder: Path, found: dict[str, list[Check]], stages: Stages) -> None:
    listed = ["what", "wanted", "found"]
    studies = [
        Study(name.lower(), SUBJECTS[name], listed, [[c.name, c.expectation, c.measured] for c in each], "", each)
        for name, each in found.items()
    ]
    rows = [[name, SUBJECTS[name], f"{sum(c.holds for c in each)} of {len(each)}"] for name, each in found.items()]
    table = Table(["law", "what it is about", "checks that hold"], rows)
    results.write(folder, "Stationary SGD: the laws", table, [], [], studies, seconds=stages.seconds)
    trajectories.report.write([folder], folder)


def _places(folder: Path, name: str) -> list[Path]:
    """Where the runs of a page may lie."""
    return [folder / place for place in (SWEEP, CONTROL, THINNED, f"{temperatures.RUNS}/{name}/sgd")]


def _refuse(setting: Setting, places: Sequence[Path]) -> None:
    for place in places if not setting.replaces else ():
        refuse_existing(place)
