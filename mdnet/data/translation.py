"""Sentence pairs as tokens: byte-pair merges learnt on the training pairs, source and target side by side."""

from __future__ import annotations

import gzip
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from mdnet.data.dataset import DataSet

PAD, START, END = 0, 1, 2
_BYTES = 3  # the token of byte b is _BYTES + b; the tokens of merges follow
_WORDS = re.compile(r" ?\w+| ?[^\w\s]+|\s+")
TEST = 0.1  # share of the pairs
_WORD = tuple[int, ...]
_PAIR = tuple[int, int]


@dataclass(frozen=True)
class Tokeniser:
    """Text as tokens: bytes, of which pairs that stand together often are merged, one merge after the other.

    Merges stay within words, a space going with the word after it. One vocabulary serves both languages, and every
    text has tokens: decode(encode(text)) == text. `merges`: pairs of tokens, in the order in which they are applied.

    Reference: Sennrich, Haddow, Birch, ACL 2016, arXiv:1508.07909.
    """

    merges: tuple[_PAIR, ...]

    @classmethod
    def learn(cls, texts: Iterable[str], size: int) -> Tokeniser:
        """Merge the most frequent pair of neighbours, until there are `size` tokens or no pair is there twice.

        Raises ValueError for a size that does not hold the bytes and the three marks.
        """
        if size < _BYTES + 256:
            raise ValueError(f"size = {size}: a vocabulary needs {_BYTES + 256} tokens or more, for bytes and marks")
        counts = Counter(word for text in texts for word in _WORDS.findall(text))
        words = [[list(_bytes(word)), count] for word, count in sorted(counts.items())]
        return cls(tuple(_merges(words, size - _BYTES - 256)))  # type: ignore[arg-type]

    @property
    def size(self) -> int:
        """The number of tokens, marks included."""
        return _BYTES + 256 + len(self.merges)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, without START and END."""
        return [token for word in _WORDS.findall(text) for token in self._tokens(word)]

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of tokens up to END; padding and START are passed over, broken characters are marked."""
        parts = []
        for token in tokens:
            if token == END:
                break
            parts.append(self._spelling[token])
        return b"".join(parts).decode("utf-8", errors="replace")

    @cached_property
    def _spelling(self) -> list[bytes]:
        spelling = [b""] * _BYTES + [bytes([b]) for b in range(256)]
        for left, right in self.merges:
            spelling.append(spelling[left] + spelling[right])
        return spelling

    @cached_property
    def _rank(self) -> dict[_PAIR, int]:
        return {pair: place for place, pair in enumerate(self.merges)}

    @cached_property
    def _known(self) -> dict[str, list[int]]:
        return {}

    def _tokens(self, word: str) -> list[int]:
        if word not in self._known:
            tokens, never = list(_bytes(word)), len(self.merges)
            while len(tokens) > 1:
                first = min(pairwise(tokens), key=lambda pair: self._rank.get(pair, never))
                if first not in self._rank:
                    break
                tokens = _merged(tokens, first, _BYTES + 256 + self._rank[first])
            self._known[word] = tokens
        return self._known[word]


@dataclass(frozen=True, eq=False, kw_only=True)
class Translations(DataSet):
    """Sentence pairs: inputs (n, 2 length) int64 are the source beside START and the target, targets (n, length) int64
    the target and END, all padded with PAD; a network gives logits (n, length, tokens) of the token at each place.
    """

    tokeniser: Tokeniser
    length: int


def translations(name: str, path: Path, *, size: int = 1000, length: int = 32) -> Translations:
    """Return the pairs of a gzipped table (part, source, target) whose sentences have fewer than `length` tokens.

    A sentence counts once: a pair of which either side was there before is left out, letter case apart. A random tenth,
    always the same, is the test set. The tokeniser is learnt on the others. Raises ValueError for rows without three
    columns, and where no pair is left.
    """
    pairs = _distinct(_read(path))
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(0)).tolist()
    held = round(TEST * len(pairs))
    train, test = ([pairs[i] for i in part] for part in (order[held:], order[:held]))
    tokeniser = Tokeniser.learn((sentence for pair in train for sentence in pair), size)
    tokens = [[(tokeniser.encode(s), tokeniser.encode(t)) for s, t in part] for part in (train, test)]
    kept = [[pair for pair in part if max(map(len, pair)) < length] for part in tokens]
    if not all(kept):
        raise ValueError(f"{path} has no pair to train or to test on with fewer than length = {length} tokens")
    inputs, targets = _tensors([pair for part in kept for pair in part], length)
    return Translations(
        name, inputs, targets, "classification", str(path), classes=tokeniser.size, training_rows=len(kept[0]),
        tokeniser=tokeniser, length=length,
    )  # fmt: skip


def _read(path: Path) -> list[tuple[str, str]]:
    rows = [line.split("\t") for line in gzip.decompress(path.read_bytes()).decode("utf-8").splitlines() if line]
    for number, row in enumerate(rows, start=1):
        if len(row) != 3:
            raise ValueError(f"{path}: row {number} has {len(row)} columns; it needs part, source and target")
    return [(row[1].strip(), row[2].strip()) for row in rows]


def _distinct(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    seen: set[tuple[int, str]] = set()
    kept = []
    for pair in pairs:
        sides = {(i, " ".join(sentence.casefold().split())) for i, sentence in enumerate(pair)}
        if not sides & seen and all(pair):
            kept.append(pair)
        seen |= sides
    return kept


def _tensors(pairs: Sequence[tuple[Sequence[int], Sequence[int]]], length: int) -> tuple[Tensor, Tensor]:
    inputs = torch.full((len(pairs), 2 * length), PAD)
    targets = torch.full((len(pairs), length), PAD)
    for row, (source, target) in enumerate(pairs):
        inputs[row, : len(source)] = torch.tensor(source)
        inputs[row, length : length + 1 + len(target)] = torch.tensor([START, *target])
        targets[row, : len(target) + 1] = torch.tensor([*target, END])
    return inputs, targets


def _bytes(word: str) -> _WORD:
    return tuple(_BYTES + b for b in word.encode("utf-8"))


def _merges(words: list[tuple[list[int], int]], most: int) -> list[_PAIR]:
    """Learn up to `most` merges from words as (tokens, count); the tokens are merged in place, the counts kept up."""
    counts: Counter[_PAIR] = Counter()
    where: dict[_PAIR, set[int]] = defaultdict(set)
    for place, (tokens, count) in enumerate(words):
        for pair in pairwise(tokens):
            counts[pair] += count
            where[pair].add(place)
    merges: list[_PAIR] = []
    while len(merges) < most and counts:
        best = max(counts, key=lambda pair: (counts[pair], pair))
        if counts[best] < 2:
            break
        new = _BYTES + 256 + len(merges)
        merges.append(best)
        for place in where.pop(best):
            tokens, count = words[place]
            counts.subtract(Counter({pair: n * count for pair, n in Counter(pairwise(tokens)).items()}))
            tokens[:] = _merged(tokens, best, new)
            for pair in pairwise(tokens):
                counts[pair] += count
                where[pair].add(place)
        del counts[best]
    return merges


def _merged(tokens: Sequence[int], pair: _PAIR, new: int) -> list[int]:
    merged: list[int] = []
    for token in tokens:
        if merged and (merged[-1], token) == pair:
            merged[-1] = new
        else:
            merged.append(token)
    return merged
