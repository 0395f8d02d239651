"""Law: pictures of an entropy landscape show the numbers that they were given, and leave blank what is not known."""

from __future__ import annotations

import json
import re
import shutil

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from test_browser import CHROMIUM, WIDTHS, opened

import mdnet as md
import trajectories
from integrators import OBABO, Splitting
from mdnet.experiments.landscape import figures, lines
from mdnet.experiments.results import Study
from mdnet.figures import LINES, Line, save
from mdnet.landscape import BiasedForce, LogLoss, OneOverT, Recorded, Table, WangLandau
from mdnet.reporters import Scalars
from thermostats import Langevin
from trajectories import report
from trajectories.landscape.axes import Axis
from trajectories.landscape.landscape import Landscape
from trajectories.report import landscape_figures, visit_figures
from trajectories.report.drawing import STYLE, Missing
from trajectories.report.maps import coarsened, coloured
from trajectories.report.sections import sections

X, Y = Axis("ln L_train", -2.0, 0.0, 40), Axis("ln L_test", -1.0, 1.0, 20)
LEVELS = np.array([-1.6, -1.2, -0.8])
WALKERS, LEARN, STEPS, WRITE = 24, 400, 1200, 100
TITLES = {
    "Entropy of both variables",
    "Entropy and its slope",
    "Visits",
    "Two halves of the run",
    "Kinetic temperature by bin",
    "Round trips",
}


@pytest.fixture
def rng(seed):
    return np.random.default_rng(seed)


def ridged(rng, copies=3):
    """S = 10 x - 8 (y - x/4)^2 with a little noise, blank where it is 6 k_B below its ridge."""
    x, y = np.meshgrid(X.centres, Y.centres, indexing="ij")
    s = 10 * x - 8 * (y - x / 4) ** 2
    tables = np.where(s > 10 * x - 6, s + 0.1 * rng.normal(size=(copies, *s.shape)), -np.inf)
    return Landscape((X, Y), tables, None, "made up")


def area(axes, x=1.0, y=1.0):
    """The area of the coloured cells of a map, in cells of this size."""
    corners = [patch.get_path().vertices.reshape(-1, 5, 2) for patch in axes.patches]
    return sum(np.prod(one[:, 2] - one[:, 0], axis=1).sum() for one in corners) / (x * y)


def line_of(figure, label):
    """The numbers of the line with a label, (2, points)."""
    for axes in figure.axes:
        for container in axes.containers:
            if container.get_label() == label:
                return container.lines[0].get_xydata().T
        for line in axes.lines:
            if line.get_label() == label:
                return line.get_xydata().T
    raise AssertionError(f"no line is called {label}")


def bars_of(figure, label):
    """The half lengths of the error bars of a line (points,)."""
    container = next(c for axes in figure.axes for c in axes.containers if c.get_label() == label)
    segments = [np.asarray(one) for one in container.lines[2][0].get_segments()]
    return np.array([one[1, 1] - one[0, 1] for one in segments]) / 2


def test_a_map_fills_known_cells_and_no_others(rng, tmp_path):
    """The coloured area is that of the finite bins, brighter is higher, and nothing is an embedded picture."""
    values = np.where(rng.random((40, 20)) < 0.7, rng.normal(size=(40, 20)), -np.inf)
    values[:, 0] = 1.0  # so that the axes show all
    with mpl.rc_context(STYLE):
        figure = Figure()
        axes = figure.subplots()
        coloured(axes, X.edges, Y.edges, values, "S")
    assert area(axes, X.width, Y.width) == pytest.approx(np.isfinite(values).sum())
    low, high = (
        np.unravel_index(f(np.where(np.isfinite(values), values, 0)), values.shape) for f in (np.argmin, np.argmax)
    )
    shades = []
    for i, j in (low, high):
        inside = [p for p in axes.patches if p.get_path().contains_point((X.centres[i], Y.centres[j]))]
        shades.append(sum(inside[0].get_facecolor()[:3]))
        assert len(inside) == 1
    assert shades[1] > shades[0] + 0.5
    assert "<image" not in save(figure, tmp_path / "map.svg").read_text()


def test_a_map_of_one_value_is_drawn():
    with mpl.rc_context(STYLE):
        axes = Figure().subplots()
        coloured(axes, X.edges, Y.edges, np.where(np.eye(40, 20) > 0, 0.0, np.nan), "S")
    assert area(axes, X.width, Y.width) == pytest.approx(20)


