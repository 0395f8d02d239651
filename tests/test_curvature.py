"""Laws of curvature: closed forms, products that are the whole matrix, and spectra that are those of the matrix."""

from __future__ import annotations

import pytest
import torch
from systems import LinearNetwork, Z
from torch import nn
from torch.nn import functional

import mdnet as md
from mdnet import curvature

EXACT = {"rtol": 1e-9, "atol": 1e-11}


def network(kind="regression", *, replicas=2, own=False, prior=None, rows=7, **options):
    """A small network in double precision, each replica with rows of its own where `own`."""
    x = torch.randn(3 * rows, 2, dtype=torch.float64)
    y = torch.randn(3 * rows, 3, dtype=torch.float64) if kind == "regression" else torch.randint(3, (3 * rows,))
    index = torch.stack([torch.randperm(3 * rows)[:rows] for _ in range(replicas)]) if own else None
    loss = functional.mse_loss if kind == "regression" else functional.cross_entropy
    particles = md.ParticleSystem(
        md.networks.mlp(2, 3, (4,)),
        loss,
        x,
        y,
        replicas=replicas,
        index=index,
        prior=prior,
        dtype=torch.float64,
        **options,
    )
    return particles, particles.positions(seed=int(torch.randint(10_000, ()))) * 1.5


def whole(product, q):
    """The matrix (replicas, dof, dof) from its products with all unit vectors."""
    unit = torch.eye(q.shape[1], dtype=q.dtype)[:, None].expand(-1, len(q), -1)
    return product(unit).permute(1, 0, 2)


def test_linear_regression_has_its_closed_form():
    """Law: G + K is the stiffness of the Gaussian posterior, with a loss scale and a prior."""
    exact = LinearNetwork(2)
    q = torch.randn(2, 8, dtype=torch.float64)
    prior = torch.diag(exact.system.stiffness)
    for matrix in (curvature.gauss_newton_matrix(exact.system, q), whole(curvature.gauss_newton(exact.system, q), q)):
        for one in matrix:
            torch.testing.assert_close(one + prior, exact.stiffness, **EXACT)
    for one in whole(curvature.hessian(exact.system, q), q):
        torch.testing.assert_close(one, exact.stiffness, **EXACT)


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own-rows"])
@pytest.mark.parametrize("kind", ["regression", "classes"])
def test_products_are_the_whole_matrix(kind, own):
    """Law: G v by forward and backward passes is A^T A v, symmetric and positive."""
    particles, q = network(kind, own=own, scale=3.0)
    matrix = curvature.gauss_newton_matrix(particles, q)
    product = curvature.gauss_newton(particles, q)
    torch.testing.assert_close(whole(product, q), matrix, **EXACT)
    v = torch.randn_like(q)
    torch.testing.assert_close(product(v), (matrix @ v[..., None])[..., 0], **EXACT)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-12


@pytest.mark.parametrize("route", ["eager", "module"])
@pytest.mark.parametrize("prior", [md.GaussianPrior(0.5), md.Box(0.3)], ids=["prior", "box"])
def test_the_hessian_is_the_slope_of_the_force(prior, route):
    """Law: H v is the central difference of -f along v, mirrors of a box included."""
    particles, q = network(prior=prior, scale=2.0, route=route)
    v, h = torch.randn_like(q), 1e-5
    slope = (particles.force(q - h * v)[1] - particles.force(q + h * v)[1]) / (2 * h)
    torch.testing.assert_close(curvature.hessian(particles, q)(v), slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ["regression", "classes"])
def test_in_a_box_both_ways_to_the_matrix_agree(kind):
    particles, q = network(kind, prior=md.Box(0.3))
    assert (q.abs() > 0.3).any()
    product = curvature.gauss_newton(particles, q)
    torch.testing.assert_close(whole(product, q), curvature.gauss_newton_matrix(particles, q), **EXACT)


def test_it_is_the_hessian_where_the_rows_are_interpolated():
    """Law: H - G, the residuals times the network's curvature, vanishes where the targets are the outputs."""
    particles, q = network(replicas=1)
    away = whole(curvature.hessian(particles, q), q) - curvature.gauss_newton_matrix(particles, q)
    targets = particles.output(q, particles.inputs)[0]
    there = md.ParticleSystem(particles.network, particles.loss, particles.inputs, targets, dtype=torch.float64)
    torch.testing.assert_close(whole(curvature.hessian(there, q), q), curvature.gauss_newton_matrix(there, q), **EXACT)
    assert away.abs().max() > 1e-2


def test_it_is_the_true_fisher_matrix_and_not_the_empirical_one():
    """Law: G of cross-entropy is the mean over rows of the expectation of g g^T over the model's own classes."""
    particles, q = network("classes", replicas=1)
    rows = len(particles.inputs)
    log_p = particles.output(q, particles.inputs)[0].log_softmax(-1)

    def outer(row, target):
        gradient = torch.func.grad(particles.mean_loss)(q[0], particles.inputs[row, None], target[None])
        return torch.outer(gradient, gradient)

    true = sum(log_p[r, c].exp() * outer(r, torch.tensor(c)) for r in range(rows) for c in range(3)) / rows
    empirical = sum(outer(r, particles.targets[r]) for r in range(rows)) / rows
    matrix = curvature.gauss_newton_matrix(particles, q)[0]
    torch.testing.assert_close(matrix, true, **EXACT)
    assert (matrix - empirical).norm() > 0.1 * matrix.norm()


def test_the_spectrum_of_a_factor_is_that_of_its_matrix():
    for shape in ((5, 9), (12, 9)):
        factor = torch.randn(shape, dtype=torch.float64)
        expected = torch.linalg.eigvalsh(factor.T @ factor).flip(0)
        torch.testing.assert_close(curvature.spectrum(factor), expected, rtol=1e-10, atol=1e-12)


