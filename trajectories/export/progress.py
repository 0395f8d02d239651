"""How far a long export is: a bar that appears only when it takes a while."""

import time
from collections.abc import Callable, Iterable, Iterator

PATIENCE = 2.0  # seconds before the bar appears

Watch = Callable[[Iterable[slice], str], Iterator[slice]]


def silent(parts: Iterable[slice], what: str) -> Iterator[slice]:
    """Yield the parts of a work, telling nothing."""
    return iter(parts)


def visible(parts: Iterable[slice], what: str) -> Iterator[slice]:
    """Yield the parts of a work, with a bar on stderr once it takes longer than PATIENCE."""
    from rich.console import Console
    from rich.progress import Progress

    every, began = list(parts), time.monotonic()
    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=len(every))
    try:
        for part in every:
            if not bar.live.is_started and time.monotonic() - began > PATIENCE:
                bar.start()
            yield part
            bar.advance(task)
    finally:
        if bar.live.is_started:
            bar.stop()
