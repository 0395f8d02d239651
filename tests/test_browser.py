"""Law: a report opens in a browser on a phone and on a screen, light and dark, without a word of complaint."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mdnet.cli import app
from trajectories import report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed, so no page can be opened"),
]
WIDTHS = (390, 1200)
RUN = """
[network]
name = "mlp"
hidden = [4]
[data]
name = "sine"
train = 30
[system]
replicas = 8
prior = {{ kind = "gaussian", variance = 1.0, temperature = 0.01 }}
[integrator]
scheme = "BAOAB"
dt = 0.1
[thermostat]
name = "langevin"
temperature = {temperature}
friction = 1.0
[run]
steps = 4000
seed = {seed}
[report]
scalars = 10
frames = 20
evaluate = 20
predictions = 50
velocity = true
force = true
"""
ALWAYS = {
    "Energy and loss",
    "Temperature",
    "Kinetic energy against its law",
    "Conserved quantity",
    "Autocorrelation",
    "Block averages",
    "Spectral density",
    "Mean squared displacement",
    "Velocities: correlation and vibrations",
    "Distances between replicas",
    "Overlap of replicas",
    "Principal components",
    "Diffusion map",
    "Ensemble prediction",
    "Temperatures side by side",
    "Equipartition by layer",
}
MORE = {
    "plain": {"Entropy by its estimators"},
    "ladder": {"Prediction at any temperature", "Energy and heat capacity", "Free energy and entropy"},
    "both": {"Averages of each run"},
}

# the page tells its parent, a frame as wide as a phone (a window cannot be), what it measures of itself
MEASURE = """
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline';
script-src 'unsafe-inline'">
<script>
const complaints = [];
addEventListener("error", event => complaints.push(String(event.message)), true);
addEventListener("securitypolicyviolation", event => complaints.push("asked for " + event.blockedURI));
addEventListener("load", () => {
  const box = node => { const b = node.getBoundingClientRect(); return [b.left, b.right, b.width, b.height]; };
  const style = (what, which) => getComputedStyle(document.querySelector(what))[which];
  const measured = {
    width: innerWidth, wide: document.documentElement.scrollWidth, complaints,
    figures: [...document.querySelectorAll("figure")].map(figure => ({
      title: figure.querySelector("h3").textContent, caption: figure.querySelector("figcaption").textContent,
      box: box(figure.querySelector("svg")), paths: figure.querySelectorAll("svg path").length,
      outside: [...figure.querySelectorAll("svg text")].filter(text => {
        const b = text.getBoundingClientRect(), f = figure.getBoundingClientRect();
        return b.left < f.left || b.right > f.right || b.top < f.top || b.bottom > f.bottom;
      }).map(text => text.textContent) })),
    scrolls: [...document.querySelectorAll("table")].map(table => box(table.parentElement)),
    dangling: [...document.querySelectorAll("nav a")].map(link => link.getAttribute("href"))
      .filter(anchor => !document.getElementById(anchor.slice(1))),
    requests: performance.getEntriesByType("resource").map(entry => entry.name),
    paper: style("body", "backgroundColor"), ink: style("body", "color"),
    curve: style("svg path[style*='--blue']", "stroke"),
  };
  parent.postMessage(JSON.stringify(measured), "*");
});
</script>
</head>
"""
FRAME = """<!doctype html><meta name="color-scheme" content="light dark"><iframe src="{page}" style="width: {width}px;
height: 900px; border: 0"></iframe><pre id="measured"></pre><script>
addEventListener("message", event => document.getElementById("measured").textContent = event.data);</script>"""


def opened(page: Path, *, width: int, dark: bool) -> tuple[dict, list[str]]:
    """What a browser measures of a page, and what it says on its console."""
    copy, frame = page.with_name("measured.html"), page.with_name("frame.html")
    copy.write_text(page.read_text(encoding="utf-8").replace("</head>", MEASURE, 1), encoding="utf-8")
    frame.write_text(FRAME.format(page=copy.name, width=width), encoding="utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
        "--host-resolver-rules=MAP * 127.0.0.1:9", f"--user-data-dir={page.parent / 'profile'}",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--window-size={width + 100},1000",
        "--virtual-time-budget=5000", "--dump-dom", frame.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="measured">(.+?)</pre>', done.stdout, flags=re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def simulated(folder: Path, **values) -> Path:
    folder.mkdir()
    file = folder / "run.toml"
    file.write_text(RUN.format(**values))
    done = CliRunner().invoke(app, ["run", str(file), "--out", str(folder / "out")])
    assert done.exit_code == 0, done.output
    return folder / "out"


@pytest.fixture(scope="module")
def pages(tmp_path_factory, seed) -> dict[str, Path]:
    """The page of a run at one temperature, of a ladder of four, and of both side by side."""
    root = tmp_path_factory.mktemp("pages")
    plain = simulated(root / "plain", temperature=0.01, seed=1 + seed)
    ladder = simulated(root / "ladder", temperature=[0.005, 0.005, 0.01, 0.01, 0.02, 0.02, 0.04, 0.04], seed=2 + seed)
    runs = {"plain": [plain], "ladder": [ladder], "both": [plain, ladder]}
    return {name: report.write(ones, root / name / "page" / "report.html") for name, ones in runs.items()}


@pytest.mark.parametrize("name", ["plain", "ladder", "both"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_opens(pages, name, width, dark):
    found, console = opened(pages[name], width=width, dark=dark)
    assert found["width"] == width
    assert found["wide"] <= width  # no scrolling sideways
    assert console == []
    assert found["complaints"] == found["requests"] == found["dangling"] == []
    assert {figure["title"] for figure in found["figures"]} >= ALWAYS | MORE[name]
    for figure in found["figures"]:
        left, right, wide, high = figure["box"]
        assert 0 <= left < right <= width, figure["title"]
        assert min(wide, high) > 0.4 * min(width, 450), figure["title"]
        assert figure["paths"] > 5, figure["title"]
        assert len(figure["caption"]) > 20, figure["title"]
        assert figure["outside"] == [], figure["title"]
    assert found["scrolls"]
    assert all(0 <= left < right <= width for left, right, *_ in found["scrolls"])
    paper, ink = (brightness(found[one]) for one in ("paper", "ink"))
    assert (paper < 60 and ink > 200) if dark else (paper > 240 and ink < 60)
    assert found["curve"] == ("rgb(86, 180, 233)" if dark else "rgb(0, 114, 178)")


def brightness(colour: str) -> float:
    """Mean of red, green and blue of "rgb(1, 2, 3)"."""
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / 3


def test_the_browser_would_complain(tmp_path, pages):
    """Control: a picture from the network, a script that breaks, and a wide table are all noticed."""
    broken = '<img src="http://example.org/a.png"><script>nothing.there()</script><div style="width: 2000px">x</div>'
    page = tmp_path / "page" / "report.html"
    page.parent.mkdir()
    page.write_text(pages["plain"].read_text(encoding="utf-8").replace("</body>", f"{broken}</body>"), encoding="utf-8")
    found, console = opened(page, width=390, dark=False)
    assert found["wide"] >= 2000
    assert any("nothing is not defined" in line for line in console)
    assert any("example.org" in one for one in found["complaints"])
