"""pymbar, imported when it is needed and without the notices that it logs at import."""

import importlib
import logging
from typing import Any

from trajectories.errors import TrajectoryError


def mbar_class() -> Any:
    """Return the class pymbar.MBAR.

    Raises:
        TrajectoryError: pymbar is not installed.
    """
    return _imported("pymbar").MBAR


def estimators() -> Any:
    """Return the module pymbar.other_estimators, which holds Bennett's acceptance ratio.

    Raises:
        TrajectoryError: pymbar is not installed.
    """
    return _imported("pymbar.other_estimators")


def _imported(name: str) -> Any:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise TrajectoryError("free energies by MBAR or BAR need pymbar: pip install mdnet[validate]") from error
    finally:
        logging.disable(before)
