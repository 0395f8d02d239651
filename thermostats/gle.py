"""The generalised Langevin thermostat: friction with a memory and coloured noise, by auxiliary momenta."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import ClassVar

import torch
from torch import Tensor

from thermostats import noise, parameters

_ROUNDING = 1e-12  # what makes a semidefinite matrix definite, relative to its scale


@dataclass(frozen=True, repr=False)
class GLE(parameters.Readable):
    """Friction with a memory: each momentum has n auxiliary momenta s, and with u = p/sqrt(m), B B^T = A + A^T,

        d(u, s) = -A (u, s) dt + sqrt(T) B dW,   solved exactly over a time dt:
        (u, s) <- e^{-A dt} (u, s) + sqrt(T) S N(0, 1),   S S^T = 1 - e^{-A dt} e^{-A^T dt}

    For A = ((a_pp, a_p^T), (abar_p, A_ss)) the momentum alone feels friction and noise of the memory kernel
    K(t) = 2 a_pp delta(t) - a_p^T e^{-A_ss t} abar_p (see thermostats.gle_theory). The auxiliary momenta start
    from their stationary law at the temperature then set. The sets in this file are drifts for a purpose.

    `temperature` T >= 0 (k_B = 1): a number, or a (replicas, 1) tensor. `drift` A (n + 1, n + 1) in 1/time.
    Canonical for every drift allowed. Raises ValueError for a drift that is not square and finite, whose
    A + A^T has a negative eigenvalue, or which has an eigenvalue without a positive real part.

    References: Ceriotti, Bussi, Parrinello, Phys. Rev. Lett. 102, 020601 (2009); J. Chem. Theory Comput. 6,
    1170 (2010).
    """

    temperature: Tensor
    drift: Tensor
    canonical: ClassVar[bool] = True

    def __init__(self, temperature: parameters.Value, drift: Tensor | Sequence[Sequence[float]]) -> None:
        object.__setattr__(self, "temperature", parameters.temperature(temperature))
        object.__setattr__(self, "drift", torch.as_tensor(drift, dtype=torch.float64).clone())
        _check(self.drift)

    def bath(self, p: Tensor) -> tuple[Tensor, ...]:
        """Return the auxiliary momenta s (n, replicas, dof), of variance T, and the source of random numbers."""
        momenta = torch.randn(len(p), len(self.drift) - 1, p.shape[-1], dtype=p.dtype, device=p.device)
        return momenta.movedim(0, 1).contiguous() * torch.sqrt(self.temperature).to(p.dtype), noise.source(p)

    def __call__(self, p: Tensor, m: Tensor, bath: tuple[Tensor, ...], dt: Tensor) -> None:
        """Let the bath act on p (replicas, dof) with masses m (dof,) for the time dt, in place."""
        momenta, source = bath
        change, spread = (matrix.to(p.dtype) for matrix in self.propagator(dt))
        root = torch.sqrt(m)
        state = torch.cat([(p / root)[None], momenta])  # (n + 1, replicas, dof)
        numbers = noise.normal(state.movedim(0, 1), source).movedim(0, 1)  # drawn by replica
        push = torch.sqrt(self.temperature).to(p.dtype) * _times(spread, numbers)
        push.add_(_times(change, state))
        p.addcmul_(push[0], root)
        momenta.add_(push[1:])

    def propagator(self, dt: Tensor) -> tuple[Tensor, Tensor]:
        """Return e^{-A dt} - 1 and S (n + 1, n + 1), or (replicas, n + 1, n + 1) for dt (replicas, 1); float64.

        The difference from one, not e^{-A dt}, is rounded to float32: slow auxiliary momenta keep their rates.
        """
        one = torch.eye(len(self.drift), dtype=torch.float64, device=self.drift.device)
        exponent = -self.drift * dt[..., None]
        change = torch.linalg.matrix_exp(exponent) - one
        variance = -(change + change.mT + change @ change.mT)
        scale = 1 + torch.linalg.matrix_norm(exponent, 1)[..., None, None]
        return change, torch.linalg.cholesky_ex(variance + _ROUNDING * scale * one).L

    def mirror(self, bath: tuple[Tensor, ...], sign: Tensor) -> None:
        """Turn the auxiliary momenta of every coordinate by its sign (replicas, dof), as its own momentum."""
        bath[0].mul_(sign)

    def rescale(self, bath: tuple[Tensor, ...], factor: Tensor) -> None:
        """Multiply the auxiliary momenta by factor (replicas, 1): their law follows the temperature."""
        bath[0].mul_(factor.to(bath[0].dtype))

    def select(self, bath: tuple[Tensor, ...], rows: Tensor) -> None:
        """Put those of replica rows[r] where replica r is, rows (replicas,)."""
        bath[0].copy_(bath[0][:, rows])


def white_noise(temperature: parameters.Value, friction: float) -> GLE:
    """Return the bath without auxiliary momenta, A = (gamma): Langevin's, K(t) = 2 gamma delta(t).

    `friction` gamma > 0 (1/time). Raises ValueError outside these ranges.
    """
    return GLE(temperature, [[_positive("friction", friction)]])


def delta_like(temperature: parameters.Value, frequency: float, width: float, friction: float) -> GLE:
    """Return the bath that acts on oscillators near one frequency w and leaves the others nearly alone:

        K(t) = 2 gamma D e^{-D |t|} cos(w t),   A = ((0, g, g), (-g, D, w), (-g, -w, D)),   g^2 = gamma D

    The noise has Lorentzian lines of half width D at w and -w. Where D << w the energy of an oscillator at w
    forgets in tau_H = 1/gamma + 1/(2 D), so friction beyond D gains little, and at w' with gamma << D in
    tau_H = (1 + (w' - w)^2/D^2)/gamma.

    `frequency` w in radians per time, `width` D and `friction` gamma in 1/time, all > 0; the paper's gamma, the
    area of its line, is 2 pi gamma D here. Raises ValueError outside these ranges.

    Reference: Ceriotti, Parrinello, Procedia Comput. Sci. 1, 1607 (2010).
    """
    w, d, gamma = _positive("frequency", frequency), _positive("width", width), _positive("friction", friction)
    g = sqrt(gamma * d)
    return GLE(temperature, [[0.0, g, g], [-g, d, w], [-g, -w, d]])


_OPTIMAL: dict[float, tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]] = {
    1e2: (
        (0.0, 0.0, 0.0, 0.8209, 9.626),
        ((5.149, 0.0, 0.0, 0.0), (2.633, 3.723, 10.97), (0.245, -0.2558), (0.48,)),
    ),
    1e4: (
        (0.0, 0.0, 0.0, 0.02106, 0.05807, 2.837, 87.38),
        (
            (37.82, 0.0, 0.0, 0.0, 0.0, 0.0),
            (4.842, 13.41, 30.67, 34.35, 100.7),
            (-0.0008205, 0.01965, -0.1217, -1.319),
            (-0.006694, -0.5157, 0.8157),
            (1.318, 3.255),
            (13.59,),
        ),
    ),
}
"""Fitted here: by fastest/slowest, the diagonal of A and the rows above it for slowest * fastest = 1; below it A is
antisymmetric. The least kappa over the range was maximised, starting from random matrices of this form."""


def optimal_sampling(temperature: parameters.Value, slowest: float, fastest: float) -> GLE:
    """Return the bath that samples oscillators of all frequencies from `slowest` to `fastest` about equally well.

    An oscillator at w gives kappa = 1/(tau_V w) independent potential energies in a time 1/w, at best 1 with
    white noise, whose friction must be w for that. Over the whole range the least kappa, and the same of the
    total energy, is

        fastest/slowest   auxiliary momenta   kappa_V       kappa_H   best white noise, either
        up to 1e2         4                   0.58 (0.62)   0.28      0.198
        up to 1e4         6                   0.39 (0.43)   0.18      0.020

    with the greatest kappa_V in brackets. The range is one of radians per time; where it is shorter than the
    table's it is put into the table's middle. Raises ValueError for frequencies that are not positive and in
    order, and for a ratio above 1e4.

    Reference: Ceriotti, Bussi, Parrinello, J. Chem. Theory Comput. 6, 1170 (2010).
    """
    low, high = _positive("slowest", slowest), _positive("fastest", fastest)
    if low > high:
        raise ValueError(f"slowest = {slowest} is above fastest = {fastest}; give the lower frequency first")
    covered = next((ratio for ratio in _OPTIMAL if high / low <= ratio * (1 + 1e-9)), None)
    if covered is None:
        raise ValueError(
            f"fastest/slowest = {high / low:.6g} is more than the largest table covers, {max(_OPTIMAL):g}; raise "
            "slowest or lower fastest: modes outside the range are sampled too, only more slowly"
        )
    diagonal, rows = _OPTIMAL[covered]
    drift = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    for i, row in enumerate(rows):
        coupling = torch.tensor(row, dtype=torch.float64)
        drift[i, i + 1 :], drift[i + 1 :, i] = coupling, -coupling
    return GLE(temperature, drift * sqrt(low * high))


def _times(matrix: Tensor, state: Tensor) -> Tensor:
    """A matrix (n, n) or (replicas, n, n) times the state (n, replicas, dof) of every parameter."""
    return torch.einsum("...ij,j...d->i...d", matrix, state)


def _positive(name: str, value: float) -> float:
    if not 0 < value < inf:
        raise ValueError(f"{name} = {value} must be finite and positive")
    return float(value)


def _check(drift: Tensor) -> None:
    if drift.ndim != 2 or drift.shape[0] != drift.shape[1] or not len(drift):
        raise ValueError(
            f"drift has the shape {tuple(drift.shape)}; it must be square, (n + 1, n + 1) with n auxiliary momenta"
        )
    if not torch.isfinite(drift).all():
        raise ValueError(f"drift = {drift.tolist()} must be finite")
    lowest = torch.linalg.eigvalsh(drift + drift.mT)[0].item()
    if lowest < -_ROUNDING / 2 * drift.abs().max().item():
        raise ValueError(
            f"drift + drift^T has the eigenvalue {lowest:.6g}, but B B^T = A + A^T is no covariance unless all are "
            f">= 0; add {-lowest / 2:.6g} to the diagonal, or couple antisymmetrically: A_ij = -A_ji"
        )
    slowest = torch.linalg.eigvals(drift).real.min().item()
    if slowest <= _ROUNDING * drift.abs().max().item():
        raise ValueError(
            f"drift has an eigenvalue of real part {slowest:.6g}, but it must be positive: what is not damped never "
            "reaches the temperature; put friction on the diagonal, or couple it to what has some"
        )
