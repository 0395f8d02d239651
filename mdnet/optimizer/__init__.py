"""A torch optimizer that moves parameters by finite-temperature dynamics and collects the ensemble."""

from mdnet.optimizer.simmer import Simmer

__all__ = ["Simmer"]
