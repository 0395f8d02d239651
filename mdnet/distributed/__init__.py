"""One run over many processes: its replicas and its data divided among the ranks of a torchrun job."""

from mdnet.distributed.launch import world
from mdnet.distributed.world import ALONE, Alone, RankLostError, World

__all__ = ["ALONE", "Alone", "RankLostError", "World", "world"]
