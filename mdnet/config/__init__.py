"""The run file: a whole run described in TOML, validated, and built."""

from mdnet.config.building import build
from mdnet.config.reading import FILE_NAME, ConfigError, load, store
from mdnet.config.sections import RunFile

__all__ = ["FILE_NAME", "ConfigError", "RunFile", "build", "load", "store"]
