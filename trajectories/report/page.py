"""report.html: the pictures and numbers of one or several runs in a single file that needs nothing else."""

import json
import os
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from trajectories.errors import NotATrajectory, TrajectoryError
from trajectories.report import info
from trajectories.report.drawing import Missing, Picture, Table, for_page
from trajectories.report.reading import name_of
from trajectories.report.sections import biased, sections
from trajectories.storage import parameters as settings
from trajectories.storage.reader import Trajectory

RESULTS = "results.json"
_WIDE = 1.9  # times its height: a picture that needs the whole width of the page
_GOOD = "pass|passed|ok|yes|holds|agrees|confirmed|reproduced|converged|true"
_BAD = "fail|fails|failed|no|violated|disagrees|refuted|not reproduced|not converged|false"


def write(runs: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> Path:
    """Write one self-contained HTML page about ``runs`` and return its path.

    Args:
        runs: run folders or .h5 files. A folder's ``results.json`` is shown first: {"title": text, "columns": [text],
            "rows": [[...]], "checks": [{"name", "expectation", "measured", "verdict"}], "notes": [text],
            "figures": [{"title", "file": an .svg in the folder, "caption"}], "studies": [{"title", "columns", "rows",
            "caption", "figures"}], "runs": [the folders that it is about]}; all optional.
        out: the .html file, or a folder in which ``report.html`` is written.

    A figure whose data were not recorded is left out, and the reason told in a list at the end of the run. Images are
    inline SVG and there is no script; the page asks nothing of the network. Of a large file a bounded number of samples
    and coordinates is read (see `trajectories.report.reading`), which the captions state.

    Raises:
        NotATrajectory: a run holds neither a trajectory nor results.json; ValueError: no run is given.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    if not runs:
        raise ValueError("no run is given: a report needs at least one run folder or .h5 file")
    environment = Environment(
        loader=PackageLoader("trajectories.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["cell"] = _cell
    environment.filters["judged"] = _judged
    target = Path(out)
    if target.suffix.lower() not in (".html", ".htm"):
        target = target / "report.html"
    paths = [Path(run) for run in runs]
    page = environment.get_template("report.html").render(
        runs=[_section(path) for path in paths], comparison=_comparison(paths)
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, encoding="utf-8")
    return target


def _section(path: Path) -> dict[str, Any]:
    """Collect what the template shows of one run."""
    folder = path if path.is_dir() else path.parent
    results = _results(folder)
    shown: dict[str, Any] = {"name": folder.resolve().name, "results": results, "problem": None}
    shown |= {"sections": [], "missing": [], "drawn_before": [], "studies": []}
    try:
        with Trajectory(path) as run:
            shown["name"] = name_of(run)
            shown["about"] = info.about(run)
            shown["parameters"] = {
                name: settings.shorten(value) for name, value in settings.flatten(run.parameters).items()
            }
            for section in sections(run):
                items = [_item(title, draw, run) for title, draw in section.items.items()]
                shown["missing"] += [item for item in items if "missing" in item]
                shown["sections"].append((section, [item for item in items if "missing" not in item]))
    except NotATrajectory as error:
        if not results:
            raise
        shown["problem"] = None if any(results[kind] for kind in ("figures", "runs", "studies")) else str(error)
    shown["sections"] = [(section, items) for section, items in shown["sections"] if items]
    shown["drawn_before"] = _drawn_before(folder, results.get("figures", []), shown["missing"])
    for study in results.get("studies", []):
        table = {"title": "", "table": Table(study["columns"], study["rows"], ""), "caption": study["caption"]}
        pictures = _drawn_before(folder, study.get("figures", []), shown["missing"])
        shown["studies"].append((study["title"], [table, *pictures]))
    return shown


def _drawn_before(
    folder: Path, figures: Sequence[dict[str, str]], missing: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Pictures that lie in the folder as SVG; those that cannot be read join what is missing."""
    from markupsafe import Markup

    found: list[dict[str, Any]] = []
    for figure in figures:
        path = folder / figure["file"]
        try:
            svg = Markup(for_page(path.read_text(encoding="utf-8"), path.stem))
        except (OSError, ValueError) as error:
            missing.append({"title": figure["title"], "missing": f"{path} cannot be read: {error}"})
            continue
        box = re.search(r'viewBox="[\d.]+ [\d.]+ ([\d.]+) ([\d.]+)"', svg)
        wide = box is not None and float(box[1]) > _WIDE * float(box[2])
        found.append({"title": figure["title"], "svg": svg, "caption": figure.get("caption", ""), "wide": wide})
    return found


def _item(title: str, draw: Callable[..., Picture | Table], subject: Any) -> dict[str, Any]:
    """Draw one figure or table; whatever goes wrong becomes the reason why it is missing: it never fails a report."""
    from markupsafe import Markup

    try:
        drawn = draw(subject)
    except (Missing, TrajectoryError, ValueError) as reason:  # too few data: the message says which
        return {"title": title, "missing": str(reason)}
    except Exception as error:
        return {"title": title, "missing": f"it could not be drawn: {type(error).__name__}: {error}"}
    if isinstance(drawn, Table):
        return {"title": title, "table": drawn, "caption": drawn.caption}
    return {"title": title, "svg": Markup(drawn.svg), "caption": drawn.caption}


def _comparison(runs: Sequence[Path]) -> dict[str, Any]:
    """Collect what the template shows of several runs side by side; nothing of those without a trajectory.

    Runs under a bias are left out: they sample no common ensemble whose averages could be compared.
    """
    from trajectories.report import study_figures

    with ExitStack() as stack:
        opened = []
        for path in runs:
            with suppress(NotATrajectory):
                opened.append(stack.enter_context(Trajectory(path)))
        opened = [run for run in opened if not biased(run)]
        if len(opened) < 2:
            return {"items": [], "missing": []}
        items = [_item(title, draw, opened) for title, draw in study_figures.FIGURES.items()]
    return {
        "items": [item for item in items if "missing" not in item],
        "missing": [item for item in items if "missing" in item],
    }


def _results(folder: Path) -> dict[str, Any]:
    """Read results.json of a run folder; {} when there is none."""
    path = folder / RESULTS
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TrajectoryError(f"{path} is not valid JSON: {error}; mend or remove it") from error
    if not isinstance(found, dict):
        raise TrajectoryError(f"{path} must hold an object with title, columns, rows, checks, notes")
    return {
        "title": "Results",
        "columns": [],
        "rows": [],
        "checks": [],
        "notes": [],
        "figures": [],
        "studies": [],
        "runs": [],
    } | found


def _cell(value: Any) -> str:
    """Text of a table cell: numbers to four digits, and none parted from its error by the end of a line."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else str(value).replace(" ± ", "\u00a0±\u00a0")


def _judged(verdict: Any) -> str:
    """Class of a verdict for its colour: good, bad or open; its wording is always shown, too."""
    word = str(verdict).strip().lower()
    if re.match(rf"({_BAD})\b", word):
        return "bad"
    return "good" if re.match(rf"({_GOOD})\b", word) else "open"
