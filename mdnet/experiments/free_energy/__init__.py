"""The published system of free energies: stationary SGD on a sphere as a thermodynamic system with a temperature."""
