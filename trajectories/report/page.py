"""report.html: the pictures and numbers of one or several runs in a single file that needs nothing else."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trajectories.errors import NotATrajectory, TrajectoryError
from trajectories.report import info
from trajectories.report.drawing import Missing, Picture, for_page
from trajectories.storage import parameters as settings
from trajectories.storage.reader import Trajectory

RESULTS = "results.json"
_GOOD = ("pass", "passed", "ok", "yes", "holds", "agrees", "confirmed", "reproduced", "true")
_BAD = ("fail", "failed", "no", "violated", "disagrees", "refuted", "not reproduced", "false")


def write(runs: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> Path:
    """Write one self-contained HTML page about ``runs`` and return its path.

    Args:
        runs: run folders or .h5 files. A folder's ``results.json`` is shown first: {"title": text, "columns": [text],
            "rows": [[...]], "checks": [{"name", "expectation", "measured", "verdict"}], "notes": [text],
            "figures": [{"title", "file": an .svg in the folder, "caption"}]}; all optional.
        out: the .html file, or a folder in which ``report.html`` is written.

    A figure whose data were not recorded is replaced by the reason. Images are inline SVG; the page asks nothing of
    the network.

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
    page = environment.get_template("report.html").render(runs=[_section(Path(run)) for run in runs])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, encoding="utf-8")
    return target


def _section(path: Path) -> dict[str, Any]:
    """Collect what the template shows of one run."""
    folder = path if path.is_dir() else path.parent
    results = _results(folder)
    section: dict[str, Any] = {"name": folder.resolve().name, "results": results, "problem": None, "figures": []}
    try:
        with Trajectory(path) as run:
            section["name"] = folder.resolve().name if run.path.name == "trajectory.h5" else run.path.name
            section["figures"] = [_figure(title, draw, run) for title, draw in _drawn(run).items()]
            section["parameters"] = {
                name: settings.shorten(value) for name, value in settings.flatten(run.parameters).items()
            }
        section["info"] = info.summary(path)
    except NotATrajectory as error:
        if not results:
            raise
        section["problem"] = None if results["figures"] else str(error)
    section["figures"] += [_drawn_before(folder, figure) for figure in results.get("figures", [])]
    return section


def _drawn_before(folder: Path, figure: dict[str, str]) -> dict[str, Any]:
    """A picture that lies in the folder as SVG."""
    from markupsafe import Markup

    path = folder / figure["file"]
    try:
        svg = for_page(path.read_text(encoding="utf-8"), path.stem)
    except (OSError, ValueError) as error:
        return {"title": figure["title"], "missing": f"Not shown, {path} cannot be read: {error}"}
    return {"title": figure["title"], "svg": Markup(svg), "caption": figure.get("caption", ""), "wide": True}


def _drawn(run: Trajectory) -> dict[str, Callable[[Trajectory], Picture]]:
    from trajectories.report import prediction_figures, run_figures, tempering_figures

    return {
        "Energy and loss": run_figures.loss,
        "Temperature": run_figures.temperature,
        "Kinetic energy against its law": run_figures.kinetic,
        "Conserved quantity": run_figures.conserved,
        "Ensemble prediction": prediction_figures.prediction,
        **tempering_figures.drawn(run),
    }


def _figure(title: str, draw: Callable[[Trajectory], Picture], run: Trajectory) -> dict[str, str]:
    """Draw one figure; whatever goes wrong becomes the text in its place, for a picture never fails a report."""
    from markupsafe import Markup

    try:
        picture = draw(run)
    except Missing as reason:
        return {"title": title, "missing": f"Not shown: {reason}."}
    except Exception as error:
        return {"title": title, "missing": f"Not shown, it could not be drawn: {type(error).__name__}: {error}"}
    return {"title": title, "svg": Markup(picture.svg), "caption": picture.caption}


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
    return {"title": "Results", "columns": [], "rows": [], "checks": [], "notes": [], "figures": []} | found


def _cell(value: Any) -> str:
    """Text of a table cell: numbers to four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else str(value)


def _judged(verdict: Any) -> str:
    """Class of a verdict for its colour: good, bad or open; its wording is always shown, too."""
    word = str(verdict).strip().lower()
    if word.startswith(_BAD):
        return "bad"
    return "good" if word.startswith(_GOOD) else "open"
