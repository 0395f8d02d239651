"""The runs of a gas: the sphere first where its noise must be measured, then the protocols that are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mdnet.experiments.ideal_gas.measured import Measured, read
from mdnet.experiments.ideal_gas.method import PROTOCOLS, Array, Gas, Protocol, run
from mdnet.experiments.stages import Stages
from mdnet.recording import refuse_existing
from mdnet.spelling import unknown


@dataclass(frozen=True, eq=False)
class Sweeps:
    """What was measured of a gas, by protocol, and where each run is.

    `foretold`: by rate (rates,), Tr Sigma + |grad L|^2 as the sphere had it; None where the noise was known.
    """

    gas: Gas
    measured: Mapping[Protocol, Measured]
    runs: Sequence[Path]
    foretold: Array | None


def planned(gas: Gas, protocols: Sequence[str]) -> list[Protocol]:
    """Return the protocols that must be run; raises ValueError for an unknown one."""
    for name in protocols:
        if name not in PROTOCOLS:
            raise ValueError(unknown("protocol", name, PROTOCOLS))
    return [name for name in PROTOCOLS if name in protocols or (name == "sphere" and gas.noise is None)]


def sweeps(
    gas: Gas,
    folder: Path,
    protocols: Sequence[str] = tuple(PROTOCOLS),
    *,
    stages: Stages,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
) -> Sweeps:
    """Run a gas by protocols below `folder`, each in one simulation of all states and seeds.

    Where Tr Sigma is not known the sphere, which needs no decay, measures it by rate; the decays of the others are
    chosen by it, and they begin where the sphere has ended, at the radius that is foretold. With `resume` it goes on
    where it was stopped. Raises ValueError for an
    unknown protocol, OutputExistsError, before anything runs, where a run is there and may not be replaced.
    """
    names = planned(gas, protocols)
    for name in names:
        if not (overwrite or resume):
            refuse_existing(folder / name)
    noise = np.full(len(gas.effective), np.nan if gas.noise is None else gas.noise)
    measured, ends, foretold = dict[Protocol, Measured](), None, None
    for name in names:
        grid = gas.grid(noise)
        with stages(f"{gas.name}, {PROTOCOLS[name]}"):
            first = gas if ends is not None else replace(gas, burn=gas.burn + gas.settle)
            last = run(first, name, grid, folder / name, seed=seed, positions=ends, overwrite=overwrite,
                       resume=resume, progress=progress)  # fmt: skip
            measured[name] = read(gas, name, grid, folder / name)
        if name == "sphere" and gas.noise is None:
            noise, foretold, ends = _by_rate(gas, measured[name].noise), _by_rate(gas, measured[name].trace), last
    return Sweeps(gas, measured, [folder / name for name in names], foretold)


def _by_rate(gas: Gas, values: Array) -> Array:
    """(states, seeds) -> (rates,): the mean over radii and seeds."""
    mean: Array = values.reshape(len(gas.effective), -1).mean(axis=1)
    return mean
