"""Where data sets come from: load one by name, split it, and join the splits of several seeds into one run."""

from mdnet.data.dataset import DataSet
from mdnet.data.sources import SETS, load
from mdnet.data.splitting import Split, Stack, label_noise, split, stack
from mdnet.data.synthetic import sine
from mdnet.data.tables import read_table
from mdnet.data.translation import Tokeniser, Translations

__all__ = [
    "SETS",
    "DataSet",
    "Split",
    "Stack",
    "Tokeniser",
    "Translations",
    "label_noise",
    "load",
    "read_table",
    "sine",
    "split",
    "stack",
]
