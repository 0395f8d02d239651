"""What a run of a gas has shown, by state and seed: energy, volume, noise, entropy, and whether it stood still."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import trajectories
from mdnet.experiments.ideal_gas.method import Array, Gas, Grid, Protocol
from mdnet.recording import TRAJECTORY
from trajectories import sgd
from trajectories.entropy import sphere


@dataclass(frozen=True, eq=False)
class Measured:
    """Means over the looks of a run, each (states, seeds) float64.

    `energy` U on all data; `square` <r^2>; `noise` <r^2 E|g_B - grad L|^2> = Tr Sigma; `gradient` <r^2 |grad L|^2>;
    `push` <r^2 |g_B|^2> of the forces that moved the particles; `entropy` S of the whole state, but for a constant
    where it comes from a graph. `moved` (states,): where U or r^2 of a replica drifted over the looks.
    """

    protocol: Protocol
    grid: Grid
    dimension: int
    energy: Array
    square: Array
    noise: Array
    gradient: Array
    push: Array
    entropy: Array
    moved: Array

    @property
    def trace(self) -> Array:
        """Tr Sigma + |grad L|^2 on the unit sphere, what lengthens |w|."""
        return np.asarray(self.noise + self.gradient)

    @property
    def rate(self) -> Array:
        """The rate that SGD was given (states, 1)."""
        return self.grid.rate(self.protocol)[:, None]

    @property
    def decay(self) -> Array:
        """The decay of each state (states, 1); on a sphere there was none."""
        return self.grid.decay[:, None]

    @property
    def temperature(self) -> Array:
        """T by the law of the protocol (states, seeds), with the noise that was measured."""
        sigma2 = self.noise / (self.dimension - 1)
        if self.protocol == "sphere":
            return sgd.sphere_temperature(self.rate, np.sqrt(self.square), sigma2)
        if self.protocol == "elr":
            return sgd.effective_rate_temperature(self.rate, sigma2)
        return sgd.fixed_rate_temperature(self.rate, self.decay, sigma2, self.dimension)

    @property
    def pressure(self) -> Array:
        """The decay p, (states, 1); on a sphere that which would hold the radius against its forces (states, seeds)."""
        if self.protocol == "sphere":
            return sgd.sphere_pressure(self.rate, np.sqrt(self.square), self.push)
        return self.decay

    @property
    def state(self) -> sgd.Values:
        """The ratio p V/(R T) of each state with its error over seeds (states,)."""
        return sgd.equation_of_state(self.pressure, self.square / 2, self.temperature, self.dimension)

    def radius(self, *, discrete: bool) -> sgd.Values:
        """Return r over the predicted radius of each state with its error (states,), for protocols that hold none.

        With `discrete` that at which one step keeps |w|^2, else that of p V = R T.
        """
        if discrete:
            expected = sgd.discrete_radius(self.protocol, self.rate, self.decay, self.trace)
        else:
            expected = sgd.stationary_radius(self.temperature, self.decay, self.dimension)
        return sgd.over_seeds(np.sqrt(self.square) / expected)

    @property
    def maxwell(self) -> sgd.Relation:
        """The slope of S at one temperature, in the variables of the protocol."""
        second = self.grid.radius if self.protocol == "sphere" else self.grid.decay
        return sgd.maxwell(self.protocol, self.rate[:, 0], second, self.entropy, self.dimension)


def read(gas: Gas, protocol: Protocol, grid: Grid, folder: Path) -> Measured:
    """Return what the run in a folder has shown."""
    with trajectories.open(folder / TRAJECTORY) as run:
        shape = (-1, len(grid.radius), gas.seeds)
        names = ("potential_energy", "radius", "noise_squared", "gradient_squared", "force_squared")
        energy, radius, noise, gradient, push = (run.observables[name].values.reshape(shape) for name in names)
        square, steps = radius**2, run.observables["radius"].steps
        if "graph_entropy" in run.observables:
            entropy = run.observables["graph_entropy"].values[-1]
        else:  # of three coordinates: exact but for the noise of few neighbours
            entropy = np.array([sphere(one).value for one in np.moveaxis(run.positions[:], 1, 0)])
        dimension = run.degrees_of_freedom
    if gas.noise is not None:
        noise = gas.noise / square  # as it is known
    moved = sgd.drift(steps, energy).moved
    if protocol != "sphere":
        moved = moved | sgd.drift(steps, square).moved
    return Measured(
        protocol, grid, dimension, energy=energy.mean(0), square=square.mean(0), noise=(square * noise).mean(0),
        gradient=(square * gradient).mean(0), push=(square * push).mean(0), entropy=entropy.reshape(shape[1:]),
        moved=moved,
    )  # fmt: skip
