"""Reproduces data averaging: a page for each model and variant of SGD, and one of all laws G1 to G7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import trajectories
from mdnet.experiments import results
from mdnet.experiments.data_averaging import checks, digits, telling
from mdnet.experiments.data_averaging.analysis import Found, part, read
from mdnet.experiments.data_averaging.method import places, sweep
from mdnet.experiments.data_averaging.models import Model, variant
from mdnet.experiments.results import Check, Study
from mdnet.experiments.stages import Setting, Stages, Tell
from mdnet.recording import refuse_existing
from mdnet.spelling import unknown
from trajectories.averaging import Curve

NAMES = (*digits.MODELS, "resnet")
RUN, CONSTANT, CLEAN, UNNORMED = "run", "constant", "clean", "unnormed"
BATCHES = {"sgd": (16, 64, 128), "momentum": (32, 64, 128)}  # by which the temperatures in the middle are run, too
BARE = (16, 64)  # the same without BatchNorm
PLAIN = "plain"  # the same without momentum
MANY = 32  # data sets that show what momentum changes
_FEWEST = 4  # temperatures of a page
_LEAST = 32  # the batch from which on BatchNorm's own noise is taken to be small
_CONSTANT = {"cosine": "sgd", "momentum-cosine": "momentum"}


@dataclass(frozen=True)
class Sampled(Setting):
    """How all studies of a reproduction are run, and how their data sets are drawn."""

    sampling: str = "split"


@dataclass(frozen=True, eq=False)
class Page:
    """What was made of a model: its folder, its study, and all checks."""

    folder: Path
    found: Found
    checks: Sequence[Check]


def chosen(name: str, *, published: bool = False) -> Model:
    """Return a model by name, of images the published form where asked for.

    Raises ValueError for an unknown name, and where a published form is asked of a model that has none.
    """
    if name not in NAMES:
        raise ValueError(unknown("model", name, NAMES))
    if name in digits.MODELS:
        if published:
            raise ValueError(f"model {name!r} has one form; the published network is 'resnet'")
        return digits.MODELS[name]
    from mdnet.experiments.data_averaging import images

    return (images.PUBLISHED if published else images.MODELS)[name]


def reproduce(
    model: Model, name: str, setting: Sampled, *, constant: Found | None = None,
    tell: Tell = lambda stage, seconds: None,
) -> Page:  # fmt: skip
    """Run a model by a variant of SGD with what stands beside it; write its page in setting.out/MODEL-VARIANT-SAMPLING.

    Beside the digits' network at a constant rate the same temperatures by other batches, beside plain SGD also without
    BatchNorm and with true labels, and beside a falling rate the same variant with a constant one (`constant`, where it
    has been run). Raises, before anything runs, ValueError for an unknown variant and for fewer than four
    temperatures, which tell neither law nor optimum, and OutputExistsError where a run may not be replaced.
    """
    if len(model.rates) < _FEWEST:
        raise ValueError(
            f"rates = {list(model.rates)}: the law of the gap has three numbers; give {_FEWEST} temperatures or more"
        )
    folder = _folder(setting, model, name)
    _refuse(setting, model, name)
    stages = Stages(tell)
    with stages(f"{model.title}: {name}"):
        found = _found(setting, model, folder / RUN, name)
    claimed, told, runs = claims(found), [telling.study(found)], [*found.runs]
    if batches := _batches(model, name):
        with stages("the same temperatures by other batches"):
            more, shown = _equal(found, folder, batches, setting)
        claimed, told = claimed + more, told + shown
    if variant(name).cosine:
        if constant is None:
            with stages("a constant rate"):
                constant = _found(setting, model, folder / CONSTANT, _CONSTANT[name])
            runs += constant.runs
        told.append(telling.compared(found, constant, (name, _CONSTANT[name])))
        claimed += checks.g6(found, constant)
    with stages("page"):
        title = f"Averages over data sets: {model.title}, {name}, {setting.sampling}"
        results.write(folder, title, telling.table(found), claimed, telling.notes(found), told, runs, stages.seconds)
        trajectories.report.write([folder, *runs], folder)
    return Page(folder, found, claimed)


def claims(found: Found) -> list[Check]:
    """Return what is claimed of a model's own curve: all of G4 and G7 of the digits' network by plain SGD."""
    if found.model.name != "mlp" or variant(found.variant).momentum:
        return []  # with momentum the highest rates do not train
    return [*(checks.g4(found) if found.variant == "sgd" else []), *checks.g7(found)]


def _found(setting: Sampled, model: Model, place: Path, name: str) -> Found:
    """A model run by a variant in a folder, and read."""
    runs = sweep(
        model, place, name=name, sampling=setting.sampling, seed=setting.seed, device=setting.device,
        overwrite=setting.overwrite, resume=setting.resume, progress=setting.progress,
    )  # fmt: skip
    return read(model, runs, name, setting.sampling)


def _equal(
    found: Found, folder: Path, batches: Sequence[int], setting: Sampled
) -> tuple[list[Check], list[Study]]:  # fmt: skip
    """What the temperatures in the middle show by other batches; for plain SGD also without BatchNorm."""
    model, name = found.model, found.variant
    if name != "sgd":
        return _trend(model.with_(splits=MANY), folder, batches, name, setting)
    equal = _by_batch(model, folder, batches, name, setting)
    equal = dict(sorted({**equal, int(model.batches[0]): part(found.curve, digits.MIDDLE)}.items()))
    told = [telling.collapsed(equal, name, "equal")]
    bare = _by_batch(digits.without_norm(model), folder / UNNORMED, BARE, name, setting)
    told.append(telling.collapsed(bare, f"{name} without BatchNorm", UNNORMED))
    true = _found(setting, digits.with_true_labels(model), folder / CLEAN, name)
    return [
        *checks.together([equal[batch] for batch in equal if batch >= _LEAST], f"B of {_LEAST} or more"),
        *checks.together(list(bare.values()), "no BatchNorm"),
        checks.clean(part(found.curve, digits.ENDS), true.curve),
    ], told


def _trend(
    model: Model, folder: Path, batches: Sequence[int], name: str, setting: Sampled
) -> tuple[list[Check], list[Study]]:  # fmt: skip
    """What momentum changes at equal temperatures, beside plain SGD by the same batches on the same data sets."""
    moved = _by_batch(model, folder, batches, name, setting)
    plain = _by_batch(model, folder / PLAIN, batches, "sgd", setting)
    told = [telling.collapsed(moved, name, "equal"), telling.collapsed(plain, "sgd by the same batches", PLAIN)]
    return checks.trending(list(moved.values()), list(plain.values())), told


def _by_batch(model: Model, folder: Path, batches: Sequence[int], name: str, setting: Sampled) -> dict[int, Curve]:
    """The curves of a model at the temperatures in the middle by other batches."""
    return {
        batch: _found(setting, digits.at_batch(model, batch, digits.MIDDLE), folder / f"batch-{batch}", name).curve
        for batch in batches
    }


def _batches(model: Model, name: str) -> Sequence[int]:
    """The other batches by which a model is run: the digits' network at its own temperatures."""
    whole = model.name == "mlp" and list(model.rates) == list(digits.MODELS["mlp"].rates)
    return BATCHES.get(name, ()) if whole else ()


