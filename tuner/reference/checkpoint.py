"""The reference model's parts before training: tokenizer, processor and an untrained Qwen2-Audio of small size."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    WhisperFeatureExtractor,
)

from tuner.reference import grammar, lessons

WINDOW_SECONDS = 10
MEL_BINS = 80
VOCABULARY = 2_600
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
# The turns of Qwen2-Audio's own template without its system message, which would outweigh ten seconds of speech here.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>\n"
    "{% elif content['type'] == 'text' %}{{ content['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on the grammar, so that any text can be written and known words are short."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    rng = random.Random(7)
    text = ["user", "assistant", "system"] * 50
    for _, sentence in grammar.sentences(20_000, seed=7):
        for lesson in lessons.lessons(sentence, rng, count=2, hard=0):
            text += [f"\n{lesson.prompt}", lesson.answer]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(text, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=SPECIAL[1:],
        padding_side="left",
        chat_template=CHAT_TEMPLATE,
    )


def processor() -> Qwen2AudioProcessor:
    """Tokenizer and 10 s Whisper features in one."""
    features = WhisperFeatureExtractor(feature_size=MEL_BINS, chunk_length=WINDOW_SECONDS)
    return Qwen2AudioProcessor(feature_extractor=features, tokenizer=tokenizer(), chat_template=CHAT_TEMPLATE)


def untrained(words: PreTrainedTokenizerFast, seed: int, **text: Any) -> Qwen2AudioForConditionalGeneration:
    """A small Qwen2-Audio with random weights; `text` overrides fields of the decoder's config."""
    torch.manual_seed(seed)
    ids = dict(zip(SPECIAL, words.convert_tokens_to_ids(SPECIAL), strict=True))
    config = Qwen2AudioConfig(
        audio_config={
            "model_type": "qwen2_audio_encoder",
            "num_mel_bins": MEL_BINS,
            "encoder_layers": 4,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 704,
            "d_model": 192,
            "max_source_positions": WINDOW_SECONDS * 50,
            "initializer_range": 0.05,
        },
        text_config={
            "model_type": "qwen2",
            "hidden_size": 192,
            "num_hidden_layers": 12,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 512,
            "vocab_size": len(words),
            "max_position_embeddings": 1024,
            "tie_word_embeddings": True,
            "initializer_range": 0.05,
            "bos_token_id": None,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
            **text,
        },
        audio_token_index=ids["<|AUDIO|>"],
        tie_word_embeddings=True,
    )
    model = Qwen2AudioForConditionalGeneration(config)
    _listen_from_the_start(model.model.audio_tower)
    model.generation_config = GenerationConfig(
        eos_token_id=ids["<|im_end|>"], pad_token_id=ids["<|endoftext|>"], do_sample=False
    )
    return model


def taken_over(folder: Path, words: PreTrainedTokenizerFast, seed: int) -> Qwen2AudioForConditionalGeneration:
    """A model with the weights of a finished checkpoint, whose tokenizer may have been another.

    A token type that is new begins as the mean of the types that it was made of before.
    """
    model = untrained(words, seed)
    before = Qwen2AudioForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    old_words = PreTrainedTokenizerFast.from_pretrained(folder)
    state, new = before.state_dict(), model.state_dict()
    for name, rows in state.items():
        if rows.shape != new[name].shape:  # one row for each token type
            state[name] = new[name].clone()
            for token, index in words.get_vocab().items():
                old = old_words.get_vocab().get(token)
                parts = [old] if old is not None else old_words.encode(words.decode([index]), add_special_tokens=False)
                if parts:
                    state[name][index] = rows[parts].mean(0)
    model.load_state_dict(state)
    return model


def _listen_from_the_start(tower: Any) -> None:
    """Starts the convolutions at full gain and Whisper's fixed positions at a fraction of it.

    With the default weights the positions are ten times louder than the speech, and CTC waits long to begin.
    """
    with torch.no_grad():
        for conv in (tower.conv1, tower.conv2):
            torch.nn.init.kaiming_normal_(conv.weight)
        tower.embed_positions.weight.copy_(0.3 * _sinusoids(*tower.embed_positions.weight.shape))


def _sinusoids(length: int, channels: int) -> torch.Tensor:
    """Whisper's fixed positions, [length, channels]."""
    steps = torch.exp(-math.log(10_000) / (channels // 2 - 1) * torch.arange(channels // 2))
    angles = torch.arange(length)[:, None] * steps[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)
