"""The checksum of HDF5's metadata blocks, Bob Jenkins' lookup3 ("hashlittle" with initial value 0)."""

import struct

_WORD = 0xFFFFFFFF
_MIX = ((0, 2, 4, 1), (1, 0, 6, 2), (2, 1, 8, 0), (0, 2, 16, 1), (1, 0, 19, 2), (2, 1, 4, 0))
_LAST = ((2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24))


def lookup3(data: bytes) -> int:
    """Return the 32-bit checksum of ``data``, one byte or more.

    Reference: R. J. Jenkins, lookup3.c (2006), public domain; HDF5 File Format Specification 3.0.
    """
    padded = data + bytes(-len(data) % 12)
    state = [(0xDEADBEEF + len(data)) & _WORD] * 3
    for start in range(0, len(padded), 12):
        words = struct.unpack_from("<3I", padded, start)
        state = [(s + w) & _WORD for s, w in zip(state, words, strict=True)]
        if start + 12 < len(padded):
            _mix(state)
    for to, other, turn in _LAST:
        state[to] = ((state[to] ^ state[other]) - _turned(state[other], turn)) & _WORD
    return state[2]


def _mix(state: list[int]) -> None:
    for to, other, turn, more in _MIX:
        state[to] = ((state[to] - state[other]) & _WORD) ^ _turned(state[other], turn)
        state[other] = (state[other] + state[more]) & _WORD


def _turned(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (32 - bits))) & _WORD
