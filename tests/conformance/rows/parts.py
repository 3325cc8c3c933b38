"""What the tiny models and processors of all families share: sizes, weights, a chat template, absent parts."""

from __future__ import annotations

from typing import Any

import torch

from tests.conformance.tokens import BOS, PAD, VOCABULARY

MEL_BINS = 16

SECONDS = 4
"""The window of encoders that have one."""

WHISPER: dict[str, Any] = {
    "num_mel_bins": MEL_BINS,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_source_positions": 50 * SECONDS,
}
"""Sizes of an encoder of Whisper's kind."""

TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": PAD,
}
"""A decoder's sizes, under the names that most configurations share."""


def template(audio: str) -> str:
    """A minimal chat template with `audio` as the placeholder of a clip."""
    return (
        "{% for message in messages %}{{ message['role'] }}: "
        "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
        "{% if part['type'] == 'audio' %}" + audio + "{% else %}{{ part['text'] }}{% endif %}"
        "{% endfor %}{% endif %}{% if not loop.last or add_generation_prompt %}\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )


TEXT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
"""A chat template that takes the content of a message for text."""


def settled(model: Any, seed: int = 0) -> Any:
    """Weights drawn anew, large enough for mistakes in masks and positions to show; greedy and endless generation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.2
            parameter.copy_(1 + noise if "norm" in name and name.endswith("weight") else noise)
    model.generation_config.update(do_sample=False, pad_token_id=PAD, eos_token_id=None, bos_token_id=BOS)
    return model.eval()


def without_eyes(processor: type[Any]) -> type[Any]:
    """`processor` with None accepted for its image and video parts, which need packages that hearing does not."""

    def check(self: Any, name: str, part: Any) -> type[Any]:
        return type(part) if part is None else processor.check_argument_for_proper_class(self, name, part)

    return type(processor.__name__, (processor,), {"check_argument_for_proper_class": check})
