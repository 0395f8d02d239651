"""Many runs of one file over Dask: every combination of the values swept over, joined where one simulation can."""

from mdnet.sweep.conducting import sweep
from mdnet.sweep.records import Run, Sweep
from mdnet.sweep.results import illustrate, table
from mdnet.sweep.study import Study, read

__all__ = ["Run", "Study", "Sweep", "illustrate", "read", "sweep", "table"]
