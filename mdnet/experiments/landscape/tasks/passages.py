"""Passages of Shakespeare: how surprising their characters are, learnt from hashed n-grams by ten hidden units."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from mdnet.data.sources import find
from mdnet.experiments.landscape.task import Split, Walk
from mdnet.experiments.landscape.tasks.houses import HOUSES, HOUSES_SHORT, standardised
from mdnet.networks import mlp

FILES = ("tinyshakespeare.txt", "tinyshakespeare_like.txt")
EMBEDDING = 768
LENGTH = 1000  # characters of a passage
_TRAINING = 448 / 561  # the published share
_LONGEST = 3  # of the n-grams
_PRIME, _SPREAD = 257, 2_654_435_761  # of the hash: a polynomial in the characters, spread by Knuth's multiplier


def passages(points: int, seed: int = 1) -> Split:
    """Return `points` passages of 1000 characters, embedded in 768 numbers, and how surprising their characters are.

    The published inputs are a language model's embeddings of texts, 768 numbers each, the targets a property of the
    texts. Here a text is embedded by counting its n-grams of one to three characters in 768 columns by a hash; the
    roots of the counts, less their mean over training rows, are brought to unit length. Its property, standardised by
    training rows, is the mean surprisal -ln p(c | two characters before) by a Markov model of the passages that were
    not drawn, fitted with one count added to each. 448 of 561 passages train. Raises FileNotFoundError saying what to
    get where there is no text, and ValueError for more points than half of the text, the other half being the model's.

    Reference: Weinberger, Dasgupta, Langford, Smola, Attenberg, ICML 2009 (hashing).
    """
    text = _characters(find("shakespeare", FILES, "https://github.com/karpathy/char-rnn, data/tinyshakespeare"))
    slots = text[: len(text) - len(text) % LENGTH].reshape(-1, LENGTH)
    if points < 4 or points > len(slots) // 2:
        raise ValueError(f"points = {points}: of this text there are 4 to {len(slots) // 2} passages of {LENGTH}")
    order = np.random.RandomState(seed).permutation(len(slots))
    chosen, training = slots[order[:points]], round(_TRAINING * points)
    roots = torch.from_numpy(np.sqrt(n_grams(chosen))).float()
    inputs = normalize(roots - roots[:training].mean(0))
    targets = standardised(torch.from_numpy(surprisal(chosen, slots[order[points:]])).float()[:, None], training)
    return Split(inputs[:training], targets[:training], inputs[training:], targets[training:])


def n_grams(texts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for texts (n, characters) how often an n-gram of one to three characters falls into a column (n, 768)."""
    rows = np.arange(len(texts))[:, None]
    counts = np.zeros((len(texts), EMBEDDING))
    code = np.zeros_like(texts)
    for length in range(1, _LONGEST + 1):
        code = _PRIME * code[:, : texts.shape[1] - length + 1] + texts[:, length - 1 :] + 1
        np.add.at(counts, (rows, (code * _SPREAD % 2**32) * EMBEDDING >> 32), 1.0)
    return counts


def surprisal(texts: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean of -ln p(c | two before) in texts (n, characters), by the counts of other texts (m, characters).

    p = (count + 1)/(count of the two before + characters), with all characters that occur anywhere.
    """
    size = int(max(texts.max(), others.max())) + 1
    counts = np.bincount(_triples(others, size).ravel(), minlength=size**3).reshape(-1, size) + 1.0
    nats = -np.log(counts / counts.sum(1, keepdims=True)).ravel()
    found: NDArray[np.float64] = nats[_triples(texts, size)].mean(1)
    return found


def _triples(texts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return (texts[:, :-2] * size + texts[:, 1:-1]) * size + texts[:, 2:]


@cache
def _characters(path: Path) -> NDArray[np.int64]:
    """Number the characters of a text, in the order of their code points."""
    text = path.read_text(encoding="utf-8")
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)


LANGUAGE = replace(
    HOUSES,
    name="language",
    title="Surprisal of passages of Shakespeare from 768 hashed n-grams: one hidden layer of W units of ReLU",
    network=lambda width: mlp(EMBEDDING, 1, (width,), "relu"),
    data=passages,
    y_low=-2.0,
    y_high=3.0,
    cells=((10, 561),),
    full=Walk(dt=3e-5, friction=333.0, walkers=8, learn=10_000_000, count=5_000_000),
)
LANGUAGE_SHORT = replace(
    LANGUAGE,
    name="language-shortened",
    title="Surprisal of passages of Shakespeare, shortened: 200 passages in place of 561",
    cells=((10, 200),),
    low=HOUSES_SHORT.low,
    short=replace(HOUSES_SHORT.short, dt=0.02),
    needs="",
)
