"""The same splittings written in JAX: velocity Verlet with a Nose-Hoover chain, and BAOAB with Langevin's bath."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .jax_network import Blocks, State, force, placed, replicas
from .pipe import Counter
from .problem import Problem

_OUTER = 1 / (2 - 2 ** (1 / 3))
_WEIGHTS = (_OUTER, 1 - 2 * _OUTER, _OUTER)  # Suzuki-Yoshida, order 3


def chain(problem: Problem, count: Counter | None) -> Blocks:
    """Half a chain, a step of velocity Verlet, half a chain."""
    evaluate = force(problem, count)
    dt = problem.dt

    def step(state: State) -> State:
        q, p, _, f, links, angles = state
        p, links, angles = _half(problem, p, links, angles)
        p = p + 0.5 * dt * f
        q = q + dt * p
        u, f = evaluate(q)
        p = p + 0.5 * dt * f
        p, links, angles = _half(problem, p, links, angles)
        return q, p, u, f, links, angles

    q, p = placed(problem, problem.q), placed(problem, problem.p)
    still = jnp.zeros((*q.shape[:-1], problem.links))
    state = (q, p, *replicas(problem, force(problem, None))(q), still, still)
    return Blocks(problem, state, replicas(problem, step), 0)


def langevin(problem: Problem, count: Counter | None) -> Blocks:
    """BAOAB with friction and noise on every momentum."""
    evaluate = force(problem, count)
    dt = problem.dt
    kept = jnp.exp(-problem.friction * dt)
    noise = jnp.sqrt((1 - kept**2) * problem.temperature)

    def step(state: State) -> State:
        q, p, _, f, key = state
        key, drawn = jax.random.split(key)
        p = p + 0.5 * dt * f
        q = q + 0.5 * dt * p
        p = kept * p + noise * jax.random.normal(drawn, p.shape)
        q = q + 0.5 * dt * p
        u, f = evaluate(q)
        p = p + 0.5 * dt * f
        return q, p, u, f, key

    q, p = placed(problem, problem.q), placed(problem, problem.p)
    key = jax.random.PRNGKey(0)
    keys = key if len(problem.q) == 1 else jax.random.split(key, len(problem.q))
    state = (q, p, *replicas(problem, force(problem, None))(q), keys)
    return Blocks(problem, state, replicas(problem, step), 0)


def _half(
    problem: Problem, p: jax.Array, links: jax.Array, angles: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Let the chain act for dt/2: p (dof,), links and angles (links,)."""
    dof, last = p.shape[0], problem.links - 1
    inertia = problem.temperature * problem.tau**2
    light = [1 / (dof * inertia), *[1 / inertia] * last]
    thermal = [dof * problem.temperature, *[problem.temperature] * last]
    link, angle = list(links), list(angles)
    doubled, scale = jnp.sum(p * p), jnp.float32(1)

    def kick(k: int, span: float) -> None:
        push = ((doubled if k == 0 else link[k - 1] ** 2 * light[k - 1]) - thermal[k]) * span / 2
        if k == last:
            link[k] = link[k] + push
        else:
            rub = jnp.exp(link[k + 1] * (-light[k + 1] * span / 4))
            link[k] = (link[k] * rub + push) * rub

    for weight in _WEIGHTS:
        span = weight * problem.dt / 2
        for k in reversed(range(problem.links)):
            kick(k, span)
        angle = [a + one * w * span for a, one, w in zip(angle, link, light, strict=True)]
        rub = jnp.exp(link[0] * (-light[0] * span))
        doubled, scale = doubled * rub**2, scale * rub
        for k in range(problem.links):
            kick(k, span)
    return p * scale, jnp.stack(link), jnp.stack(angle)
