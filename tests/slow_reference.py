"""What merging means, spelt out: one utterance, no cache, Python loops over tokens, an explicit mask in every layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tuner.policy import MergeSite


@dataclass(frozen=True)
class Reference:
    """Logits [tokens, vocabulary] of the text after the last audio token, and what every layer processed."""

    logits: Tensor
    tokens: list[int]
    audio_tokens: list[int]


def groups_of(hidden: Tensor, mergeable: Sequence[bool], threshold: float, window: int) -> list[list[int]]:
    """Groups the tokens of hidden [tokens, width] from left to right."""
    groups: list[list[int]] = []
    for token in range(len(hidden)):
        previous = groups[-1] if groups else []
        comparable = mergeable[token] and bool(previous) and mergeable[previous[-1]]
        members = previous[-window:] if comparable else []
        similarities = [float(torch.cosine_similarity(hidden[token], hidden[member], dim=0)) for member in members]
        if similarities and max(similarities) >= threshold:
            previous.append(token)
        else:
            groups.append([token])
    return groups


@torch.no_grad()
def reference(
    model: Any,
    prompt: dict[str, Tensor],
    sites: Sequence[MergeSite],
    position: str = "first",
    min_audio_tokens: int = 0,
    continuation: Sequence[int] = (),
) -> Reference:
    """Runs one unpadded utterance and `continuation` through a bare model, merging by hand."""
    audio_id = model.config.audio_token_id
    prompt_ids = prompt["input_ids"][0].tolist()
    ids = [*prompt_ids, *continuation]
    hidden = _embeddings(model, prompt, ids)
    is_audio = [token == audio_id for token in prompt_ids] + [False] * len(continuation)
    long_enough = sum(is_audio) >= min_audio_tokens
    mergeable = [audio and long_enough and index != len(prompt_ids) - 1 for index, audio in enumerate(is_audio)]
    positions = list(range(len(ids)))
    tokens, audio_tokens = [], []
    at = {site.layer: site for site in sites}
    decoder = model.model.language_model
    for number, layer in enumerate(decoder.layers):
        if number in at:
            groups = groups_of(hidden, mergeable, at[number].threshold, at[number].window)
            hidden = torch.stack([torch.stack([hidden[member] for member in group]).mean(0) for group in groups])
            kept = [_member(group, position) for group in groups]
            positions = [positions[index] for index in kept]
            mergeable = [mergeable[index] for index in kept]
            is_audio = [is_audio[index] for index in kept]
        tokens.append(len(hidden) - len(continuation))
        audio_tokens.append(sum(is_audio))
        later = torch.ones(len(hidden), len(hidden)).triu(1).bool()
        mask = torch.zeros(len(hidden), len(hidden)).masked_fill(later, float("-inf"))[None, None]
        rotary = decoder.rotary_emb(hidden[None], torch.tensor([positions]))
        hidden = layer(hidden[None], attention_mask=mask, position_embeddings=rotary, past_key_values=None)[0]
    text_after = is_audio[::-1].index(True) if any(is_audio) else len(hidden)
    return Reference(model.lm_head(decoder.norm(hidden[-max(text_after, 1) :])), tokens, audio_tokens)


def greedy(model: Any, prompt: dict[str, Tensor], sites: Sequence[MergeSite], new_tokens: int) -> list[int]:
    """The next tokens, most likely ones, each from a pass over everything before it."""
    said: list[int] = []
    for _ in range(new_tokens):
        said.append(int(reference(model, prompt, sites, continuation=said).logits[-1].argmax()))
    return said


def _member(group: list[int], position: str) -> int:
    return {"first": group[0], "middle": group[(len(group) - 1) // 2], "last": group[-1]}[position]


def _embeddings(model: Any, prompt: dict[str, Tensor], ids: list[int]) -> Tensor:
    """[tokens, width]: word embeddings, with the audio encoder's output put in one token at a time."""
    embedded: Tensor = model.get_input_embeddings()(torch.tensor(ids)).clone()
    heard = []
    for features, mask in zip(prompt["input_features"], prompt["feature_attention_mask"], strict=True):
        # The encoder sees the true frames alone: (frames - 1) // 2 + 1 after its convolution.
        frames = (int(mask.sum()) - 1) // 2 + 1
        attend = torch.zeros(1, 1, features.shape[1] // 2, features.shape[1] // 2)
        attend[..., frames:] = float("-inf")
        encoded = model.model.audio_tower(features[None], attention_mask=attend).last_hidden_state
        heard += list(model.model.multi_modal_projector(encoded)[0, : (frames - 2) // 2 + 1])
    positions = [index for index, token in enumerate(ids) if token == model.config.audio_token_id]
    for index, vector in zip(positions, heard, strict=True):
        embedded[index] = vector
    return embedded
