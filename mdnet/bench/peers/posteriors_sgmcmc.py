"""The samplers of posteriors (torch), with the gradient on all data; one replica is compiled, more are vectorised."""

from __future__ import annotations

from typing import Any

import numpy as np
import posteriors
import torch
from torch.nn import functional

from .pipe import Counter
from .problem import Array, Problem

Tree = dict[str, torch.Tensor]


class Sampler:
    """A transform of posteriors under way; its parameters are a dictionary of tensors (replicas, *shape)."""

    packages = ("torch", "posteriors")

    def __init__(self, problem: Problem, build: Any, momenta: Tree, count: Counter | None) -> None:
        torch.set_num_threads(problem.threads)
        transform = build(
            log_posterior(problem, count),
            problem.dt,
            problem.friction,
            temperature=problem.temperature,
            momenta=momenta,
        )
        self.problem, self.state = problem, transform.init(tree(problem, problem.q))
        compiled = len(problem.q) == 1 and count is None
        self._update = torch.compile(transform.update) if compiled else transform.update

    def advance(self) -> None:
        """Advance by the problem's steps."""
        for _ in range(self.problem.steps):
            self.state, _ = self._update(self.state, ())

    def positions(self) -> Array:
        """Return where the particles are, (replicas, dof)."""
        values, q = np.empty_like(self.problem.q), self.state.params
        for k, (weight, bias, _) in enumerate(self.problem.layers()):
            values[:, weight], values[:, bias] = q[f"weight{k}"].flatten(1), q[f"bias{k}"]
        return values


def baoa(problem: Problem, count: Counter | None) -> Sampler:
    """BAOA, conjugate to BAOAB: its momenta start half a kick earlier, so that its positions are those of BAOAB."""
    slopes = torch.func.grad(lambda q: log_posterior(problem, None)(q, ())[0])(tree(problem, problem.q))
    momenta = {name: p - problem.dt / 2 * slopes[name] for name, p in tree(problem, problem.p).items()}
    return Sampler(problem, posteriors.sgmcmc.baoa.build, momenta, count)


def sghmc(problem: Problem, count: Counter | None) -> Sampler:
    """Stochastic-gradient Hamiltonian Monte Carlo, Euler's method."""
    return Sampler(problem, posteriors.sgmcmc.sghmc.build, tree(problem, problem.p), count)


def log_posterior(problem: Problem, count: Counter | None) -> Any:
    """Return (parameters, batch) -> (-U of all replicas, nothing), which tells `count` whenever it is evaluated."""
    x, y = torch.as_tensor(problem.x), torch.as_tensor(problem.y)
    last, one, classes = len(problem.sizes) - 2, len(problem.q) == 1, problem.classes

    def loss(q: Tree) -> torch.Tensor:
        h = x
        for k in range(last + 1):
            h = functional.linear(h, q[f"weight{k}"], q[f"bias{k}"])
            h = torch.tanh(h) if k < last else h
        return functional.cross_entropy(h, y) if classes else functional.mse_loss(h, y)

    def evaluate(q: Tree, batch: object) -> tuple[torch.Tensor, torch.Tensor]:
        if count is not None:
            count()
        if one:
            return -loss({name: x[0] for name, x in q.items()}), torch.empty(0)
        return -torch.vmap(loss)(q).sum(), torch.empty(0)  # of a sum, each replica has its own gradient

    return evaluate


def tree(problem: Problem, values: Array) -> Tree:
    """Return positions or momenta (replicas, dof) by tensor."""
    flat, parts = torch.as_tensor(values), {}
    for k, (weight, bias, shape) in enumerate(problem.layers()):
        parts[f"weight{k}"] = flat[:, weight].reshape(-1, *shape).clone()
        parts[f"bias{k}"] = flat[:, bias].clone()
    return parts
