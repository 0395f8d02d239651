"""The report of a sweep of learning rates: states by rate instead of averages over replicas that differ."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import mse_loss

import mdnet as md
import trajectories
from integrators import SGD
from mdnet.networks import unit_linear
from trajectories.report import sections, sweep_figures
from trajectories.report.drawing import Missing

RATES, SEEDS, STEPS = (0.02, 0.06, 0.18, 0.4), 4, 500


def swept(folder, *, entropy=True, rates=RATES, points=30):
    rows = torch.tensor([[1.0, 0.0, 0.2], [-0.5, 0.75**0.5, 0.2], [-0.5, -(0.75**0.5), 0.2]])
    replicas = len(rates) * SEEDS
    system = md.ParticleSystem(unit_linear(3, 1), mse_loss, rows, torch.zeros(3, 1), replicas=replicas)
    rate = torch.tensor(rates).repeat_interleave(SEEDS)[:, None]
    looks = md.log_spaced(STEPS, points)
    reporters = [md.Scalars(looks), md.NoiseLevel(looks, batches=2)]
    reporters += [md.GraphEntropy([STEPS], samples=150, stride=3, k=20, dimension=2)] if entropy else []
    told = {"sweep": {"rate": rate.flatten().tolist(), "seed": list(range(SEEDS)) * len(rates)}}
    method = SGD(system.minibatch(1), rate, radius=1.0)
    start = torch.tensor([[0.1, 0.1, 1.0]]).expand(replicas, 3)
    simulation = md.Simulation(
        system, method, positions=start, reporters=reporters, parameters=told, output=folder, seed=1
    )
    simulation.run(STEPS, progress=False)
    return folder


def test_the_page_shows_states_by_rate_and_no_average_over_all(tmp_path):
    with trajectories.open(swept(tmp_path)) as run:
        assert [section.title for section in sections.sections(run)] == ["The run", "Sweep of learning rates"]
        table = sweep_figures.states(run)
        assert table.columns == ("rate", "U", "S", "SNR", "U drifts")
        assert [row[0] for row in table.rows] == ["0.02", "0.06", "0.18", "0.4"]
        for draw in (sweep_figures.by_rate, sweep_figures.temperature, sweep_figures.signal):
            assert draw(run).svg.startswith("<svg")
    page = trajectories.report.write([tmp_path], tmp_path).read_text()
    assert "Temperature by rate" in page
    assert "Averages and their convergence" not in page


@pytest.mark.parametrize(("options", "draw", "why"), [
    ({"entropy": False}, "temperature", "no entropy was recorded"),
    ({"rates": (0.1, 0.1, 0.2)}, "by_rate", "a higher rate than the one before"),
    ({"points": 5}, "states", "eight tell a stationary value"),
])  # fmt: skip
def test_what_cannot_be_drawn_says_why(tmp_path, options, draw, why):
    with trajectories.open(swept(tmp_path, **options)) as run, pytest.raises(Missing, match=why):
        getattr(sweep_figures, draw)(run)
