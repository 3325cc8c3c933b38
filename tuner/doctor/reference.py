"""What merging means, spelt out: one utterance, no cache, Python loops over tokens, an explicit mask in every layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tuner.policy import MergeSite
from tuner.runtime.models import SpeechModel, describe

Inputs = Mapping[str, Any]


@dataclass
class Reference:
    """What the slow way computes for one utterance.

    Attributes:
        logits: [entries, vocabulary] of everything that reached the output head.
        loss: the loss, where labels were given.
        kept: by layer, which original token each entry keeps the position of.
        audio: by layer, whether each entry is audio.
        hidden: by layer, what entered it, [entries, hidden].
        continued: how many of the last entries came after the prompt.
    """

    logits: Tensor
    loss: Tensor | None = None
    kept: list[list[int]] = field(default_factory=list)
    audio: list[list[bool]] = field(default_factory=list)
    hidden: list[Tensor] = field(default_factory=list)
    continued: int = 0

    @property
    def tokens(self) -> list[int]:
        """By layer, how many entries stand for the prompt."""
        return [len(kept) - self.continued for kept in self.kept]

    @property
    def audio_tokens(self) -> list[int]:
        """By layer, how many of them are audio."""
        return [sum(audio) for audio in self.audio]


def groups_of(
    hidden: Tensor, mergeable: Sequence[bool], threshold: float, window: int, largest: int = 0
) -> list[list[int]]:
    """Groups the tokens of hidden [tokens, width] from left to right."""
    groups: list[list[int]] = []
    for token in range(len(hidden)):
        previous = groups[-1] if groups else []
        comparable = mergeable[token] and bool(previous) and mergeable[previous[-1]]
        members = previous[-window:] if comparable else []
        similarities = [float(torch.cosine_similarity(hidden[token], hidden[member], dim=0)) for member in members]
        room = not largest or len(previous) < largest
        if similarities and max(similarities) >= threshold and room:
            previous.append(token)
        else:
            groups.append([token])
    return groups


@torch.no_grad()
def reference(
    model: Any,
    inputs: Inputs,
    sites: Sequence[MergeSite],
    position: str = "first",
    min_audio_tokens: int = 0,
    continuation: Sequence[int] = (),
    labels: Tensor | None = None,
    heard: Tensor | None = None,
    proportional: bool = False,
) -> Reference:
    """Runs one unpadded utterance and `continuation` through a bare model, merging by hand.

    Args:
        model: a speech LLM without a policy.
        inputs: what its processor makes of one utterance.
        sites, position, min_audio_tokens, proportional: as in a policy.
        continuation: tokens that were generated, or said in a later turn.
        labels: [1, tokens] for a loss over the whole prompt.
        heard: [1, tokens, hidden] what enters the decoder for the prompt, instead of what the encoder makes of the
            utterance alone.
    """
    by_hand = _ByHand(
        describe(model), inputs, sites, position, min_audio_tokens, len(continuation), heard, proportional
    )
    longer = continued(inputs, continuation)
    with by_hand.replacing_layers(unpool=labels is not None):
        output = model(**longer, use_cache=False, **({} if labels is None else {"labels": labels}))
    return Reference(
        output.logits[0], output.get("loss"), by_hand.kept_at, by_hand.audio_at, by_hand.hidden_at, len(continuation)
    )


def greedy(
    model: Any,
    inputs: Inputs,
    sites: Sequence[MergeSite],
    new_tokens: int,
    position: str = "first",
    never: Sequence[int] = (),
    heard: Tensor | None = None,
    proportional: bool = False,
) -> list[int]:
    """The next tokens, most likely ones but for those in `never`, each from a pass over everything before it."""
    said: list[int] = []
    for _ in range(new_tokens):
        slow = reference(model, inputs, sites, position, continuation=said, heard=heard, proportional=proportional)
        logits = slow.logits[-1]
        logits[list(never)] = -torch.inf
        said.append(int(logits.argmax()))
    return said


def continued(inputs: Inputs, continuation: Sequence[int]) -> dict[str, Any]:
    """The inputs with tokens behind them; what says something of each token says zero of these, masks say one."""
    length = inputs["input_ids"].shape[1]
    longer = dict(inputs)
    for name, value in inputs.items():
        if isinstance(value, Tensor) and value.shape == (1, length) and not value.is_floating_point():
            more = value.new_zeros(1, len(continuation))
            if name == "input_ids":
                more = torch.tensor([list(continuation)], dtype=value.dtype, device=value.device)
            elif name == "attention_mask":
                more = torch.ones_like(more)
            longer[name] = torch.cat([value, more], dim=1)
    return longer


class _ByHand:
    """Decoder layers that merge before they run. State goes from layer to layer in plain lists."""

    def __init__(
        self,
        speech: SpeechModel,
        inputs: Inputs,
        sites: Sequence[MergeSite],
        position: str,
        min_audio_tokens: int,
        continued: int,
        heard: Tensor | None,
        proportional: bool,
    ) -> None:
        ids = inputs["input_ids"][0].tolist()
        self.speech, self.position, self.heard, self.replaced = speech, position, heard, False
        self.proportional = proportional
        self.at = {site.layer: site for site in sites}
        self.length = len(ids) + continued
        self.is_audio = [token == speech.audio_token_id for token in ids] + [False] * continued
        long_enough = sum(self.is_audio) >= min_audio_tokens
        self.mergeable = [audio and long_enough and token != len(ids) - 1 for token, audio in enumerate(self.is_audio)]
        self.kept = list(range(self.length))
        self.members = [[token] for token in self.kept]  # of every entry, the original tokens
        self.kept_at: list[list[int]] = []
        self.audio_at: list[list[bool]] = []
        self.hidden_at: list[Tensor] = []

    @contextmanager
    def replacing_layers(self, *, unpool: bool) -> Iterator[None]:
        with ExitStack() as stack:
            for number, layer in enumerate(self.speech.layers):
                layer.forward = partial(self._layer, number, layer.forward)
                stack.callback(delattr, layer, "forward")
            stack.callback(self.speech.decoder.register_forward_pre_hook(self._enter, with_kwargs=True).remove)
            if unpool:
                stack.callback(self.speech.decoder.register_forward_hook(self._unpool).remove)
            yield

    def _layer(self, number: int, genuine: Callable[..., Any], hidden: Tensor, *others: Any, **named: Any) -> Any:
        if number == 0 and not self.replaced:
            hidden = self._hear(hidden)
        if number in self.at:
            hidden = self._merge(hidden, self.at[number])
        self.kept_at.append(self.kept)
        self.audio_at.append(self.is_audio)
        self.hidden_at.append(first_stream(hidden)[0])
        named = {name: self._pick(value) for name, value in named.items()}
        named["attention_mask"] = self._mask(number, hidden)
        return genuine(hidden, *(self._pick(value) for value in others), **named)

    def _hear(self, embedded: Tensor) -> Tensor:
        """Puts what is to be heard in the place of what the encoder made."""
        self.replaced = True
        return embedded if self.heard is None else torch.cat([self.heard, embedded[:, self.heard.shape[1] :]], dim=1)

    def _enter(self, module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        given = kwargs.get("inputs_embeds")
        return None if given is None else (args, kwargs | {"inputs_embeds": self._hear(given)})

    def _merge(self, hidden: Tensor, site: MergeSite) -> Tensor:
        audio = first_stream(hidden)[0].float()
        groups = groups_of(audio, self.mergeable, site.threshold, site.window, site.largest)
        means = [hidden[..., group, :].float().mean(-2).to(hidden.dtype) for group in groups]
        kept = [_member(group, self.position) for group in groups]
        self.kept = [self.kept[index] for index in kept]
        self.members = [[token for index in group for token in self.members[index]] for group in groups]
        self.mergeable = [self.mergeable[index] for index in kept]
        self.is_audio = [self.is_audio[index] for index in kept]
        return torch.stack(means, dim=-2)

    def _mask(self, number: int, hidden: Tensor) -> Tensor | None:
        """[1, 1, entries, entries], minus infinity where a query must not look, else how much more it sees of a key."""
        config, entries = self.speech.text_config, len(self.kept)
        window: int | None = getattr(config, "sliding_window", None)
        kinds = getattr(config, "layer_types", None)
        kind = kinds[number] if kinds else "full_attention" if window is None else "sliding_attention"
        if kind not in ("full_attention", "sliding_attention"):
            return None
        mask = torch.full((entries, entries), torch.finfo(hidden.dtype).min, dtype=hidden.dtype, device=hidden.device)
        for query in range(entries):
            oldest = max(0, query - (window or 0) + 1) if kind == "sliding_attention" else 0
            for key in range(oldest, query + 1):
                mask[query, key] = math.log(len(self.members[key])) if self.proportional else 0.0
        return mask[None, None]

    def _pick(self, value: Any) -> Any:
        """The rows of the kept tokens, of whatever has a row for each token."""
        if isinstance(value, tuple):
            return tuple(self._pick(one) for one in value)
        if not isinstance(value, Tensor):
            return value
        dim = -2 if value.is_floating_point() else -1
        if value.dim() < -dim or value.shape[dim] != self.length:
            return value
        return torch.stack([value.select(dim, token) for token in self.kept], dim=dim)

    def _unpool(self, module: Any, args: Any, output: Any) -> Any:
        hidden = output.last_hidden_state
        rows = [hidden[:, entry] for entry, tokens in enumerate(self.members) for _ in tokens]
        output["last_hidden_state"] = torch.stack(rows, dim=1)
        return output


def first_stream(hidden: Tensor) -> Tensor:
    """Of hidden states that run in several streams, the first."""
    return hidden[0] if hidden.dim() == 4 else hidden


def _member(group: list[int], position: str) -> int:
    return {"first": group[0], "middle": group[(len(group) - 1) // 2], "last": group[-1]}[position]
