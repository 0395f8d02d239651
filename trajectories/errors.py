"""What can go wrong with a trajectory: one tree of errors, so that a script can catch one kind or all.

TrajectoryError
|-- NotATrajectory   the file is not HDF5, not ours, of a newer format, or cut off
|-- AlreadyExists    a new run would overwrite an old one          (also a FileExistsError)
|-- InUse            another writer has the file open
|-- InvalidRow       what was handed over does not fit the series  (also a ValueError)
|-- NotRecorded      the run did not record what is asked for      (also a KeyError)
`-- WriteFailed      the disk is full or failing; committed rows stay readable
"""


class TrajectoryError(Exception):
    """Base of every error that this package raises on purpose."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""  # KeyError would show the message quoted


class NotATrajectory(TrajectoryError):
    """The file cannot be read as a trajectory."""


class AlreadyExists(TrajectoryError, FileExistsError):
    """A new trajectory was asked for where a file already lies."""


class InUse(TrajectoryError):
    """Another writer holds the file."""


class InvalidRow(TrajectoryError, ValueError):
    """A row does not fit its series: wrong shape, name or step."""


class NotRecorded(TrajectoryError, KeyError):
    """The trajectory holds no such series, tensor or array."""


class WriteFailed(TrajectoryError):
    """Writing failed; every row committed before is on disk and readable."""
