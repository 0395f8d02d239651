"""Many independent runs of one file over Dask: every combination of the values swept over, each in a folder."""

from mdnet.sweep.conducting import sweep
from mdnet.sweep.records import Run, Sweep

__all__ = ["Run", "Sweep", "sweep"]