def symmetric(dof, replicas=2):
    a = torch.randn(replicas, dof, dof, dtype=torch.float64)
    matrix = a + a.mT
    return matrix, lambda v: (matrix @ v[..., None])[..., 0]


def test_lanczos_finds_all_eigenvalues_in_dof_steps():
    """Law: its last residual is zero and its values are those of the matrix, also where the matrix has few."""
    matrix, product = symmetric(12)
    found = curvature.lanczos(product, torch.randn(2, 12, dtype=torch.float64), 12)
    torch.testing.assert_close(found.values, torch.linalg.eigvalsh(matrix).flip(-1), **EXACT)
    assert found.residuals.max() < 1e-10
    few = torch.diag(torch.tensor([3.0, 3.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64))  # its space ends in 3 steps
    values = curvature.lanczos(lambda v: v @ few, torch.randn(4, 6, dtype=torch.float64), 6).values
    torch.testing.assert_close(values, few.diagonal().expand(4, -1), rtol=0, atol=1e-9)


def test_lanczos_finds_the_top_of_a_network_soon():
    """Law: the largest eigenvalues of G in fewer steps than dof, each as near as its residual says."""
    particles, q = network("classes", rows=40)
    exact = torch.linalg.eigvalsh(curvature.gauss_newton_matrix(particles, q)).flip(-1)
    found = curvature.lanczos(curvature.gauss_newton(particles, q), torch.randn_like(q), 14)
    torch.testing.assert_close(found.values[:, :3], exact[:, :3], rtol=1e-6, atol=1e-9)
    nearest = (found.values[..., None] - exact[:, None]).abs().amin(-1)
    assert (nearest <= found.residuals + 1e-10).all()
    assert found.residuals.max() > 1e-6  # the others have not converged, and say so


def test_the_trace_is_unbiased_with_an_honest_error():
    """Law: Hutchinson's mean lies within its standard errors of the trace, and they are the spread of such means."""
    matrix, product = symmetric(20)
    exact = matrix.diagonal(dim1=1, dim2=2).sum(-1)
    runs = [curvature.trace(product, torch.zeros(2, 20, dtype=torch.float64), probes=30, seed=s) for s in range(80)]
    values, errors = (torch.stack(x) for x in zip(*runs, strict=True))
    assert ((values.mean(0) - exact).abs() / (values.std(0) / 80**0.5)).max() < Z
    assert (errors.mean(0) / values.std(0) - 1).abs().max() < Z / (2 * 79) ** 0.5


def test_the_spectral_density_has_the_moments_of_each_probe():
    """Law: sum_k w_k x_k^m = z^T G^m z/dof up to m = 2 steps - 1, and its mean over probes is near the trace."""
    matrix, product = symmetric(20)
    q = torch.zeros(2, 20, dtype=torch.float64)
    density = curvature.spectral_density(product, q, steps=3, probes=200, seed=int(torch.randint(1000, ())))
    for power in range(1, 6):
        exact = torch.linalg.matrix_power(matrix, power).diagonal(dim1=1, dim2=2).sum(-1) / 20
        value, error = density.mean(lambda x, m=power: x**m)
        assert ((value - exact).abs() / error).max() < Z
    first, error = curvature.trace(product, q, probes=200, seed=3)
    same = curvature.spectral_density(product, q, steps=3, probes=200, seed=3).mean(lambda x: x)
    torch.testing.assert_close(same[0] * 20, first, **EXACT)
    torch.testing.assert_close(same[1] * 20, error, **EXACT)
    x = torch.linspace(-40, 40, 4001, dtype=torch.float64)
    torch.testing.assert_close(density.at(x, 0.5).sum(-1) * 0.02, torch.ones(2, dtype=torch.float64))


def test_sloppy_modes_are_those_that_the_prior_bounds():
    values = torch.tensor([[4.0, 1.0, 0.01, 0.0], [2.0, 1e-4, 0.0, 0.0]], dtype=torch.float64)
    assert curvature.sloppy_share(values, stiffness=0.02).tolist() == [0.5, 0.75]
    assert curvature.sloppy_share(values, stiffness=torch.tensor([[0.001], [3.0]])).tolist() == [0.25, 1.0]
    assert curvature.sloppy_share(values, below=1e-3).tolist() == [0.25, 0.75]
    torch.testing.assert_close(
        curvature.effective_parameters(values, 1.0),
        0.5 * values.new_tensor([1.6 + 1 + 0.02 / 1.01, 4 / 3 + 2e-4 / 1.0001]),
    )
    for options in ({}, {"stiffness": 1.0, "below": 0.1}, {"below": 0.0}, {"stiffness": -1.0}):
        with pytest.raises(ValueError, match=r"must be positive|give one of them"):
            curvature.sloppy_share(values, **options)


def test_what_has_no_curvature_by_rows_is_told():
    particles, q = network()
    total = md.ParticleSystem(
        particles.network, lambda o, y: ((o - y) ** 2).sum(), particles.inputs, particles.targets, dtype=torch.float64
    )
    with pytest.raises(ValueError, match="no factor"):
        next(curvature.factors(total, q[:1]))
    waves = md.ParticleSystem(
        nn.Linear(2, 3), lambda o, y: torch.cos(3 * (o - y)).mean(), particles.inputs, particles.targets,
        dtype=torch.float64,
    )  # fmt: skip
    with pytest.raises(ValueError, match="not convex"):
        next(curvature.factors(waves, torch.zeros(1, 9, dtype=torch.float64)))
    with pytest.raises(ValueError, match="steps = 0"):
        curvature.lanczos(lambda v: v, q, 0)
    with pytest.raises(ValueError, match="probes = 1"):
        curvature.trace(lambda v: v, q, probes=1)
