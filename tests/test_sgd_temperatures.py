"""The temperatures of SGD: each measure against exact answers on the toy, and the comparison as a whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from systems import Z

import trajectories
from mdnet.experiments.free_energy import temperatures, toy
from mdnet.experiments.free_energy.temperature_comparison import same_energy
from mdnet.experiments.free_energy.temperature_measures import along, curved, distance, moments, principal
from mdnet.experiments.free_energy.temperature_problems import PROBLEMS, Span, toy_law
from mdnet.experiments.free_energy.temperature_runs import Sampled, Where, langevin
from mdnet.recording import OutputExistsError

TOY = PROBLEMS["toy"]
STEP = 1e-4


@pytest.fixture
def system():
    return TOY.model.system(1)


def canonical(frames, replicas, temperature):
    """Exact samples of e^{-U/T} on the sphere (frames, replicas, 3), by rejection from the cap near the poles."""
    rate, count = toy.CURVATURE / 2 / temperature, frames * replicas
    kept = torch.empty(0, dtype=torch.float64)
    while len(kept) < count:  # the density of x = 1 - |z| is exp(-rate (2 x - x^2)), below exp(-rate x)
        x = torch.empty(2 * count, dtype=torch.float64).exponential_(rate)
        kept = torch.cat([kept, x[(x < 1) & (torch.rand(len(x)) < torch.exp(-rate * (x - x**2)))]])
    z = (1 - kept[:count]) * (torch.randint(0, 2, (count,)) * 2 - 1)
    angle, rho = 2 * torch.pi * torch.rand(count, dtype=torch.float64), torch.sqrt(1 - z**2)
    return torch.stack([rho * angle.cos(), rho * angle.sin(), z], -1).reshape(frames, replicas, 3)


def hessian(system, q):
    """H at q (dof,) by automatic differentiation."""
    return torch.autograd.functional.hessian(lambda w: system.mean_loss(w, system.inputs, system.targets), q)


def standard(top, bottom, temperature):
    """How many standard errors top/bottom, of replicas (..., replicas), is away from T."""
    away = top - temperature * bottom
    return np.abs(away.mean(-1) / (away.std(-1, ddof=1) / away.shape[-1] ** 0.5))


def test_the_laplacian_on_the_sphere_is_the_flat_one(system):
    """Law: U less its mean is a harmonic of degree 2, so that the Laplace-Beltrami operator multiplies it by -6."""
    q = torch.nn.functional.normalize(torch.randn(5, 7, 3, dtype=torch.float64), dim=-1)
    found = moments(system.minibatch(1), q, draws=3, step=STEP)
    np.testing.assert_allclose(found.laplacian, -6 * (found.energy - 1 / 3), atol=1e-6)


def test_differences_are_second_derivatives(system):
    """Law: v.H v of directional differences equals that of automatic differentiation, whatever the length of v."""
    q, v = torch.randn(2, 4, 3, dtype=torch.float64)
    exact = torch.stack([each @ hessian(system, w) @ each for w, each in zip(q, v, strict=True)])
    torch.testing.assert_close(curved(system, q, v, STEP), exact, rtol=1e-5, atol=1e-6)


def test_minibatches_give_the_mean_gradient_and_its_noise(system):
    """Law: <g.g_B> = |g|^2, and E|xi|^2, E xi.H xi are those of the three rows."""
    q = torch.nn.functional.normalize(torch.tensor([0.3, -0.2, 1.0], dtype=torch.float64), dim=0)
    found = moments(system.minibatch(1), q.repeat(1, 4000, 1), draws=4, step=STEP)
    rows = torch.stack(
        [torch.func.grad(system.mean_loss)(q, x[None], torch.zeros(1, 1, dtype=q.dtype)) for x in system.inputs]
    )
    xi = rows - rows.mean(0)
    bent = hessian(system, q)
    exact = {
        "descent": rows.mean(0).square().sum(),
        "bend": torch.einsum("ri,ij,rj->r", rows, bent, rows).mean(),
        "noise": xi.square().sum(-1).mean(),
        "noise_bend": torch.einsum("ri,ij,rj->r", xi, bent, xi).mean(),
    }
    for name, value in exact.items():
        sample = getattr(found, name)
        assert abs(sample.mean() - value.item()) <= Z * sample.std() / len(sample) ** 0.5, name


@pytest.mark.parametrize("temperature", [0.003, 0.3])
def test_canonical_samples_have_one_temperature(system, temperature):
    """Law: <|g|^2> = T <tr H>, and <(v.g)^2> = T <v.H v - (D - 2)(v.w)(v.g)> along any fixed v, near or far."""
    q = canonical(50, 100, temperature)
    force = system.minibatch(1)
    found = moments(force, q, draws=3, step=STEP)
    assert standard(found.slope, found.laplacian, temperature) <= Z
    v = torch.nn.functional.normalize(torch.randn(4, 3, dtype=torch.float64), dim=-1)
    by_direction = along(force, q, v.expand(100, 4, 3), draws=1, step=STEP)
    assert (standard(by_direction.slope, by_direction.bend, temperature) <= Z).all()


def test_the_law_of_the_toy_is_that_of_its_samples(system):
    """Law: the closed distribution function is that of samples drawn otherwise."""
    q = canonical(1, 4000, 0.05)[0]
    energy = system.force.mean_loss(q).numpy()
    assert stats.kstest(energy, lambda u: toy_law(u, 0.05)).pvalue > 1e-6


def test_principal_directions_are_the_stiff_ones(system):
    """Law: at the pole the two stiff directions lie across it, of curvature h, and the third, along it, has none."""
    pole = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).repeat(2, 1, 1)
    v = principal(system, pole, (1, 2, 3), STEP)[0]
    np.testing.assert_allclose(v[:, 2].abs(), [0, 0, 1], atol=1e-6)
    bends = curved(system, pole[0, 0].expand(3, 3), v, STEP)
    np.testing.assert_allclose(bends, [toy.CURVATURE, toy.CURVATURE, 0], atol=1e-6)


def test_p_values_of_correlated_samples_are_not_too_small(seed):
    """Law: of two like autoregressive series, thinned by their inefficiency, a p below 0.05 is no more than chance."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(200, 2, 4, 300))
    series = np.empty_like(noise)
    series[..., 0] = noise[..., 0]
    for k in range(1, 300):
        series[..., k] = 0.8 * series[..., k - 1] + 0.6 * noise[..., k]
    p = np.array([distance(one.T, other.T)[1] for one, other in series])
    assert (p < 0.05).sum() <= stats.binom.ppf(1 - 1e-6, 200, 0.05)
    shifted = [distance(one.T, other.T + 1.0)[1] for one, other in series[:20]]
    assert max(shifted) < 1e-3


