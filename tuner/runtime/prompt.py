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
        text_after: how many of the last tokens are not audio in any row.
        has_labels: whether a loss is asked for, which needs a state for every token.
    """

    length: int
    past: int
    attention_mask: Tensor | None
    tokens: Tokens | None = None
    has_audio: bool = False
    text_after: int = 0
    has_labels: bool = False


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
    if images := [name for name, value in inputs.items() if name.startswith("pixel_values") and value is not None]:
        raise PolicyError(
            f"{images[0]} beside a policy: images are attended to by rules of their own, which merging "
            "does not know. Leave the images out, or remove the policy."
        )
    cache = inputs.get("past_key_values")
    if cache is not None and cache.is_compileable:
        raise PolicyError(
            f"a {type(cache).__name__} has a fixed length, which merging cannot shorten. Use the default, dynamic "
            "cache: leave out cache_implementation='static'."
        )
    past, length = 0 if cache is None else int(cache.get_seq_length()), ids.shape[1]
    if mask is not None and (not isinstance(mask, Tensor) or mask.shape != (len(ids), past + length)):
        got = f"shape {list(mask.shape)}" if isinstance(mask, Tensor) else f"a {type(mask).__name__}"
        raise PolicyError(
            f"merging needs an attention_mask of shape {[len(ids), past + length]} ([batch, past and new tokens]), got "
            f"{got}. Hand-made masks are not supported: leave the mask to the processor and to generate()."
        )
    # Later audio ids that come without audio are text to the model: assisted decoding copies them out of the prompt.
    with_audio = any(isinstance(value, Tensor) and value.is_floating_point() for value in inputs.values())
    if past > 0 and not (with_audio and length > 1):
        return Prompt(length, past, mask)
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask[:, past:].bool()
    audio = (ids == audio_token_id) & real
    has_labels = inputs.get("labels") is not None
    text_after, padded_right = _layout(audio, real)
    has_audio = text_after < length
    if has_audio and padded_right and not has_labels:
        raise PolicyError("the prompts are padded on the right. Generation needs padding_side='left' in the processor.")
    mergeable = audio & (audio.sum(dim=1, keepdim=True) >= min_audio_tokens)
    mergeable[:, -1] = False  # the next token is predicted from this one
    return Prompt(length, past, mask, Tokens(real, audio, mergeable), has_audio, text_after, has_labels)


def _layout(audio: Tensor, real: Tensor) -> tuple[int, bool]:
    """How many of the last tokens are audio in no row, and whether a row ends with padding. One host sync."""
    index = torch.arange(1, audio.shape[1] + 1, device=audio.device)
    last, padded_right = torch.stack([(audio * index).max(), (~real[:, -1]).any()]).tolist()
    return audio.shape[1] - int(last), bool(padded_right)
