"""One forward pass under a policy: merges at the sites, and gives the layers behind them matching masks, positions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from transformers import Cache

from tuner.errors import PolicyError
from tuner.methods.base import Rule, Seen
from tuner.runtime.affinity import Groups, Position
from tuner.runtime.attention import Attention, attention_of
from tuner.runtime.cache import Held, MergedCache, remember, site_before
from tuner.runtime.masks import FULL, SLIDING, last_rows, mask_for, weighed
from tuner.runtime.prompt import Prompt, Tokens


class ForwardPass:
    """The state of one forward pass.

    Args:
        prompt: the new tokens.
        config: the decoder's config, which says what kind of attention mask its layers take.
        kinds: what kind each decoder layer is of (`tuner.runtime.masks.layer_kinds`).
        rules: by the layer of each merge site, what decides there.
        position: which member's position a merged token keeps.
        size_weighted: whether merged tokens count in means as many times as they stand for tokens.
        proportional: whether they do so in attention.
    """

    def __init__(
        self,
        prompt: Prompt,
        config: Any,
        kinds: Sequence[str],
        rules: Mapping[int, Rule],
        position: Position,
        size_weighted: bool = False,
        proportional: bool = False,
    ) -> None:
        self._prompt = prompt
        self._config = config
        self._kinds = kinds
        self._rules = rules
        self._position = position
        self._cache: Cache | None = None
        self._held_before: Mapping[int, Held] = {}
        self._held: dict[int, Held] = {}
        # By layer, the tokens from there on; a site that merges adds to it.
        self._tokens: dict[int, Tokens] = {} if prompt.tokens is None else {0: prompt.tokens}
        # [batch, entries] which of the prompt's tokens each entry keeps the position of; None while nothing is merged.
        self._origin: Tensor | None = None
        # [batch, tokens] which entry stands for each of the prompt's tokens; the way back.
        self._entry: Tensor | None = None
        # [batch, entries] how many tokens each entry stands for; None where that does not count, or all are one.
        self._sizes: Tensor | None = None
        self._size_weighted, self._proportional = size_weighted, proportional
        self._idle = False
        self._masks: dict[tuple[int, str], Tensor | None] = {}
        self._taken: dict[int, tuple[Any, Any]] = {}

    def taken_up(self, rules: Mapping[int, Rule]) -> ForwardPass:
        """A copy to go on from, without a cache; `rules` are those of this pass and others behind where it stopped."""
        again = copy.copy(self)
        again._rules = rules
        again._cache = None
        again._tokens, again._held, again._masks = dict(self._tokens), dict(self._held), dict(self._masks)
        again._taken = {}  # it goes by the identity of objects that are gone
        return again

    @property
    def has_labels(self) -> bool:
        """Whether a loss is asked for."""
        return self._prompt.has_labels

    def knows(self, hidden: Tensor) -> bool:
        """Whether the hidden states [..., tokens, hidden] that enter the decoder are those of the prompt's tokens."""
        return hidden.shape[-2] == self._prompt.length

    def enter(
        self, layer: int, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Prepares the arguments of decoder layer number `layer`, whose own `forward` it is; None when they are right
        as they are."""
        if self._idle and kwargs.get("attention_mask") is None:
            return None
        hidden, *others = args
        if layer == min(self._rules):
            if not self.knows(hidden):
                raise PolicyError(
                    f"the prompt has {self._prompt.length} tokens, but {hidden.shape[-2]} reached the decoder: the "
                    "model itself expands its audio placeholders (the legacy path), so it is not known which are "
                    "audio. Let the processor expand them: call it with the text and the audio together."
                )
            self._adopt(kwargs.get("past_key_values"))
        if layer in self._rules and self._prompt.has_audio:
            attend = partial(self._attention, forward, hidden, others, kwargs)
            hidden = self._merge(layer, hidden, attend)
        site = site_before(layer, self._held)
        if site is None:
            return None
        mask = self._mask(layer, site, hidden)
        if self._origin is not None:
            others = [self._take(value) for value in others]
            kwargs = {name: self._take(value) for name, value in kwargs.items() if name != "attention_mask"}
        return (hidden, *others), kwargs | {"attention_mask": mask}

    def leave(self, hidden: Tensor) -> Tensor:
        """Gives every token of the prompt the state of the entry that stands for it: [batch, entries, hidden] ->
        [batch, tokens, hidden]."""
        if self._entry is None:
            return hidden
        return torch.take_along_dim(hidden, self._entry[..., None], dim=1)

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
        self._cache = cache
        if isinstance(cache, MergedCache):
            first = min(cache.held)
            if first < min(self._rules):
                raise PolicyError(
                    f"this cache was filled under another policy, which merged before layer {first}; this one first "
                    f"merges before layer {min(self._rules)}. Start the conversation with a new cache."
                )
            self._held_before = cache.held
            self._held = dict(cache.held)
            self._idle = self._sees_everything()

    def _sees_everything(self) -> bool:
        """Whether this is a decoding step in which every layer attends to all that its cache holds: nothing to do."""
        alike = all(held.real is None and held.sizes is None for held in self._held.values())
        padded = self._prompt.attention_mask is not None
        step = self._prompt.length == 1 and self._prompt.tokens is None
        return step and alike and not padded and SLIDING not in self._kinds

    def _attention(
        self, forward: Callable[..., Any], hidden: Tensor, others: list[Any], kwargs: dict[str, Any]
    ) -> Attention:
        """The attention of a layer that is about to run, among the tokens as they are before its own merge."""
        if self._origin is not None:
            others = [self._take(value) for value in others]
            kwargs = {name: self._take(value) for name, value in kwargs.items() if name != "attention_mask"}
        return attention_of(forward, (hidden, *others), kwargs, self._latest.real)

    @property
    def _latest(self) -> Tokens:
        """What is known of the tokens as the last site left them."""
        return next(reversed(self._tokens.values()))

    def _merge(self, layer: int, hidden: Tensor, attend: Callable[[], Attention]) -> Tensor:
        """Pools hidden states [batch, entries, hidden] at a site and notes what the layers behind it will hold."""
        prompt, tokens = self._prompt, self._latest
        said = self._rules[layer](Seen(main_stream(hidden), tokens.mergeable, tokens.real, attend))
        groups = Groups.form(said.joined, tokens.real, said.kept)
        if groups.shorter:
            hidden = hidden if said.blend is None else blended(hidden, said.blend)
            hidden = pooled(groups, hidden, self._weights(groups, said.weights))
            kept = groups.member(self._position)
            self._origin = kept if self._origin is None else self._origin.gather(1, kept)
            if prompt.has_labels:
                self._entry = groups.entry() if self._entry is None else groups.entry().gather(1, self._entry)
            self._tokens[layer] = tokens = tokens.keep(kept, groups.real)
            self._taken.clear()
        if self._origin is not None:
            before = site_before(layer, self._held_before)
            held = Held() if before is None else self._held_before[before]
            real, sizes = None if groups.full else groups.real, self._sizes if self._proportional else None
            new = Held(prompt.length, hidden.shape[-2], real, prompt.text_after, sizes)
            self._held[layer] = held.up_to(prompt.past, prompt.attention_mask).followed_by(new)
        return hidden

    def _weights(self, groups: Groups, weights: Tensor | None) -> Tensor | None:
        """How much each entry counts in the means of `groups`, a method's `weights` taken in; notes their sizes."""
        if not (self._size_weighted or self._proportional):
            return weights
        sizes = self._sizes
        members = torch.ones_like(groups.place) if sizes is None else sizes
        self._sizes = torch.where(groups.real, groups.totals(members[..., None]).squeeze(-1), 1)
        if sizes is None or not self._size_weighted:
            return weights
        return sizes if weights is None else sizes * weights

    def _mask(self, layer: int, site: int, hidden: Tensor) -> Tensor | None:
        """The mask for `layer`, which lies behind `site`; the one the decoder made is for unmerged tokens.

        It is made at the first layer of its kind behind the site, whose cache has not seen the new entries yet. Layers
        that share another's keys and values have no cache of their own to ask, and may go on with the last rows alone.
        """
        kind, rows = self._kinds[layer], hidden.shape[-2]
        if (site, kind) not in self._masks:
            prompt = self._prompt
            held = self._held[site].up_to(prompt.past + prompt.length, prompt.attention_mask)
            main = main_stream(hidden)
            mask = mask_for(kind, self._config, layer, main, held.real, self._cache)
            if held.sizes is not None and kind in (FULL, SLIDING):
                mask = weighed(mask, held.sizes, main)
            self._masks[site, kind] = mask
        return last_rows(self._masks[site, kind], rows)

    def _take(self, value: Any) -> Any:
        """Picks the merged tokens out of whatever holds one row per prompt token: positions, rotary embeddings.

        All layers are handed the same objects, so each is picked from only once.
        """
        if id(value) not in self._taken:
            self._taken[id(value)] = (value, take_tokens(value, cast(Tensor, self._origin), self._prompt.length))
        return self._taken[id(value)][1]


def main_stream(hidden: Tensor) -> Tensor:
    """[batch, entries, hidden] of hidden states that may run in several streams (AltUp); the first is the one that
    every layer computes, https://arxiv.org/abs/2301.13310."""
    return hidden[0] if hidden.dim() == 4 else hidden


def blended(hidden: Tensor, blend: Tensor) -> Tensor:
    """Moves each of hidden states [..., batch, entries, hidden] a share of the way to the one behind it."""
    behind = torch.cat([hidden[..., 1:, :], hidden[..., -1:, :]], dim=-2)
    return torch.lerp(hidden.float(), behind.float(), blend[..., None].float()).to(hidden.dtype)


def pooled(groups: Groups, hidden: Tensor, weights: Tensor | None) -> Tensor:
    """Means of the groups, in each of the streams where there are several: [streams, batch, entries, hidden]."""
    if hidden.dim() == 3:
        return groups.pool(hidden, weights)
    streams, batch, _, width = hidden.shape
    side_by_side = groups.pool(hidden.movedim(0, 2).flatten(2), weights)
    return side_by_side.view(batch, -1, streams, width).movedim(2, 0)


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
