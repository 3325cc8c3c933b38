"""What a decoder's passes cost, part by part, in numbers that hold for every length of prompt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scan:
    """FLOPs of a state space's scan, which works in chunks and fills up the last one.

    Attributes:
        chunk: tokens in a chunk.
        linear: FLOPs that each chunk adds.
        quadratic: FLOPs for each pair of chunks, by which states pass from chunk to chunk.
    """

    chunk: int
    linear: int
    quadratic: int

    def flops(self, tokens: int) -> int:
        """FLOPs over so many tokens."""
        chunks = -(-tokens // self.chunk)
        return (self.linear + self.quadratic * chunks) * chunks


@dataclass(frozen=True)
class LayerShape:
    """What one layer costs.

    Attributes:
        token: FLOPs that each token of a prompt adds.
        step: FLOPs of a decoding pass without its query-key pairs.
        pair: FLOPs of a query-key pair, all heads together.
        once: FLOPs of a prefill pass that come with any number of tokens; those of the last row where it is alone.
        last_row: whether prefill processes only the row that generation goes on from, as layers can that use the keys
            of an earlier one.
        scan: the scan of a state space.
        cache_width: numbers that a token leaves in the cache, keys and values together.
        state_bytes: bytes in the cache that no number of tokens changes.
        window: the sliding attention's window in tokens, None for full attention.
    """

    token: int
    step: int
    pair: int = 0
    once: int = 0
    last_row: bool = False
    scan: Scan | None = None
    cache_width: int = 0
    state_bytes: int = 0
    window: int | None = None

    def cached(self, tokens: int) -> int:
        """How many of so many tokens can still be attended to (a window of n looks n - 1 tokens back)."""
        return tokens if self.window is None else min(tokens, self.window - 1)

    def prefill(self, tokens: int) -> int:
        """FLOPs of a prompt with so many tokens, all query-key pairs counted, masked or not."""
        pairs = tokens if self.last_row else tokens * tokens
        scan = 0 if self.scan is None else self.scan.flops(tokens)
        return self.once + self.token * tokens + self.pair * pairs + scan

    def decode(self, past: int) -> int:
        """FLOPs of a pass for one token after so many others."""
        return self.step + self.pair * (self.cached(past) + 1)

    def cache_bytes(self, tokens: int, bytes_per_element: int) -> int:
        """Bytes in the cache after so many tokens."""
        return self.state_bytes + self.cache_width * self.cached(tokens) * bytes_per_element


@dataclass(frozen=True)
class DecoderShape:
    """What a decoder costs.

    Attributes:
        layers: its layers, in order.
        head: entries of the output head (the same work whether tied to the embeddings or not).
        entry: FLOPs before the first layer in a decoding pass. Those of a prefill count with the encoder, whose work
            merging does not shorten either.
        exit: what comes after the last layer, without the head.
    """

    layers: tuple[LayerShape, ...]
    head: int
    entry: int = 0
    exit: LayerShape = LayerShape(token=0, step=0)
