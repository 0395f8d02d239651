"""What the gradients and the curvature of a scale-invariant network say of temperature at given weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from mdnet.minibatch import MinibatchForce
from mdnet.system import ParticleSystem
from trajectories.statistics import inefficiency

Floats = NDArray[np.float64]
_SLACK = 0.1  # of an inefficiency: a sample of 1.1 is as good as independent


@dataclass(frozen=True, eq=False)
class Moments:
    """Averages over frames at unit vectors w, each (replicas,); g = grad U of all data, g_B of a batch, xi = g_B - g.

    By stationarity <U(w - eta g_B)> = <U(w)>, so to second order `descent` = (eta/2) `bend`. In e^{-U/T} on the sphere
    `slope` = T `laplacian`: there the Laplace-Beltrami operator is the flat Laplacian, since U is constant along w.
    """

    energy: Floats  # U
    slope: Floats  # |g|^2
    descent: Floats  # g.g_B
    bend: Floats  # g_B.H g_B
    noise: Floats  # |xi|^2
    noise_bend: Floats  # xi.H xi
    laplacian: Floats  # tr H


@dataclass(frozen=True, eq=False)
class Along:
    """The same along unit vectors v, (directions, replicas), fixed in time; T = slope/bend by direction is canonical:

        <(v.g)^2> = T <v.H v - (D - 2)(v.w)(v.g)>,

    the divergence theorem for the field (v.g) P v on the unit sphere, P = 1 - w w^T; over a basis its sum is Moments'.
    """

    slope: Floats  # (v.g)^2
    bend: Floats  # v.H v - (D - 2)(v.w)(v.g)
    noise: Floats  # (v.xi)^2


def gradient(system: ParticleSystem, q: Tensor) -> Tensor:
    """Return grad U (..., dof) on all data, without the prior, at q (..., dof)."""
    return system.force.slope(q.reshape(-1, q.shape[-1]))[1].reshape(q.shape)


def curved(system: ParticleSystem, q: Tensor, v: Tensor, step: float) -> Tensor:
    """Return v.H v (...) at q (..., dof), from gradients `step` to either side along v (..., dof).

    Differences see what second derivatives miss: the jumps of the gradient where a rectifier turns on.
    """
    length = v.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(v.dtype).tiny)
    along = v / length
    change = gradient(system, q + step * along) - gradient(system, q - step * along)
    bent: Tensor = (change * along).sum(-1) * length[..., 0].square() / (2 * step)
    return bent


def moments(force: MinibatchForce, q: Tensor, *, draws: int, step: float) -> Moments:
    """Return the averages at q (frames, replicas, dof), |q| = 1, over `draws` minibatches and as many random probes.

    `step`: of the differences that curvature is taken from. Where draws is dof or more, tr H is a sum over the axes.
    """
    system, dof = force.system, q.shape[-1]
    g = gradient(system, q)
    sums = {name: torch.zeros(q.shape[:2], dtype=q.dtype) for name in ("descent", "bend", "noise", "noise_bend")}
    for _ in range(draws):
        drawn = force.slope(q.reshape(-1, dof))[1].reshape(q.shape)
        xi = drawn - g
        sums["descent"] += (g * drawn).sum(-1)
        sums["bend"] += curved(system, q, drawn, step)
        sums["noise"] += xi.square().sum(-1)
        sums["noise_bend"] += curved(system, q, xi, step)
    probes = list(torch.eye(dof, dtype=q.dtype)) if draws >= dof else [None] * draws
    trace = torch.zeros(q.shape[:2], dtype=q.dtype)
    for probe in probes:
        z = torch.randint(0, 2, q.shape).to(q.dtype) * 2 - 1 if probe is None else probe.expand_as(q)
        trace += curved(system, q, z, step) * (1 / draws if probe is None else 1)
    energy = system.force.mean_loss(q.reshape(-1, dof)).reshape(q.shape[:2])
    averages = {"energy": energy, "slope": g.square().sum(-1), "laplacian": trace}
    averages |= {name: total / draws for name, total in sums.items()}
    return Moments(**{name: value.double().mean(0).numpy() for name, value in averages.items()})


def along(force: MinibatchForce, q: Tensor, v: Tensor, *, draws: int, step: float) -> Along:
    """Return the averages at q (frames, replicas, dof), |q| = 1, along unit vectors v (replicas, directions, dof)."""
    system, dof = force.system, q.shape[-1]
    g = gradient(system, q)
    slope = torch.einsum("frd,rkd->kfr", g, v)
    place = torch.einsum("frd,rkd->kfr", q, v)
    bend = torch.stack([curved(system, q, v[:, k].expand_as(q), step) for k in range(v.shape[1])])
    noise = torch.zeros_like(slope)
    for _ in range(draws):
        xi = force.slope(q.reshape(-1, dof))[1].reshape(q.shape) - g
        noise += torch.einsum("frd,rkd->kfr", xi, v).square() / draws
    found = slope.square(), bend - (dof - 2) * place * slope, noise
    return Along(*(value.double().mean(1).numpy() for value in found))


def principal(system: ParticleSystem, q: Tensor, ranks: tuple[int, ...], step: float) -> Tensor:
    """Return eigenvectors (replicas, directions, dof) of the mean of H over frames q (frames, replicas, dof).

    `ranks`: which, 1 the stiffest.
    """
    dof = q.shape[-1]
    axes = torch.eye(dof, dtype=q.dtype)
    chosen = []
    for replica in range(q.shape[1]):
        total = torch.zeros(dof, dof, dtype=q.dtype)
        for w in q[:, replica]:
            total += (gradient(system, w + step * axes) - gradient(system, w - step * axes)) / (2 * step)
        vectors = torch.linalg.eigh((total + total.T) / 2).eigenvectors
        chosen.append(vectors[:, [dof - rank for rank in ranks]].T)
    return torch.stack(chosen)


def decorrelated(values: Floats) -> Floats:
    """Return values (frames, seeds) thinned to one in every statistical inefficiency, flat; at least one per seed."""
    every = min(math.ceil(inefficiency(values) - _SLACK), len(values))
    return values[every - 1 :: every].ravel()


def distance(one: Floats, other: Floats) -> tuple[float, float]:
    """Return the Kolmogorov-Smirnov distance of two samples (frames, seeds), and its p-value on decorrelated ones."""
    near = stats.ks_2samp(decorrelated(one), decorrelated(other))
    return float(stats.ks_2samp(one.ravel(), other.ravel()).statistic), float(near.pvalue)