def test_a_map_puts_bins_together_only_where_they_are_many(rng):
    found = ridged(rng)
    assert coarsened(found).axes == found.axes
    fine = Landscape((Axis("x", 0, 1, 1000), Axis("y", 0, 1, 331)), rng.normal(size=(1, 1000, 331)))
    small = coarsened(fine)
    assert [axis.bins for axis in small.axes] == [125, 331]  # 331 is prime
    assert (small.axes[0].low, small.axes[0].high) == (0, 1)


def test_a_landscape_shows_its_lines_as_they_were_given(rng, tmp_path):
    found = ridged(rng)
    crest = np.where(X.centres > -1.8, X.centres / 4, np.nan)
    given = {
        "ridge": Line("ridge", X.centres, crest),
        "equilibrium": Line("equilibrium", X.centres, crest + 0.1, np.full(40, 0.02)),
        "trained": Line("trained", LEVELS, LEVELS / 4 + 2, [0.1, 0.2, 0.3]),
        "ladder": Line("ladder", LEVELS, LEVELS / 4, [0.01, 0.02, np.nan]),
    }
    paths = [(np.linspace(-3, 0, 9), rng.normal(size=9)) for _ in range(70)]
    plot = figures.landscape(found, **(given | {"trained": [given["trained"]]}), paths=paths)
    for line in given.values():
        np.testing.assert_array_equal(line_of(plot.figure, line.label), [line.x, line.y])
    np.testing.assert_allclose(bars_of(plot.figure, "trained"), [0.1, 0.2, 0.3])
    axes = plot.figure.axes[0]
    assert area(axes, X.width, Y.width) == pytest.approx(np.isfinite(found.mean()).sum())
    assert axes.get_ylim()[1] > 1.8  # the trained networks lie above all that was visited, and are seen
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("ln L_train", "ln L_test")
    assert "k_B" in plot.figure.axes[1].get_ylabel()
    assert "60 of 70 trained" in plot.caption
    assert "Not drawn" not in plot.caption
    assert "<image" not in save(plot.figure, tmp_path / "map.svg").read_text()


def test_a_landscape_alone_says_what_is_missing(rng, tmp_path):
    plot = figures.landscape(ridged(rng, copies=1))
    assert "1 independent table," in plot.caption
    assert "ridge; equilibrium; trained networks; independent ladder" in plot.caption
    save(plot.figure, tmp_path / "map.svg")
    with pytest.raises(ValueError, match="two variables"):
        figures.landscape(ridged(rng).marginal())


def test_two_methods_are_drawn_with_their_difference(tmp_path):
    """Bins that one of them does not know are gaps: -inf and nan are no numbers of a picture."""
    x = X.centres[:6]
    one = Line("exact", x, [1.0, 2.0, -np.inf, 4.0, 5.0, 6.0])
    other = Line("sampled", x, [1.1, 2.0, -np.inf, 4.0, np.nan, 6.0], np.full(6, 0.1))
    off = Line("sampled − exact", x, [0.1, 0.0, np.nan, 0.0, np.nan, -0.3], np.full(6, 0.2))
    plot = figures.agreement(one, other, off, x="ln L", y="S", allowed=0.5)
    upper, lower = plot.figure.axes
    np.testing.assert_array_equal(line_of(plot.figure, "exact")[1], [1, 2, np.nan, 4, 5, 6])
    np.testing.assert_array_equal(line_of(plot.figure, "sampled − exact")[1], off.y)
    assert (upper.get_ylabel(), lower.get_ylabel(), lower.get_xlabel()) == ("S  [k_B]", "difference  [k_B]", "ln L")
    assert "at most 0.3 k_B in 4 bins" in plot.caption
    save(plot.figure, tmp_path / "two.svg")
    nothing = figures.agreement(one, other, off._replace(y=np.full(6, np.nan)), x="ln L", y="S")
    assert "no bin is known to both" in nothing.caption


def test_many_points_have_a_band_for_bars():
    x = np.linspace(0, 1, 100)
    line = Line("S", x, x, np.full(100, 0.1))
    axes = Figure().subplots()
    lines.measured(axes, line, 0)
    band = axes.collections[0].get_paths()[0].get_extents()
    assert (band.ymin, band.ymax) == pytest.approx((-0.1, 1.1))
    assert not axes.containers[0].has_yerr


