"""What a run says of energy, temperature and free energy, in reduced units (k_B = 1)."""

from trajectories.thermodynamics.laws import Drift, KineticLaw, drift, kinetic_law

__all__ = ["Drift", "KineticLaw", "drift", "kinetic_law"]
