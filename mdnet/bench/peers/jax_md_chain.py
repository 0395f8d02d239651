"""JAX MD's own Nose-Hoover chain, on the weights of a network as free particles of one dimension."""

from __future__ import annotations

import jax
from jax_md import simulate, space

from .jax_network import Blocks, force, placed, replicas
from .pipe import Counter
from .problem import Problem


class _Chain(Blocks):
    packages = ("jax", "jax-md")


def chain(problem: Problem, count: Counter | None) -> Blocks:
    """simulate.nvt_nose_hoover with the problem's links, one substep and Suzuki-Yoshida of order 3."""

    def made(told: Counter | None):  # type: ignore[no-untyped-def]
        evaluate = force(problem, told)
        return simulate.nvt_nose_hoover(
            lambda q: evaluate(q)[1], space.free()[1], problem.dt, problem.temperature, chain_length=problem.links,
            chain_steps=1, sy_steps=3, tau=problem.tau,
        )  # fmt: skip

    begin, _ = made(None)
    _, step = made(count)
    key = jax.random.PRNGKey(0)
    start = replicas(problem, lambda q, p: begin(key, q, momenta=p))
    state = start(placed(problem, problem.q), placed(problem, problem.p))
    return _Chain(problem, state, replicas(problem, step), "position")
