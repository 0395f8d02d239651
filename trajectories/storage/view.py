"""A file seen through memory: changes stay in memory, and each view of it is a file of its own to HDF5."""

import io
import os
from pathlib import Path
from typing import Any

PAGE = 4096


class View(io.RawIOBase):
    """A file that can be changed in memory only; what was changed is in `pages`, by the number of the page.

    For h5py.File(view): what is opened that way shares nothing with what is open already. (HDF5 joins what is open
    under one name, and then shows to all what the first one saw.)
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._at = 0
        self.size = os.fstat(self._file.fileno()).st_size
        self.pages: dict[int, bytearray] = {}

    def readable(self) -> bool:
        """Yes."""
        return True

    writable = seekable = readable

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a byte; returns it."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from the present byte on; past the end of the file with zeros."""
        target = memoryview(buffer).cast("B")
        self._file.seek(self._at)
        done = 0
        while done < len(target) and (more := self._file.readinto(target[done:])):
            done += more
        if done < len(target):
            target[done:] = bytes(len(target) - done)
        covered = self._pages(len(target))
        for number, page in self.pages.items():
            if number in covered:
                begin, end = self._within(number, len(target))
                target[number * PAGE + begin - self._at :][: end - begin] = page[begin:end]
        self._at += len(target)
        return len(target)

    def write(self, buffer: Any) -> int:
        """Keep the buffer as what lies at the present byte and after it."""
        source = memoryview(buffer).cast("B")
        for number in self._pages(len(source)):
            begin, end = self._within(number, len(source))
            if number not in self.pages:
                self._file.seek(number * PAGE)
                self.pages[number] = bytearray(self._file.read(PAGE).ljust(PAGE, b"\0"))
            self.pages[number][begin:end] = source[number * PAGE + begin - self._at :][: end - begin]
        self._at += len(source)
        self.size = max(self.size, self._at)
        return len(source)

    def truncate(self, size: int | None = None) -> int:
        """Set the length."""
        self.size = self._at if size is None else size
        return self.size

    def close(self) -> None:
        """Close the file; `pages` and `size` stay."""
        self._file.close()
        super().close()

    def _pages(self, length: int) -> range:
        """Numbers of the pages that a stretch from here covers."""
        return range(self._at // PAGE, -(-(self._at + length) // PAGE))

    def _within(self, number: int, length: int) -> tuple[int, int]:
        """From where to where in a page a stretch from here lies."""
        return max(self._at - number * PAGE, 0), min(self._at + length - number * PAGE, PAGE)
