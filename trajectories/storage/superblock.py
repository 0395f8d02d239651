"""The first 48 bytes of an HDF5 file: the mark of a file that is being written, and where the file ends.

Rows are written by HDF5's rules for live reading (SWMR): a block reaches the file before the one that refers to it,
so that the file is whole after every single write. HDF5 then marks the file as open, and a killed writer leaves the
mark, by which most programs refuse it. h5py has no function for taking it away (HDF5's own is the program h5clear), so
here is one: signature (8), version, size of offsets, size of lengths, mark, base, extension, end of file, root (8
each), checksum (4) of superblocks 2 and 3, which are alike byte for byte; only in 3 is there a mark.
"""

import struct
from pathlib import Path

from trajectories.errors import NotATrajectory
from trajectories.storage.checksum import lookup3

SIZE = 48
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_VERSION, _MARK, _END, _CHECKSUM = 8, 11, 28, 44  # offsets


def read(path: Path) -> bytes:
    """Return the superblock of a file; shorter than 48 bytes where the file is."""
    with path.open("rb") as file:
        return file.read(SIZE)


def is_marked(path: Path) -> bool:
    """Whether a writer has the file open, or was killed while it had."""
    block = read(path)
    return version(block) == 3 and block[_MARK] != 0


def version(block: bytes) -> int | None:
    """Return the version of a superblock: 2 or 3, None for any other and where it is none."""
    ours = len(block) == SIZE and block.startswith(_SIGNATURE) and block[_VERSION] in (2, 3)
    return block[_VERSION] if ours else None


def end(block: bytes) -> int:
    """Return where the file ends by its superblock 2 or 3."""
    (found,) = struct.unpack_from("<Q", block, _END)
    return int(found)


def unmarked(block: bytes, end: int) -> bytes:
    """Return a superblock 2 or 3 as a superblock 3 without the mark, of a file that ends at ``end``."""
    new = bytearray(block)
    new[_VERSION], new[_MARK] = 3, 0
    struct.pack_into("<Q", new, _END, end)
    struct.pack_into("<I", new, _CHECKSUM, lookup3(bytes(new[:_CHECKSUM])))
    return bytes(new)


def unmark(path: Path, *, abandoned: bool = False) -> None:
    """Take the mark away by one write of 48 bytes.

    ``abandoned``: by a killed writer; what that has allocated last is not yet within the end of file on record, so
    the end becomes that of the file as it lies there.

    Raises NotATrajectory where the superblock is neither 2 nor 3.
    """
    old = read(path)
    if version(old) is None:
        raise NotATrajectory(
            f"{path} was not written by mdnet, or rewritten by another program since (h5repack): it may be read, but "
            "a run cannot go on in it"
        )
    new = unmarked(old, max(end(old), path.stat().st_size) if abandoned else end(old))
    if new != old:
        write(path, new)


def write(path: Path, block: bytes) -> None:
    """Replace the superblock."""
    with path.open("r+b", buffering=0) as file:
        file.write(block)
