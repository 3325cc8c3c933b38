"""What one call of a model's forward says about its tokens: which are real, which are audio, which may merge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tuner.errors import PolicyError


@dataclass(frozen=True)
class Tokens:
    """What is known of every token, or of every merged token, that a layer sees; all [batch, tokens] bool.

    Attributes:
        real: False for padding.
        audio: True for audio.
        mergeable: True for the audio that may merge: not short audio, not the last token.
    """

    real: Tensor
    audio: Tensor
    mergeable: Tensor

    def keep(self, kept: Tensor, real: Tensor) -> Tokens:
        """What is known after a merge that keeps the tokens at `kept` [batch, groups], where `real`."""
        return Tokens(real, self.audio.gather(1, kept) & real, self.mergeable.gather(1, kept) & real)


@dataclass(frozen=True)
class Prompt:
    """The new tokens of one forward call.

    Attributes:
        length: how many there are, padding included.
        past: how many tokens came before them, padding included, as if nothing had been merged.
        attention_mask: [batch, past + length], 0 for padding; None when nothing is padded.
        tokens: what is known of each of them; None in decoding and in a continuation that brings no audio.
        has_audio: whether any of them is audio.
    """

    length: int
    past: int
    attention_mask: Tensor | None
    tokens: Tokens | None = None
    has_audio: bool = False


def read_prompt(inputs: Mapping[str, Any], audio_token_id: int, min_audio_tokens: int) -> Prompt:
    """Reads the arguments of a forward call.

    Raises:
        PolicyError: if they do not tell where the audio is, or are of a kind that merging does not support.
    """
    ids, mask = inputs.get("input_ids"), inputs.get("attention_mask")
    if ids is None:
        raise PolicyError(
            "inputs_embeds without input_ids do not tell which positions are audio. Pass input_ids too, or remove the "
            "policy."
        )
    if inputs.get("labels") is not None:
        raise PolicyError(
            "labels cannot be matched to a prompt whose tokens are merged. Compute the loss from the last logits: they "
            "belong to the unmerged text after the audio. Or remove the policy."
        )
    cache = inputs.get("past_key_values")
    past, length = 0 if cache is None else int(cache.get_seq_length()), ids.shape[1]
    if mask is not None and (not isinstance(mask, Tensor) or mask.shape != (len(ids), past + length)):
        got = f"shape {list(mask.shape)}" if isinstance(mask, Tensor) else f"a {type(mask).__name__}"
        raise PolicyError(
            f"merging needs an attention_mask of shape {[len(ids), past + length]} ([batch, past and new tokens]), got "
            f"{got}. Static caches and hand-made masks are not supported: let generate() use its dynamic cache."
        )
    # Later audio ids that come without audio are text to the model: assisted decoding copies them out of the prompt.
    with_audio = any(isinstance(value, Tensor) and value.is_floating_point() for value in inputs.values())
    if past > 0 and not (with_audio and length > 1):
        return Prompt(length, past, mask)
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask[:, past:].bool()
    audio = (ids == audio_token_id) & real
    has_audio = _check_audio(audio, real)
    mergeable = audio & (audio.sum(dim=1, keepdim=True) >= min_audio_tokens)
    mergeable[:, -1] = False  # the next token is predicted from this one
    return Prompt(length, past, mask, Tokens(real, audio, mergeable), has_audio)


def _check_audio(audio: Tensor, real: Tensor) -> bool:
    """Whether there is audio; refuses audio that is not laid out as it should be. One host sync."""
    has_audio, has_neighbours, padded_right = torch.stack(
        [audio.any(), (audio[:, 1:] & audio[:, :-1]).any(), ~real[:, -1].all()]
    ).tolist()
    if has_audio and not has_neighbours:
        raise PolicyError(
            "every audio clip has a single placeholder in input_ids, which the model itself expands later (the legacy "
            "path). Let the processor expand it: call it with the text and the audio together."
        )
    if has_audio and padded_right:
        raise PolicyError("the prompts are padded on the right. Generation needs padding_side='left' in the processor.")
    return bool(has_audio)
