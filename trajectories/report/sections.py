"""What the report shows of a run, question by question: the one list of its figures and tables."""

from collections.abc import Callable
from typing import NamedTuple

from trajectories.report.drawing import Picture, Table
from trajectories.storage.reader import Trajectory

Draw = Callable[[Trajectory], Picture | Table]


class Section(NamedTuple):
    """Figures and tables, by title, that answer one question."""

    anchor: str
    title: str
    items: dict[str, Draw]


def sections(run: Trajectory) -> list[Section]:
    """List the sections of a run; a function that has nothing to draw raises `Missing` when called."""
    from trajectories.report import landscape_figures, sweep_figures, tempering_figures

    if sweep_figures.swept(run):
        return [
            Section("run", "The run", _run()),
            Section("sweep", "Sweep of learning rates", dict(sweep_figures.drawn(run))),
        ]
    if biased(run):
        return [
            Section("run", "The run", {name: draw for name, draw in _run().items() if name != "Conserved quantity"}),
            Section("landscape", "Entropy landscape", dict(landscape_figures.drawn(run))),
        ]
    listed = [
        Section("run", "The run", _run()),
        Section("statistics", "Statistics", _statistics()),
        Section("weights", "Weights", _weights()),
        Section("ensemble", "Ensemble", _ensemble()),
        Section("thermodynamics", "Thermodynamics", _thermodynamics(run)),
        Section("entropy", "Entropy", _entropy()),
        Section("tempering", "Tempering", dict(tempering_figures.drawn(run))),
    ]
    return [section for section in listed if section.items]


def biased(run: Trajectory) -> bool:
    """Whether a run sampled under a bias that it learnt: averages over it are none of a canonical ensemble."""
    return "landscape" in run.parameters


def _run() -> dict[str, Draw]:
    from trajectories.report import run_figures

    return {
        "Energy and loss": run_figures.loss,
        "Temperature": run_figures.temperature,
        "Kinetic energy against its law": run_figures.kinetic,
        "Conserved quantity": run_figures.conserved,
    }


def _statistics() -> dict[str, Draw]:
    from trajectories.report import statistics_figures

    return {
        "Averages and their convergence": statistics_figures.convergence,
        "Autocorrelation": statistics_figures.autocorrelation,
        "Block averages": statistics_figures.blocks,
        "Spectral density": statistics_figures.spectrum,
    }


def _weights() -> dict[str, Draw]:
    from trajectories.report import shape_figures, weights_figures

    return {
        "Mean squared displacement": weights_figures.displacement,
        "Velocities: correlation and vibrations": weights_figures.vibrations,
        "Distances between replicas": shape_figures.distances,
        "Overlap of replicas": shape_figures.overlap,
        "Principal components": shape_figures.components,
        "Diffusion map": shape_figures.diffusion_map,
    }


def _ensemble() -> dict[str, Draw]:
    from trajectories.report import ensemble_figures, prediction_figures, tables

    return {
        "Scores": tables.scores,
        "Ensemble prediction": prediction_figures.prediction,
        "Away from the test set": ensemble_figures.novelty,
        "Prediction at any temperature": ensemble_figures.at_temperatures,
    }


def _thermodynamics(run: Trajectory) -> dict[str, Draw]:
    from trajectories.report import tables, thermodynamics_figures

    return {"Laws of the canonical ensemble": tables.checks, **thermodynamics_figures.drawn(run)}


def _entropy() -> dict[str, Draw]:
    from trajectories.report import entropy_figures

    return {"Entropy by its estimators": entropy_figures.entropy}
