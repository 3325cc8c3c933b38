"""Hooks that merge audio tokens inside a model's decoder, and their removal.

A hook on the model reads each prompt; hooks on the decoder layers from the first merge site on adjust what these are
given. No model code is replaced, and `Handle.remove` leaves nothing behind.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tuner.errors import ModelError, PolicyError
from tuner.methods.base import Rule, guarded
from tuner.methods.known import BY_ATTENTION, method_of
from tuner.runtime.affinity import Position
from tuner.runtime.forward import ForwardPass
from tuner.runtime.masks import FULL, KINDS, SLIDING, layer_kinds
from tuner.runtime.models import SpeechModel, describe
from tuner.runtime.prompt import Tokens, read_prompt
from tuner.sites import MergeSite

_ATTENTIONS = ("sdpa", "eager")


@dataclass(frozen=True)
class PrefillLengths:
    """How many tokens each decoder layer processed in a prefill; on the model's device, counted without padding.

    Attributes:
        tokens: [batch, layers] prompt tokens.
        audio_tokens: [batch, layers] audio tokens among them.
    """

    tokens: Tensor
    audio_tokens: Tensor

    @classmethod
    def of(cls, current: ForwardPass, layers: int) -> PrefillLengths | None:
        """Those of a pass; None in decoding."""
        lengths = current.lengths(layers)
        return None if lengths is None else cls(*lengths)


@dataclass(frozen=True)
class Entered:
    """What entered a watched layer in a prefill.

    Attributes:
        hidden: [batch, tokens, hidden] states, in several streams where the decoder has them (`main_stream`).
        tokens: what is known of each of them.
        begun: the pass up to there, which `Handle.go_on` can take up again.
    """

    hidden: Tensor
    tokens: Tokens
    begun: ForwardPass


def apply(
    model: Any,
    sites: Sequence[MergeSite],
    position: Position = "first",
    min_audio_tokens: int = 0,
    size_weighted: bool = False,
    proportional: bool = False,
) -> Handle:
    """Makes a model merge audio tokens at `sites` whenever it runs, until the handle is removed.

    Args:
        model: a transformers speech LLM (see `tuner.runtime.models.describe`).
        sites: merge sites, layers strictly increasing; with none, lengths are recorded and nothing else changes.
        position: which original position a merged token keeps.
        min_audio_tokens: utterances with fewer audio tokens are left alone.
        size_weighted: whether merged tokens count in later means as many times as they stand for tokens.
        proportional: whether they count so in attention.

    Raises:
        ModelError: if the model is not one that can be merged in.
        PolicyError: if the model already has a policy or lacks a site's layer.
    """
    speech = describe(model)
    if any(isinstance(getattr(hook, "__self__", None), Handle) for hook in model._forward_pre_hooks.values()):
        raise PolicyError(f"this {speech.architecture} already has a policy. Call remove() on its handle first.")
    if sites:
        _check_sites(speech, sites)
    return Handle(speech, sites, position, min_audio_tokens, size_weighted, proportional)


def _check_sites(speech: SpeechModel, sites: Sequence[MergeSite]) -> None:
    if sites[-1].layer >= speech.num_layers:
        raise PolicyError(
            f"merge site at layer {sites[-1].layer}, but {speech.architecture} has layers 0 to {speech.num_layers - 1}."
        )
    attention = speech.decoder.config._attn_implementation
    if attention not in _ATTENTIONS:
        raise ModelError(
            f"merging is not supported with attention {attention!r}. Load the model with attn_implementation='sdpa' or "
            "'eager'."
        )
    kinds = layer_kinds(speech.text_config)
    if unknown := set(kinds) - set(KINDS):
        raise ModelError(
            f"{speech.architecture} has layers of {sorted(unknown)}, for which there is no merged attention mask; "
            f"known are {', '.join(KINDS)}."
        )
    for site in sites:
        if site.method in BY_ATTENTION and kinds[site.layer] not in (FULL, SLIDING):
            raise PolicyError(
                f"method {site.method!r} looks at the attention of its layer, but layer {site.layer} of "
                f"{speech.architecture} has none. Choose another layer or another method."
            )
    donor = speech.first_donor
    if donor is not None and sites[-1].layer > donor:
        raise PolicyError(
            f"merge site at layer {sites[-1].layer}, but later layers of {speech.architecture} reuse the keys and "
            f"values of layer {donor}, which would be of another length. Merge before layer {donor} or earlier."
        )


class Handle:
    """A policy at work in a model. One forward pass at a time, as usual for a model's hooks.

    Attributes:
        lengths: what the layers processed in the most recent prefill (a pass that starts a conversation or brings new
            audio); None before the first, or when its inputs did not tell where the audio is.
        entered: what entered the watched layer in that prefill; None when no layer is watched.
    """

    def __init__(
        self,
        speech: SpeechModel,
        sites: Sequence[MergeSite],
        position: Position,
        min_audio_tokens: int,
        size_weighted: bool,
        proportional: bool,
    ) -> None:
        self.lengths: PrefillLengths | None = None
        self.entered: Entered | None = None
        self._speech = speech
        self._methods: dict[int, Rule] = {site.layer: method_of(site) for site in sites}
        self._rules = self._methods
        self._position = position
        self._count_as = {"size_weighted": size_weighted, "proportional": proportional}
        self._min_audio_tokens = min_audio_tokens
        self._kinds = layer_kinds(speech.text_config)
        self._argument_names = tuple(inspect.signature(speech.root.forward).parameters)
        self._pass: ForwardPass | None = None
        self._begun: tuple[int, ForwardPass] | None = None
        self._start = 0
        self._hooks = [
            speech.root.register_forward_pre_hook(self._begin, with_kwargs=True),
            speech.root.register_forward_hook(self._end, always_call=True),
        ]
        if sites:
            self._hooks.append(speech.decoder.register_forward_hook(self._leave_decoder))
        else:
            self._hooks.append(speech.layers[0].register_forward_pre_hook(self._recognise))
        for layer in range(min(self._rules, default=speech.num_layers), speech.num_layers):
            enter = partial(self._enter_layer, layer)
            self._hooks.append(speech.layers[layer].register_forward_pre_hook(enter, with_kwargs=True))

    def watch(self, layer: int) -> None:
        """From now on keeps in `entered` what enters decoder layer number `layer`, where the policy has no site."""

        def look(module: Any, args: tuple[Any, ...]) -> None:
            tokens = None if self._pass is None else self._pass.tokens_at(layer)
            self.entered = None
            if self._pass is not None and tokens is not None:
                self.entered = Entered(args[0], tokens, self._pass)

        self._hooks.append(self._speech.layers[layer].register_forward_pre_hook(look))

    def go_on(self, layer: int, begun: ForwardPass) -> None:
        """Makes the next forward pass take up `begun`, an earlier one of the same prompt under the same sites before
        `layer`, there. Whoever calls this gives that layer the states that entered it then, and runs none before it."""
        self._begun = (layer, begun)

    def decide_by(self, rule: Rule | None) -> None:
        """From the next prompt on `rule` decides at every site instead of its method; with None the methods do again.

        It is asked site by site, in order; tokens that are not free to be merged or dropped stay, whatever it says.
        """
        self._rules = self._methods if rule is None else dict.fromkeys(self._methods, guarded(rule))

    def remove(self) -> None:
        """Takes the policy out of the model and leaves nothing behind. Calling it again does nothing."""
        while self._hooks:
            self._hooks.pop().remove()

    def _begin(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        _break_graph()
        self._pass, self._start = None, 0
        if self._begun is not None:
            (self._start, begun), self._begun = self._begun, None
            self._pass = begun.taken_up(self._rules)
            return
        inputs = dict(zip(self._argument_names, args, strict=False)) | kwargs
        try:
            prompt = read_prompt(inputs, self._speech.audio_token_id, self._min_audio_tokens)
        except PolicyError:
            if self._rules:
                raise
            self.lengths = None  # an identity policy stands in nobody's way
            return
        config = self._speech.decoder.config
        self._pass = ForwardPass(prompt, config, self._kinds, self._rules, self._position, **self._count_as)

    def _recognise(self, module: Any, args: tuple[Any, ...]) -> None:
        """Without sites: forgets a prompt that is not what reached the decoder."""
        if self._pass is not None and not self._pass.knows(args[0]):
            self._pass = self.lengths = None

    def _enter_layer(
        self, layer: int, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        _break_graph()
        if layer < self._start:
            return None
        if self._pass is None:
            raise PolicyError(
                f"the decoder was called around {self._speech.architecture}, so it is not known which positions are "
                "audio. Call the model itself, or remove the policy."
            )
        return self._pass.enter(layer, module.forward, args, kwargs)

    def _leave_decoder(self, module: Any, args: tuple[Any, ...], output: Any) -> Any:
        """A loss compares every token with its label, so every token gets a state again."""
        if self._pass is not None and self._pass.has_labels:
            output["last_hidden_state"] = self._pass.leave(output["last_hidden_state"])
        return output

    def _end(self, module: Any, args: tuple[Any, ...], output: Any) -> None:
        current, self._pass = self._pass, None
        if current is None or output is None:  # no output: the forward pass raised
            return
        current.finish()
        self.lengths = PrefillLengths.of(current, self._speech.num_layers) or self.lengths


def _break_graph() -> None:
    """How long a merged prompt is depends on what is said, so no graph can hold it: `torch.compile` has to break here,
    and says why where it was told not to (`fullgraph=True`)."""
    if torch.compiler.is_compiling():
        torch._dynamo.graph_break(
            msg="a policy merges audio tokens by their content, which one whole graph cannot do. Compile with "
            "fullgraph=False, or remove the policy."
        )