@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.8])
def test_the_temperature_of_a_mean_energy_is_found(seed, ratio):
    """Law: samples of e^{-U/T} with <U> = d T/2 are given back their T from runs at others, within its error."""
    rng, d = np.random.default_rng(seed), 20

    def run(t, frames=400):
        return t / 2 * rng.chisquare(d, size=(frames, 1, 16))

    sets = {"one": np.array([1.0]), "other": np.array([6.0]), "none": np.array([np.nan])}
    runs = {name: Sampled(torch.empty(0), run(t[0])) for name, t in sets.items()}
    for name in ("first", "second"):
        found = same_energy(run(ratio, 4000), runs, sets)
        sets[name], runs[name] = found.value, Sampled(torch.empty(0), run(found.value[0], 4000))
    found = same_energy(run(ratio, 4000), runs, sets)
    assert abs(found.z(ratio)[0]) <= Z
    assert found.error[0] < 0.01 * ratio


def test_langevin_dynamics_samples_the_sphere(tmp_path, seed):
    """Law: in flat space, with a prior on |q| alone, directions have the exact mean of U, each replica at its T."""
    short = replace(TOY, langevin=Span(100, 100, 5), dt=0.1)
    start = canonical(1, 100, 0.004)[0].repeat(2, 1, 1)
    run = langevin(short, start, np.array([0.004, 0.03]), "run", Where(tmp_path, seed, False, False))
    energies = toy.LEAST + np.linspace(0, toy.CURVATURE / 2, 100_001)
    for k, temperature in enumerate((0.004, 0.03)):
        exact = toy.LEAST + np.trapezoid(1 - toy_law(energies, temperature), energies)
        means = run.energy[:, k].mean(0)
        assert abs(means.mean() - exact) <= Z * means.std(ddof=1) / len(means) ** 0.5
        assert means.std(ddof=1) / len(means) ** 0.5 < 0.03 * (exact - toy.LEAST)


def shortened(kind):
    """A problem of few steps."""
    problem = PROBLEMS[kind]
    model = replace(problem.model, rates=(0.02, 0.04, 0.08), steps=300, samples=60, stride=2, k=20)
    spans = {name: Span(10, 20, 3) for name in ("isotropic", "langevin")}
    return replace(problem, model=model, looks=(20, 5), frames=4, draws=1, ranks=problem.ranks[:3], middle=1, **spans)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_a_study_says_what_it_found(tmp_path, monkeypatch, kind):
    """A row for each rate, every control and claim, its pictures, numbers for JSON, and runs that can be read."""
    monkeypatch.delenv("MDNET_ROUTE", raising=False)  # hundreds of gradients of digits
    monkeypatch.setitem(PROBLEMS, kind, shortened(kind))
    with np.errstate(all="ignore"):
        found = temperatures.study(kind, folder=tmp_path, seeds=4, progress=False)
    assert [row[0] for row in found.rows] == ["0.02", "0.04", "0.08"]
    assert {len(row) for row in found.rows} == {len(found.columns)}
    assert len(found.checks) == {"toy": 9, "mlp": 8}[kind]
    entry = found.write(tmp_path)
    assert len(entry["figures"]) == len(list(tmp_path.glob("temperatures-*.svg"))) == {"toy": 2, "mlp": 3}[kind]
    with trajectories.open(tmp_path / "temperatures" / kind / "sgd") as file:
        assert list(file.parameters["sweep"]["rate"]) == [rate for rate in (0.02, 0.04, 0.08) for _ in range(4)]
    with pytest.raises(OutputExistsError):
        temperatures.study(kind, folder=tmp_path, seeds=4)


def test_what_cannot_be_studied_is_told(tmp_path):
    """Another kind, and too few seeds, are refused with what is allowed."""
    with pytest.raises(ValueError, match="toy"):
        temperatures.study("convnet", folder=tmp_path)
    with pytest.raises(ValueError, match="4 or more"):
        temperatures.study("toy", folder=tmp_path, seeds=3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", PROBLEMS)
def test_the_claims_hold(tmp_path, monkeypatch, kind):
    """On the toy SGD is Langevin dynamics at small rates and not at large ones; on digits it is at none."""
    monkeypatch.delenv("MDNET_ROUTE", raising=False)
    found = temperatures.study(kind, folder=tmp_path, progress=False)
    assert [(check.name, check.measured) for check in found.checks if not check.holds] == []
