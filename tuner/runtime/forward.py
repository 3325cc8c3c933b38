"""One forward pass under a policy: merges at the sites, and gives the layers behind them matching masks, positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.masking_utils import create_causal_mask

from tuner.errors import PolicyError
from tuner.policy import MergeSite
from tuner.runtime.affinity import Groups, Position, joins
from tuner.runtime.cache import Held, MergedCache, remember, site_before
from tuner.runtime.prompt import Prompt, Tokens


class ForwardPass:
    """The state of one forward pass.

    Args:
        prompt: the new tokens.
        config: the decoder's config, which says what kind of attention mask its layers take.
        sites: merge sites by layer.
        position: which member's position a merged token keeps.
    """

    def __init__(self, prompt: Prompt, config: Any, sites: Mapping[int, MergeSite], position: Position) -> None:
        self._prompt = prompt
        self._config = config
        self._sites = sites
        self._position = position
        self._cache: Cache | None = None
        self._held_before: Mapping[int, Held] = {}
        self._held: dict[int, Held] = {}
        # By layer, the tokens from there on; a site that merges adds to it.
        self._tokens: dict[int, Tokens] = {} if prompt.tokens is None else {0: prompt.tokens}
        # [batch, entries] which of the prompt's tokens each entry keeps the position of; None while nothing is merged.
        self._origin: Tensor | None = None
        self._masks: dict[int, Tensor | None] = {}
        self._taken: dict[int, tuple[Any, Any]] = {}

    def enter(
        self, layer: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Prepares the arguments of decoder layer number `layer`; None when they are right as they are."""
        hidden, *others = args
        if layer == min(self._sites):
            self._adopt(kwargs.get("past_key_values"))
        if layer in self._sites and self._prompt.has_audio:
            hidden = self._merge(hidden, self._sites[layer])
        site = site_before(layer, self._held)
        if site is None:
            return None
        if site not in self._masks:
            self._masks[site] = self._causal_mask(layer, self._held[site], hidden)
        others = [self._take(value) for value in others]
        taken = {name: self._take(value) for name, value in kwargs.items() if name != "attention_mask"}
        return (hidden, *others), taken | {"attention_mask": self._masks[site]}

    def finish(self) -> None:
        """Leaves with the cache what later passes need to know."""
        if self._origin is not None and self._cache is not None:
            remember(self._cache, self._held)

    def lengths(self, layers: int) -> tuple[Tensor, Tensor] | None:
        """Real tokens and audio tokens that each layer processed, both [batch, layers]; None in decoding."""
        at_layer = [tokens for layer in range(layers) if (tokens := self.tokens_at(layer)) is not None]
        if not at_layer:
            return None
        return (
            torch.stack([tokens.real.sum(1) for tokens in at_layer], dim=1),
            torch.stack([tokens.audio.sum(1) for tokens in at_layer], dim=1),
        )

    def tokens_at(self, layer: int) -> Tokens | None:
        """What is known of the tokens that `layer` processes; None in decoding."""
        return self._tokens[site_before(layer, self._tokens) or 0] if self._tokens else None

    def _adopt(self, cache: Cache | None) -> None:
        """Takes up the cache and what earlier passes left with it."""
        if cache is not None and cache.is_compileable:
            raise PolicyError(
                f"a {type(cache).__name__} has a fixed length, which merging cannot shorten. Use the default, dynamic "
                "cache."
            )
        self._cache = cache
        if isinstance(cache, MergedCache):
            first = min(cache.held)
            if first < min(self._sites):
                raise PolicyError(
                    f"this cache was filled under another policy, which merged before layer {first}; this one first "
                    f"merges before layer {min(self._sites)}. Start the conversation with a new cache."
                )
            self._held_before = cache.held
            self._held = dict(cache.held)

    def _merge(self, hidden: Tensor, site: MergeSite) -> Tensor:
        """Pools hidden states [batch, entries, hidden] at a site and notes what the layers behind it will hold."""
        prompt, tokens = self._prompt, next(reversed(self._tokens.values()))
        groups = Groups.form(joins(hidden, tokens.mergeable, site.threshold, site.window), tokens.real)
        if groups.largest > 1:
            hidden = groups.pool(hidden)
            kept = groups.member(self._position)
            self._origin = kept if self._origin is None else self._origin.gather(1, kept)
            self._tokens[site.layer] = tokens = tokens.keep(kept, groups.real)
            self._taken.clear()
        if self._origin is not None:
            before = site_before(site.layer, self._held_before)
            held = Held() if before is None else self._held_before[before]
            new = Held(prompt.length, hidden.shape[1], None if groups.full else groups.real)
            self._held[site.layer] = held.up_to(prompt.past, prompt.attention_mask).followed_by(new)
        return hidden

    def _causal_mask(self, layer: int, held: Held, hidden: Tensor) -> Tensor | None:
        """The attention mask of the layers that hold `held`; the one the decoder made is for unmerged tokens."""
        real = held.up_to(self._prompt.past + self._prompt.length, self._prompt.attention_mask).real
        mask: Tensor | None = create_causal_mask(
            config=self._config,
            inputs_embeds=hidden,
            attention_mask=real,
            past_key_values=self._cache,
            layer_idx=layer,
        )
        return mask

    def _take(self, value: Any) -> Any:
        """Picks the merged tokens out of whatever holds one row per prompt token: positions, rotary embeddings.

        All layers are handed the same objects, so each is picked from only once.
        """
        if self._origin is None:
            return value
        if id(value) not in self._taken:
            self._taken[id(value)] = (value, take_tokens(value, self._origin, self._prompt.length))
        return self._taken[id(value)][1]


def take_tokens(value: Any, index: Tensor, length: int) -> Any:
    """Picks tokens out of a tensor, or out of every tensor in a tuple, list or dict; the rest is returned as it is.

    Args:
        value: floating tensors of [..., length, width] (rotary embeddings) and others of [..., length] (position ids,
            masks) are picked from, where "..." is the batch, or one row for all of it, and any dimensions before that.
        index: [batch, picked] which tokens to pick.
        length: number of tokens there are.
    """
    if isinstance(value, (tuple, list)):
        return type(value)(take_tokens(item, index, length) for item in value)
    if isinstance(value, dict):
        return {name: take_tokens(item, index, length) for name, item in value.items()}
    if not isinstance(value, Tensor):
        return value
    token_dim = -2 if value.is_floating_point() else -1
    if value.dim() < -token_dim or value.shape[token_dim] != length:
        return value
    index = index[..., None] if token_dim == -2 else index
    return torch.take_along_dim(value, index.view(*[1] * (value.dim() - index.dim()), *index.shape), dim=token_dim)