def test_the_advantage_is_drawn_by_width_and_by_points():
    cells = {(30, 100): (0.2, 0.03), (100, 100): (0.1, 0.02), (30, 200): (0.15, 0.04), (100, 200): (np.nan, np.nan)}
    plot = figures.advantage(cells, metric="ln L_test", at="ln L_train = -2")
    by_width, by_points = plot.figure.axes
    for axes, label, x, y, error in (
        (by_width, "N = 100", [30, 100], [0.2, 0.1], [0.03, 0.02]),
        (by_width, "N = 200", [30], [0.15], [0.04]),
        (by_points, "W = 30", [100, 200], [0.2, 0.15], [0.03, 0.04]),
    ):
        found = next(c for c in axes.containers if c.get_label() == label)
        np.testing.assert_array_equal(found.lines[0].get_xydata().T, [x, y])
        lengths = [np.ptp(np.asarray(one)[:, 1]) / 2 for one in found.lines[2][0].get_segments()]
        np.testing.assert_allclose(lengths, error)
        assert any(not line.get_ydata(orig=False).any() for line in axes.lines), "no line of zero"
    assert "W = 100, N = 200" in plot.caption
    assert "Not drawn" in figures.advantage({(30, 100): (np.nan, 0.1)}, metric="ln L_test", at="-2").caption


def test_the_gap_of_random_networks_has_its_zero():
    line = Line("W = 30", [50, 100], [0.3, 0.1], [0.05, 0.04])
    plot = figures.counter_evidence([line], metric="test error")
    np.testing.assert_array_equal(line_of(plot.figure, "W = 30"), [line.x, line.y])
    np.testing.assert_allclose(bars_of(plot.figure, "W = 30"), line.error)
    assert line_of(plot.figure, "no difference")[1] == pytest.approx(0)


def test_residuals_of_an_exact_table_are_zero(rng):
    """S = 5 ln U + constant leaves nothing of it; noise of .2 is found again; an empty table is left out."""
    x = np.linspace(-3, 0, 400)
    exact = 5 * x + np.array([[0.0], [3.0], [-np.inf]])
    exact[0, 3] = -np.inf
    noise = np.where(np.arange(400) % 2, 0.2, -0.2) * np.array([[0.0], [1.0], [1.0]])
    plot = figures.residuals(x, exact + noise, dof=10, allowed=0.1)
    rms = [float(number) for number in re.search(r"Rms by table (.+) k_B", plot.caption)[1].split(", ")]
    assert rms == pytest.approx([0, 0.2], abs=1e-3)
    mean = line_of(plot.figure, "mean of the tables")
    np.testing.assert_allclose(mean[1][4:], noise[1][4:] / 2, atol=1e-2)
    one = figures.residuals(x, exact[:1], dof=10, allowed=0.1)
    np.testing.assert_allclose(np.delete(line_of(one.figure, "mean of the tables")[1], 3), 0, atol=1e-12)


def test_an_error_that_falls_as_the_root_of_time_lies_on_its_line():
    t = np.geomspace(1e3, 1e6, 7)
    plot = figures.error_by_time(t, np.array([[2.0], [0.5]]) * t**-0.5 * 10)
    mean, guide = line_of(plot.figure, "mean over tables"), line_of(plot.figure, "∝ t^(−1/2)")
    np.testing.assert_allclose(mean[1], 12.5 * t**-0.5)
    np.testing.assert_allclose(guide, mean)
    assert "t^(-0.50)" in plot.caption
    slower = figures.error_by_time(t, t[None] ** -0.25)
    assert "t^(-0.25)" in slower.caption


def test_lines_are_told_apart_by_colour_mark_and_dash():
    axes = Figure().subplots()
    for k in range(len(LINES) + 1):
        lines.measured(axes, Line(str(k), [0, 1], [0, 1]), k)
    looks = {(one.get_color(), one.get_marker(), one.get_markerfacecolor()) for one in axes.lines}
    assert len(looks) == len(LINES) + 1


# ---- the section of a run -----------------------------------------------------------------------------------


