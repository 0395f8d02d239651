"""A small encoder-decoder transformer that translates: one tensor of tokens in, logits of the next token out."""

from __future__ import annotations

from math import log, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdnet.data.translation import PAD


class Transformer(nn.Module):
    """An encoder-decoder transformer, normalised before each part, with sinusoidal positions:

        x <- x + attention(norm(x)),      x <- x + W_2 gelu(W_1 norm(x)),      logits = E norm(x)

    from x = sqrt(width) E + positions, with E the embedding of the tokens, one for source, target and output.
    Inputs (n, 2 length) int64 are the source beside the target moved on by one place (START first), both padded with
    PAD; the logits (n, length, tokens) at a place depend on the source and on the target up to that place. `dropout`:
    of each part's result in training mode.

    Raises ValueError for sizes below one, a width that is odd or not a multiple of `heads`, dropout not in [0, 1).

    Reference: Vaswani et al., NeurIPS 2017, arXiv:1706.03762; Xiong et al., ICML 2020 (the order of the norms).
    """

    positions: Tensor

    def __init__(
        self, tokens: int, length: int, *, width: int = 64, heads: int = 4, layers: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__()
        sizes = {"tokens": tokens, "length": length, "width": width, "heads": heads, "layers": layers}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} = {size} must be one or more")
        if width % heads or width % 2:
            raise ValueError(f"width = {width} must be even, and a multiple of heads = {heads}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout = {dropout} must be a probability from 0 to less than 1")
        self.length, self.scale = length, sqrt(width)
        self.embedding = Embedding(tokens, width)
        self.encoder = nn.ModuleList(EncoderLayer(width, heads, dropout) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(width, heads, dropout) for _ in range(layers))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.register_buffer("positions", sinusoids(length, width))
        self.register_buffer("past", torch.ones(length, length, dtype=torch.bool).tril())

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits (n, length, tokens) for tokens (n, 2 length)."""
        source, target = tokens[:, : self.length], tokens[:, self.length :]
        seen = (source != PAD)[:, None, None]  # (n, 1, 1, length)
        x = self.scale * self.embedding(source) + self.positions
        for layer in self.encoder:
            x = layer(x, seen)
        memory = self.encoder_norm(x)
        y = self.scale * self.embedding(target) + self.positions
        for layer in self.decoder:
            y = layer(y, memory, self.past, seen)
        return functional.linear(self.decoder_norm(y), self.embedding.weight)


class Embedding(nn.Embedding):
    """Vectors of tokens that begin with the variance 1/width, so that weights are alike in scale."""

    def reset_parameters(self) -> None:
        """Draw the vectors anew."""
        nn.init.normal_(self.weight, std=self.embedding_dim**-0.5)


class EncoderLayer(nn.Module):
    """Self-attention over the source, and a map of each place; x (n, length, width) -> the same."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.places = nn.LayerNorm(width), _places(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """Return the new x; `seen`: the places to attend to, (n, 1, 1, length)."""
        inner = self.norm1(x)
        x = x + self.dropout(self.attention(inner, inner, seen))
        y: Tensor = x + self.dropout(self.places(self.norm2(x)))
        return y


class DecoderLayer(nn.Module):
    """Self-attention over the target's past, attention to the source, a map of each place; (n, length, width)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.crossing = nn.LayerNorm(width), Attention(width, heads)
        self.norm3, self.places = nn.LayerNorm(width), _places(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, past: Tensor, seen: Tensor) -> Tensor:
        """Return the new x; `past` (length, length) and `seen` (n, 1, 1, length): the places to attend to."""
        inner = self.norm1(x)
        x = x + self.dropout(self.attention(inner, inner, past))
        x = x + self.dropout(self.crossing(self.norm2(x), memory, seen))
        y: Tensor = x + self.dropout(self.places(self.norm3(x)))
        return y


class Attention(nn.Module):
    """softmax(Q K^T/sqrt(d)) V in several heads of d = width/heads, written out, so that it can be vectorised."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor, allowed: Tensor) -> Tensor:
        """Return what the places x (n, places, width) take from memory (n, others, width) where it is allowed."""
        q, k, v = self._split(self.query(x)), self._split(self.key(memory)), self._split(self.value(memory))
        scores = q @ k.mT / sqrt(q.shape[-1])  # (n, heads, places, others)
        taken = scores.masked_fill(~allowed, -1e9).softmax(-1) @ v
        y: Tensor = self.output(taken.transpose(1, 2).flatten(2))
        return y

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)  # (n, heads, places, d)


def token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy () over all tokens that are not padding: (n, length, tokens), (n, length).

    A mean over tokens: of a batch of short sentences each token counts for more than of one of long sentences.
    """
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD)


def sinusoids(length: int, width: int) -> Tensor:
    """Return sin(t w_k) beside cos(t w_k) with w_k = 10000^(-2 k/width): (length, width)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-log(10_000.0) / width))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], -1)


def _places(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
