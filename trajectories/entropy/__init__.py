"""Entropies of the sampled distribution of the weights, in nats (k_B = 1)."""

from trajectories.entropy.quasiharmonic import gaussian

__all__ = ["gaussian"]
