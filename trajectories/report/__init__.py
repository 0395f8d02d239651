"""What a run shows: one page of pictures and numbers, and the same as lines of text."""

from trajectories.report.page import write

__all__ = ["write"]
