"""What a generalised Langevin thermostat does, in closed form: its memory kernel and its correlation times."""

from __future__ import annotations

import torch
from torch import Tensor


def memory_kernel(drift: Tensor, time: Tensor) -> Tensor:
    """K(t) = -a_p^T e^{-A_ss t} abar_p at t > 0, for A = ((a_pp, a_p^T), (abar_p, A_ss)).

    At t = 0 there is 2 a_pp delta(t) besides: dp/dt = f - int_0^t K(t - t') p(t') dt' + noise, with
    <noise(t) noise(0)> = m T K(t). `drift` A (n + 1, n + 1) in 1/time, `time` (...,) -> (...,) in 1/time^2.

    Reference: Ceriotti, Bussi, Parrinello, J. Chem. Theory Comput. 6, 1170 (2010).
    """
    row, column, inner = drift[0, 1:], drift[1:, 0], drift[1:, 1:]
    kernel: Tensor = -torch.linalg.matrix_exp(-inner * time[..., None, None]) @ column @ row
    return kernel


def harmonic_times(drift: Tensor, frequency: Tensor) -> tuple[Tensor, Tensor]:
    """Return the correlation times tau_V and tau_H of the potential and the total energy of an oscillator:

        tau = int_0^inf C(t)/C(0) dt,   C(t) = <E(0) E(t)> - <E>^2

    Position, momentum and auxiliary momenta follow dx = -M x dt + noise, so <x(t) x(0)^T> ~ R(t) = e^{-M t},
    and the energies, being squares of normal variables, give C_V(t) ~ R_qq(t)^2 and C_H(t) ~ the sum of
    R_ij(t)^2/2 over q and p. The integral X = int R e e^T R^T dt solves M X + X M^T = e e^T.
    White noise of friction gamma has tau_V = 1/2 gamma + gamma/2 w^2 and tau_H = 1/gamma + gamma/4 w^2.

    `drift` A (n + 1, n + 1) in 1/time, `frequency` w > 0 (...,) in radians per time -> (...,) each.

    Reference: Ceriotti, Bussi, Parrinello, J. Chem. Theory Comput. 6, 1170 (2010).
    """
    size = len(drift) + 1
    motion = drift.new_zeros((*frequency.shape, size, size))
    motion[..., 1:, 1:] = drift
    motion[..., 0, 1], motion[..., 1, 0] = -frequency, frequency  # of w q and p, whose variances are equal
    one = torch.eye(size, dtype=drift.dtype, device=drift.device)
    lyapunov = torch.einsum("...ij,kl->...ikjl", motion, one) + torch.einsum("ij,...kl->...ikjl", one, motion)
    start = drift.new_zeros((size, size, 2))  # e e^T of q, and of p
    start[0, 0, 0] = start[1, 1, 1] = 1.0
    shape = (*frequency.shape, size**2, 2)
    integral = torch.linalg.solve(lyapunov.reshape(*shape[:-1], size**2), start.reshape(-1, 2).expand(shape))
    qq, pp = integral[..., 0, :], integral[..., size + 1, :]  # (..., 2): from q and from p at the start
    return qq[..., 0], (qq + pp).sum(-1) / 2