def walked(folder, seed, *, steps=STEPS, copies=2, record=True):
    """Walkers in a harmonic potential of four dimensions fill a table of ln L, and count ln L of other rows."""
    dof, axis = 4, Axis.of_width("ln L_train", -2.0, 0.5, 0.1)
    rows = torch.eye(dof, dtype=torch.float64) * (dof / 2) ** 0.5
    system = md.ParticleSystem(
        torch.nn.Linear(dof, 1, bias=False), torch.nn.functional.mse_loss, rows, torch.zeros(dof, 1),
        replicas=WALKERS, prior=md.Box(2.0), dtype=torch.float64,
    )  # fmt: skip
    force = BiasedForce(system, [LogLoss(system, "ln L_train")], Table([axis], WALKERS, copies=copies, sigma=2))
    scales = torch.linspace(0.5, 1.5, dof, dtype=torch.float64)[:, None]
    other = LogLoss(system, "ln L_test", inputs=rows * scales, targets=torch.zeros(dof, 1))
    counted = [Recorded(Axis.of_width("ln L_test", -5.0, 3.0, 0.2), other)] if record else []
    action = WangLandau(OneOverT(0.1, 50, 100), LEARN, every=2, record=counted, write=WRITE)
    q = torch.nn.functional.normalize(torch.randn(WALKERS, dof, dtype=torch.float64))
    simulation = md.Simulation(
        system, Splitting(OBABO, force, 0.05, Langevin(1.0, 1.0)), positions=q, seed=1 + seed, actions=[action],
        reporters=[Scalars(500)], output=folder,
    )  # fmt: skip
    simulation.run(steps)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory, seed):
    root = tmp_path_factory.mktemp("landscapes")
    torch.manual_seed(seed)
    return {
        "counted": walked(root / "counted", seed),
        "alone": walked(root / "alone", seed, copies=1, record=False),
        "learning": walked(root / "learning", seed, steps=LEARN),
    }


@pytest.fixture
def drawn(monkeypatch):
    """Keeps the figures of the report instead of making SVG of them."""
    kept = []

    def render(draw, name, *, panels=1, height=None):
        figure = Figure()
        draw(*figure.subplots(panels, 1, squeeze=False).ravel())
        kept.append(figure)
        return "<svg/>"

    for module in (landscape_figures, visit_figures):
        monkeypatch.setattr(module, "render", render)
    return kept


def test_only_a_run_with_a_table_has_the_section(runs, tmp_path):
    with trajectories.open(runs["counted"]) as run:
        section = next(one for one in sections(run) if one.anchor == "landscape")
        assert set(section.items) == TITLES | {"Convergence of the table"}
    with trajectories.Writer.create(
        tmp_path / "t.h5", table=[("w", (2,), 0)], replicas=1, masses=np.ones(2), parameters={}
    ):
        pass
    with trajectories.open(tmp_path / "t.h5") as run:
        assert not [one for one in sections(run) if one.anchor == "landscape"]


def test_the_convergence_of_a_run_is_told_in_words(runs):
    with trajectories.open(runs["counted"]) as run:
        table = landscape_figures.convergence(run)
    assert {row[0] for row in table.rows} == {
        "flatness",
        "round trips",
        "halves",
        "temperature",
        "acceptance",
        "beyond",
    }
    assert all(row[4] in {"holds", "fails", "too little"} for row in table.rows)
    with trajectories.open(runs["learning"]) as run:
        assert {row[4] for row in landscape_figures.convergence(run).rows} == {"too little"}


