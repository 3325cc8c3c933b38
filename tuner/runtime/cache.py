"""A KV cache whose layers hold different lengths, and still says how many tokens it stands for.

`generate()` and the decoders ask a cache how long it is in order to place the next token. After a merge that is no
longer the number of entries held. `remember` puts a mixin over the cache's own class, so caches that users made work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache as memoize
from functools import partial

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

from tuner.errors import PolicyError


@dataclass(frozen=True)
class Held:
    """What a layer's cache holds of the first `tokens` tokens of a conversation.

    Attributes:
        tokens: how many tokens of the original sequence, padding included.
        entries: how many cache entries stand for them.
        real: [batch, entries] bool, False for padding; None when all are real.
        loose: how many of the last entries stand for a token each, in every row, so that they can be cut off again.
        sizes: [batch, entries] for how many tokens each entry counts in attention; None when for one each.
    """

    tokens: int = 0
    entries: int = 0
    real: Tensor | None = None
    loose: int = 0
    sizes: Tensor | None = None

    def followed_by(self, newer: Held) -> Held:
        """This and what is held of the tokens that came next."""
        real = _side_by_side((self.real, self.entries), (newer.real, newer.entries))
        sizes = _side_by_side((self.sizes, self.entries), (newer.sizes, newer.entries))
        loose = newer.loose + (self.loose if newer.loose == newer.tokens else 0)
        return Held(self.tokens + newer.tokens, self.entries + newer.entries, real, loose, sizes)

    def up_to(self, tokens: int, attention_mask: Tensor | None) -> Held:
        """This and the unmerged tokens up to `tokens`; `attention_mask` [batch, >= tokens] is 0 for padding."""
        new = tokens - self.tokens
        if new == 0:
            return self
        real = None if attention_mask is None else attention_mask[:, self.tokens : tokens].bool()
        return self.followed_by(Held(new, new, real, loose=new))

    def without(self, newest: int) -> Held:
        """This without its `newest` tokens, which must be loose."""
        entries = self.entries - newest
        return replace(
            self.each(lambda of_entries: of_entries[:, :entries]),
            tokens=self.tokens - newest,
            entries=entries,
            loose=self.loose - newest,
        )

    def each(self, change: Callable[[Tensor], Tensor]) -> Held:
        """This with a change of whatever is known entry by entry, [batch, entries]."""
        real = None if self.real is None else change(self.real)
        return replace(self, real=real, sizes=None if self.sizes is None else change(self.sizes))


def _side_by_side(older: tuple[Tensor | None, int], newer: tuple[Tensor | None, int]) -> Tensor | None:
    """What is known [batch, entries] of two stretches of so many entries; ones where nothing is known of one."""
    known = older[0] if newer[0] is None else newer[0]
    if known is None:
        return None
    ones = partial(known.new_ones, len(known))
    return torch.cat([ones(entries) if of_each is None else of_each for of_each, entries in (older, newer)], dim=1)


def site_before(layer: int, sites: Iterable[int]) -> int | None:
    """The deepest of the `sites` that `layer` lies behind, or None."""
    return max((site for site in sites if site <= layer), default=None)


def remember(cache: Cache, held: dict[int, Held]) -> None:
    """Makes `cache` remember what its layers hold, by the merge site they lie behind."""
    if not isinstance(cache, MergedCache):
        cache.__class__ = _merged_class(type(cache))  # type: ignore[arg-type]
    cache.held = held


class MergedCache(Cache):  # type: ignore[misc]  # transformers is untyped
    """Mixin for a cache that holds a merged prompt."""

    held: dict[int, Held]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens the layer's entries stand for, as if nothing had been merged."""
        if layer_idx < len(self.layers) and not isinstance(self.layers[layer_idx], CacheLayerMixin):
            # A state of no length; transformers asks the first layer that has one instead.
            layer_idx = next(at for at, layer in enumerate(self.layers) if isinstance(layer, CacheLayerMixin))
        site = site_before(layer_idx, self.held)
        merged_away = 0 if site is None else self.held[site].tokens - self.held[site].entries
        return int(super().get_seq_length(layer_idx)) + merged_away

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """Entries the layer really holds: what attention masks are made for."""
        return int(super().get_seq_length(layer_idx))

    def crop(self, tokens_to_remove: int) -> None:
        """Removes the newest tokens, as far back as none of them was merged."""
        remove = abs(tokens_to_remove)
        decoded = self.get_seq_length() - max(held.tokens for held in self.held.values())
        loose = min(held.loose for held in self.held.values())
        if remove > decoded + loose:
            raise PolicyError(
                f"cannot crop {remove} tokens from this cache: only the newest {decoded + loose} came after what was "
                "merged. Remove the policy to edit prompts in the cache, or prefill again."
            )
        super().crop(tokens_to_remove)
        if remove > decoded:
            self.held.update({site: held.without(remove - decoded) for site, held in self.held.items()})

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Keeps the masks in step with the beams."""
        super().reorder_cache(beam_idx)
        self._rows(lambda of_entries: of_entries.index_select(0, beam_idx.to(of_entries.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Keeps the masks in step with the batch."""
        super().batch_repeat_interleave(repeats)
        self._rows(lambda of_entries: of_entries.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keeps the masks in step with the batch."""
        super().batch_select_indices(indices)
        self._rows(lambda of_entries: of_entries[indices])

    def reset(self) -> None:
        """Empties the cache, which makes it an ordinary one again."""
        super().reset()
        del self.held
        self.__class__ = type(self).__bases__[1]

    def _rows(self, change: Callable[[Tensor], Tensor]) -> None:
        self.held.update({site: held.each(change) for site, held in self.held.items()})


@memoize
def _merged_class(cache_class: type) -> type:
    return type(f"Merged{cache_class.__name__}", (MergedCache, cache_class), {})
