"""Thermostats that are wrong on purpose, as a user may write them, for `mdnet validate` to find out."""

from dataclasses import dataclass

import torch

from thermostats import Langevin, NoseHooverChain


@dataclass(frozen=True, repr=False, init=False)
class TooLittleNoise(Langevin):
    """Langevin with noise whose amplitude is five per cent too small."""

    def __call__(self, p, m, bath, dt):
        before = p * torch.exp(-self.friction * dt)
        super().__call__(p, m, bath, dt)
        p.sub_(0.05 * (p - before))


@dataclass(frozen=True, repr=False, init=False)
class ForgetsTime(Langevin):
    """Langevin that acts for the same time at every call."""

    def __call__(self, p, m, bath, dt):
        super().__call__(p, m, bath, torch.full_like(dt, 0.05))


@dataclass(frozen=True, repr=False, init=False)
class ForgetsMasses(Langevin):
    """Langevin whose noise is that of particles of mass one."""

    def __call__(self, p, m, bath, dt):
        super().__call__(p, torch.ones_like(m), bath, dt)


class WrongEnergy(NoseHooverChain):
    """A Nose-Hoover chain that forgets the potential energy of its variables."""

    def energy(self, bath):
        return super().energy((bath[0], torch.zeros_like(bath[1]), bath[2]))


class OneSided(NoseHooverChain):
    """A Nose-Hoover chain with a rub of its own that no time reversal undoes."""

    def __call__(self, p, m, bath, dt):
        super().__call__(p, m, bath, dt)
        p.mul_(torch.exp(-1e-3 * dt))


class NoBathAtAll:
    """It has no method bath."""

    def __call__(self, p, m, bath, dt):
        pass


class ChainForgetsTime(NoseHooverChain):
    """A Nose-Hoover chain that acts for the same time at every call."""

    def __call__(self, p, m, bath, dt):
        super().__call__(p, m, bath, torch.full_like(dt, 0.05))


class NeedsMore(Langevin):
    """Langevin with a parameter that nobody knows."""

    def __init__(self, temperature, friction, strength):
        super().__init__(temperature, friction * strength)


class Unknown:
    """A right bath with variables, that does not say how to turn them round."""

    def __init__(self, inner):
        self.inner, self.temperature, self.bath = inner, inner.temperature, inner.bath

    def __call__(self, p, m, bath, dt):
        self.inner(p, m, bath, dt)


class Reversible(Unknown):
    """The same, that says it."""

    def reverse(self, bath):
        bath[0].neg_()
