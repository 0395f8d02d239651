"""Law: the noise that is told of a minibatch's gradient is the noise that it has."""

import pytest
import torch
from systems import LinearNetwork, Z, deviation
from test_force import PRIORS, mse, system
from torch import nn

from mdnet.gradient_noise import gradient_noise
from mdnet.priors import GaussianPrior
from mdnet.system import ParticleSystem

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
ROWS, SCALE = 40, 3.0


def regression(**options):
    """y ~ w x + b with targets (n, 1): rows' gradients 2 r (x, 1) of the residual r."""
    x, y = torch.randn(ROWS, 3, dtype=torch.float64), torch.randn(ROWS, 1, dtype=torch.float64)
    options = {"scale": SCALE, "dtype": torch.float64, "prior": GaussianPrior(0.5)} | options
    return ParticleSystem(nn.Linear(3, 1), mse, x, y, replicas=2, **options)


def test_it_is_the_closed_form_of_linear_regression():
    particles = regression()
    q = torch.randn(2, 4, dtype=torch.float64)
    noise = gradient_noise(particles, q, size=5)
    x = torch.cat([particles.inputs, torch.ones(ROWS, 1, dtype=torch.float64)], 1)
    for replica in range(2):
        rows = SCALE * 2 * (x @ q[replica, :, None] - particles.targets) * x  # (n, 4)
        mean, variance = rows.mean(0), rows.var(0, correction=0)
        by_tensor = torch.stack([variance[:3].sum(), variance[3]])
        torch.testing.assert_close(noise.variance[replica], by_tensor, **CLOSE)
        torch.testing.assert_close(
            noise.squared[replica], torch.stack([mean[:3].square().sum(), mean[3] ** 2]), **CLOSE
        )
        torch.testing.assert_close(noise.total[replica], variance.sum(), **CLOSE)
        torch.testing.assert_close(noise.noise_scale[replica], variance.sum() / mean.square().sum(), **CLOSE)
    assert noise.names == ("weight", "bias")
    assert not noise.error.any()
    assert not noise.noise_scale_error.any()
    torch.testing.assert_close(noise.of_batch(), noise.variance / 5, **CLOSE)
    torch.testing.assert_close(noise.of_batch(8, replace=False), noise.variance / 8 * (ROWS - 8) / (ROWS - 1), **CLOSE)
    assert not noise.of_batch(ROWS, replace=False).any()


def by_tensor(particles, values):
    return torch.stack([part.sum(-1) for part in values.split(list(particles.sizes), -1)], -1)


@pytest.mark.parametrize("replace", [True, False], ids=["replaced", "distinct"])
@pytest.mark.parametrize("prior", ["number", "box"])
def test_the_minibatch_force_has_the_noise_that_is_told(prior, replace):
    """For a network with two layers, in independent draws of many replicas at one place."""
    particles = system(replicas=1, prior=PRIORS[prior])
    q = particles.positions(seed=1) + 0.3 * torch.randn(1, particles.dof, dtype=torch.float64)
    noise = gradient_noise(particles, q, size=4)
    many = system(replicas=1, prior=PRIORS[prior]).minibatch(4, replace=replace)(q.expand(4000, -1))[1]
    drawn = by_tensor(particles, (many - particles.force(q)[1]).square())
    assert deviation(drawn, noise.of_batch(replace=replace)[0]) < Z


def test_sampled_batches_are_unbiased_with_honest_errors():
    particles = LinearNetwork(2).system
    q = torch.randn(2, 8, dtype=torch.float64)
    exact = gradient_noise(particles, q, size=6)
    several = [gradient_noise(particles, q, size=6, batches=50, seed=seed) for seed in range(60)]
    for name in ("variance", "total", "noise_scale"):
        assert deviation(torch.stack([getattr(one, name) for one in several]), getattr(exact, name)) < Z
    for name, error in (("variance", "error"), ("noise_scale", "noise_scale_error")):
        spread = torch.stack([getattr(one, name) for one in several]).std(0)
        told = torch.stack([getattr(one, error) for one in several]).mean(0)
        assert (told / spread - 1).abs().max() < Z / (2 * 59) ** 0.5  # the error of a standard deviation


class Apart(nn.Module):
    """Two parameters; a row of zero and one sees one of them."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor(0.0))

    def forward(self, x):
        return self.a * x[:, 0] + self.b * x[:, 1]


def test_the_error_of_the_sum_knows_that_tensors_vary_together():
    """A row's gradient has length two in one tensor or the other: the sum is certain, the parts are not."""
    x, y = torch.eye(2).repeat(4, 1), torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(2)
    particles = ParticleSystem(Apart(), mse, x, y)
    noise = gradient_noise(particles, torch.zeros(1, 2), size=1, batches=30)
    assert noise.total.item() == pytest.approx(4, rel=1e-6)
    assert noise.total_error.item() < 1e-6
    assert noise.error.min() > 0.1


def test_the_seed_draws_the_batches_and_leaves_the_callers_stream():
    particles, q = regression(), torch.randn(2, 4, dtype=torch.float64)
    before = torch.get_rng_state()
    first, again, other = (gradient_noise(particles, q, size=4, batches=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.variance, again.variance)
    assert not torch.equal(first.variance, other.variance)


def test_data_of_each_replica():
    index = torch.stack([torch.randperm(ROWS)[:20] for _ in range(2)])
    whole = regression()
    own = ParticleSystem(
        nn.Linear(3, 1), mse, whole.inputs, whole.targets, replicas=2, scale=SCALE, dtype=torch.float64, index=index
    )
    q = torch.randn(2, 4, dtype=torch.float64)
    noise = gradient_noise(own, q, size=4)
    assert noise.rows == 20
    for i, rows in enumerate(index):
        alone = ParticleSystem(
            nn.Linear(3, 1), mse, whole.inputs[rows], whole.targets[rows], scale=SCALE, dtype=torch.float64
        )
        torch.testing.assert_close(gradient_noise(alone, q[i : i + 1], size=4).variance[0], noise.variance[i], **CLOSE)


def test_rows_in_pieces_are_the_same(monkeypatch):
    particles, q = regression(), torch.randn(2, 4, dtype=torch.float64)
    whole = gradient_noise(particles, q, size=4)
    monkeypatch.setenv("MDNET_MEMORY", "4000")
    torch.testing.assert_close(gradient_noise(particles, q, size=4).variance, whole.variance, **CLOSE)


def test_the_table():
    particles = regression()
    noise = gradient_noise(particles, torch.randn(2, 4, dtype=torch.float64), size=5)
    lines = str(noise).splitlines()
    assert [line.split()[0] for line in lines] == ["tensor", "weight", "bias", "all", "noise"]
    assert float(lines[3].split()[2]) == pytest.approx(noise.total.mean().item(), rel=1e-3)
    assert f"{noise.noise_scale.mean():.4g}" in lines[-1]
    assert "nan" in str(gradient_noise(particles, torch.randn(2, 4, dtype=torch.float64), size=ROWS + 1))


def test_what_cannot_be_told_is_refused():
    q = torch.randn(2, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match="size = 0 must be one or more"):
        gradient_noise(regression(), q, size=0)
    with pytest.raises(ValueError, match="batches = 1 two or more"):
        gradient_noise(regression(), q, size=4, batches=1)
    with pytest.raises(ValueError, match=f"size = 41: .*at most all {ROWS} rows"):
        gradient_noise(regression(), q, size=4).of_batch(41, replace=False)
    normed = system("batch_norm")
    with pytest.raises(ValueError, match=r"layer '1' \(BatchNorm1d\)"):
        gradient_noise(normed, normed.positions(), size=4)