def test_visits_and_temperatures_of_a_run_are_those_of_its_file(runs, drawn):
    with trajectories.open(runs["counted"]) as run:
        visit_figures.visits(run)
        visit_figures.warmth(run)
        counts = run.learnt["landscape/visits"].values[-1].sum(-1)  # (tables, bins)
        kinetic = run.learnt["landscape/kinetic"].values[-1]
    steps = [patch.get_data().values for patch in drawn[0].axes[0].patches]
    np.testing.assert_allclose(steps, counts / counts.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(line_of(drawn[1], "2K / (N_f T) ± 1 se")[1], kinetic.sum(0) / counts.sum(0))


def test_halves_of_a_run_are_its_two_halves(runs, drawn):
    with trajectories.open(runs["alone"]) as run:
        visit_figures.halves(run)
        weights, steps = run.learnt["landscape/weights"].values[:, 0], run.learnt["landscape/entropy"].steps
    middle = weights[list(steps).index((LEARN + STEPS) // 2)]
    expected = np.log(middle / (weights[-1] - middle))
    line = line_of(drawn[0], "each copy of the table")[1]
    known = np.isfinite(line)
    assert known.sum() > 10
    np.testing.assert_allclose(line[known], expected[known] - expected[known].mean(), atol=1e-9)


def test_round_trips_begin_with_production(runs, drawn):
    with trajectories.open(runs["counted"]) as run:
        visit_figures.trips(run)
        tested, steps = run.learnt["landscape/tested"].values[:, 2], run.learnt["landscape/tested"].steps
    shown = [line.get_xydata() for line in drawn[0].axes[0].lines[:-1]]
    begin = list(steps).index(LEARN)
    assert len(shown) == 2
    for table, line in enumerate(shown):
        np.testing.assert_array_equal(line[:, 0], steps[begin:])
        np.testing.assert_allclose(line[:, 1], (tested[begin:, table] - tested[begin, table]) / (WALKERS / 2))


def test_entropy_and_map_of_a_run_are_those_of_its_landscape(runs, drawn):
    with trajectories.open(runs["counted"]) as run:
        found = trajectories.landscape.of_run(run)
        told = landscape_figures.surface(run).caption
        caption = landscape_figures.entropy(run).caption
    mean = trajectories.landscape.equilibrium(found).mean
    np.testing.assert_array_equal(line_of(drawn[0], "equilibrium ± 1 se")[1], mean)
    known = np.isfinite(found.mean()).sum()
    assert area(drawn[0].axes[0], *(axis.width for axis in found.axes)) == pytest.approx(known)
    assert "2 independent tables" in told
    np.testing.assert_array_equal(line_of(drawn[1], "S ± 1 se")[1], found.marginal().mean())
    assert "temperature 1/S'(L)" in caption


def test_one_copy_has_no_error_and_says_so(runs, drawn):
    with trajectories.open(runs["alone"]) as run:
        caption = landscape_figures.entropy(run).caption
        with pytest.raises(Missing, match="second variable"):
            landscape_figures.surface(run)
    assert "there is one copy" in caption
    assert not [one for axes in drawn[0].axes for one in axes.collections]  # no band


def test_few_bins_have_an_entropy_without_a_slope(runs, drawn, monkeypatch):
    of_file = landscape_figures._landscape
    monkeypatch.setattr(landscape_figures, "_landscape", lambda history: of_file(history).marginal().coarse(5))
    with trajectories.open(runs["counted"]) as run:
        assert "5 bins are too few" in landscape_figures.entropy(run).caption
    assert len(drawn[0].axes) == 1


def test_a_run_that_still_learns_shows_what_it_has(runs):
    with trajectories.open(runs["learning"]) as run:
        items = next(one for one in sections(run) if one.anchor == "landscape").items
        assert "learnt only" in items["Entropy and its slope"](run).caption
        for title in TITLES - {"Entropy and its slope"}:
            with pytest.raises(Missing, match="has not begun to count"):
                items[title](run)


# ---- in a browser -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory, seed):
    """The page of an experiment with two of its pictures, and a run with a landscape."""
    folder = tmp_path_factory.mktemp("experiment")
    rng = np.random.default_rng(seed)
    trained = Line("trained", LEVELS, LEVELS / 4 + 1.5, [0.1, 0.1, 0.1])
    ridge = Line("ridge", X.centres, X.centres / 4)
    plots = [
        figures.landscape(ridged(rng), ridge=ridge, trained=[trained]),
        figures.advantage({(30, 100): (0.2, 0.1), (100, 100): (0.1, 0.1)}, metric="ln L_test", at="-2"),
    ]
    run = shutil.copytree(runs["counted"], folder / "run")
    study = Study("landscape", "Landscape", ["what"], [["S"]], "made up", plots=plots).write(run)
    (run / "results.json").write_text(json.dumps({"title": "Landscape", "studies": [study]}))
    return report.write([run], folder / "page" / "report.html")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed, so no page can be opened")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_with_a_landscape_opens(page, width, dark):
    found, console = opened(page, width=width, dark=dark)
    assert found["wide"] <= width
    assert console == found["complaints"] == found["requests"] == found["dangling"] == []
    shown = {figure["title"]: figure for figure in found["figures"]}
    assert set(shown) >= TITLES | {"Entropy over ln L_train and ln L_test", "High-entropy advantage at -2"}
    for title, figure in shown.items():
        left, right, wide, high = figure["box"]
        assert 0 <= left < right <= width, title
        assert min(wide, high) > 0.4 * min(width, 450), title
        assert figure["paths"] > 5, title
        assert figure["outside"] == [], title
        assert len(figure["caption"]) > 20, title
