"""BlackJAX's stochastic-gradient Hamiltonian Monte Carlo, with the gradient on all data: one call is one block."""

from __future__ import annotations

from typing import Any

import blackjax
import jax

from .jax_network import Blocks, State, force, placed, replicas
from .pipe import Counter
from .problem import Problem


class _Trajectory(Blocks):
    packages = ("jax", "blackjax")

    def __init__(self, problem: Problem, state: State, call: Any) -> None:
        super().__init__(problem, state, lambda state: state, 0)
        self._run = jax.jit(call)


def sghmc(problem: Problem, count: Counter | None) -> Blocks:
    """blackjax.sghmc of as many integration steps as a block has; it draws new momenta at the start of each call."""
    evaluate = force(problem, count)
    kernel = blackjax.sghmc(lambda q, _: evaluate(q)[1], problem.steps, problem.friction)

    def call(state: State) -> State:
        q, key = state
        key, drawn = jax.random.split(key)
        return kernel.step(drawn, q, (), problem.dt, problem.temperature), key

    key = jax.random.PRNGKey(0)
    keys = key if len(problem.q) == 1 else jax.random.split(key, len(problem.q))
    return _Trajectory(problem, (placed(problem, problem.q), keys), replicas(problem, call))
