"""A tanh network in JAX on the flat vector q, and what every JAX peer has in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .pipe import Counter
from .problem import Array, Problem

State = Any  # a tree of arrays
Energy = Callable[[jax.Array], jax.Array]


def energy(problem: Problem) -> Energy:
    """Return U of one replica, q (dof,) -> ()."""
    x, y, layers = jnp.asarray(problem.x), jnp.asarray(problem.y), problem.layers()

    def loss(q: jax.Array) -> jax.Array:
        h = x
        for number, (weight, bias, shape) in enumerate(layers):
            h = h @ q[weight].reshape(shape).T + q[bias]
            h = jnp.tanh(h) if number + 1 < len(layers) else h
        if problem.classes:
            return -jnp.take_along_axis(jax.nn.log_softmax(h), y[:, None], 1).mean()
        return ((h - y) ** 2).mean()

    return loss


def force(problem: Problem, count: Counter | None) -> Callable[[jax.Array], tuple[jax.Array, jax.Array]]:
    """Return q -> (U, -dU/dq) of one replica, which tells `count` whenever it is really evaluated."""
    evaluate = jax.value_and_grad(energy(problem))

    def both(q: jax.Array) -> tuple[jax.Array, jax.Array]:
        if count is not None:
            jax.debug.callback(count)
        u, slope = evaluate(q)
        return u, -slope

    return both


def replicas(problem: Problem, one: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of one replica for all of them: plain for one, else vectorised."""
    return one if len(problem.q) == 1 else jax.vmap(one)


def placed(problem: Problem, values: Array) -> jax.Array:
    """Return positions or momenta: (dof,) for one replica, else (replicas, dof)."""
    return jnp.asarray(values[0] if len(problem.q) == 1 else values)


class Blocks:
    """A state advanced by a compiled block of steps, each a function of the state, in one loop of the compiler."""

    packages: tuple[str, ...] = ("jax", "jaxlib")

    def __init__(self, problem: Problem, state: State, step: Callable[[State], State], position: str | int) -> None:
        self.problem, self.state, self.position = problem, state, position
        self._run = jax.jit(lambda state: jax.lax.scan(lambda s, _: (step(s), None), state, length=problem.steps)[0])

    def advance(self) -> None:
        """Advance by the problem's steps, and wait."""
        self.state = jax.block_until_ready(self._run(self.state))
        jax.effects_barrier()

    def positions(self) -> Array:
        """Return where the particles are, (replicas, dof)."""
        q = self.state[self.position] if isinstance(self.position, int) else getattr(self.state, self.position)
        return np.asarray(q).reshape(self.problem.q.shape)
