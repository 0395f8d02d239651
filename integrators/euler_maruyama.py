"""Overdamped Langevin dynamics by the method of Euler and Maruyama, which with minibatches is SGLD."""

from __future__ import annotations

import torch

from integrators.brownian import Overdamped
from integrators.phase import Phase


class EulerMaruyama(Overdamped):
    """Overdamped Langevin dynamics, m gamma dq = f dt + sqrt(2 m gamma T) dW, with fresh noise:

        q_{n+1} = q_n + dt f(q_n)/(m gamma) + sqrt(2 T dt/(m gamma)) R_n

    Averages over positions are of first order in dt: for U = k q^2/2 and h = dt/(m gamma) it samples
    <q^2> = T/(k - h k^2/2). With an exact force take Brownian, which is of second order at the same cost; this
    one is the reference to compare with. With a minibatch force at T = 1 it is stochastic gradient Langevin
    dynamics (SGLD) with the step size epsilon = 2 dt/(m gamma).

    Parameters: `force`; `dt`; `temperature` >= 0 and `friction` gamma > 0 (1/time), each a number or a
    (replicas, 1) tensor. Raises ValueError outside these ranges.

    References: Maruyama, Rend. Circ. Mat. Palermo 4, 48 (1955); Welling, Teh, ICML 2011, 681.
    """

    def __call__(self, phase: Phase) -> None:
        """Advance phase by one step, in place."""
        self._drift(phase)
        self._draw(phase)
        phase.q.addcmul_(phase.p, (torch.sqrt(2 * self.dt / self.friction) / phase.m).to(phase.q.dtype))
        self._evaluate(phase)