LAWS = ("sgd", "momentum", "cosine")  # the variants whose pages make G4 to G7


def laws(setting: Sampled, *, tell: Tell = lambda stage, seconds: None) -> list[Path]:
    """Run G1 to G7 with the pages of the digits' network; return the folders of all pages, that of the laws last.

    Raises OutputExistsError, before anything runs, where a run is there and may not be replaced.
    """
    from mdnet.experiments.data_averaging import theory, thermostats

    model, folder = digits.MODELS["mlp"], setting.out / "laws"
    for name in LAWS:
        _refuse(setting, model, name)
    stages, pages = Stages(tell), dict[str, Page]()
    with stages("thermostats at T"):
        beside = thermostats.study(folder, seed=setting.seed, overwrite=setting.replaces, progress=setting.progress)
    with stages("theory, G1 to G3"):
        known = theory.study(setting.seed)
    for name in LAWS:
        constant = pages["sgd"].found if name == "cosine" else None
        with stages(f"page of {name}"):
            pages[name] = reproduce(model, name, setting, constant=constant, tell=tell)
    every = [*known.checks, *(check for page in pages.values() for check in page.checks)]
    table, told = telling.laws(every)
    unclaimed = [check for check in known.checks if not check.name.startswith(tuple(telling.SUBJECTS))]
    studies = [*told, replace(known, checks=unclaimed), beside]
    results.write(folder, "Data averaging: the laws", table, [], [beside.caption], studies, seconds=stages.seconds)
    trajectories.report.write([folder], folder)
    return [*(page.folder for page in pages.values()), folder]


def _folder(setting: Sampled, model: Model, name: str) -> Path:
    return setting.out / f"{model.name}-{name}-{setting.sampling}"


def _refuse(setting: Sampled, model: Model, name: str) -> None:
    folder, batches = _folder(setting, model, name), _batches(model, name)
    several = [CLEAN, *(f"{place}batch-{batch}" for place in ("", f"{PLAIN}/") for batch in batches)]
    several += [f"{UNNORMED}/batch-{batch}" for batch in BARE]
    for place in [*places(model, folder / RUN), *places(model, folder / CONSTANT), *(folder / one for one in several)]:
        if not setting.replaces:
            refuse_existing(place)
