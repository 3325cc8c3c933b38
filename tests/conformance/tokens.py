"""A tokenizer of 256 bytes and a family's own special tokens: any text goes in and out again."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

PAD, EOS, BOS, VOCABULARY = 0, 1, 2, 320

_NOWHERE: Mapping[str, int] = MappingProxyType({})


def ids(special: Mapping[str, str], fixed: Mapping[str, int] = _NOWHERE) -> dict[str, int]:
    """The id of every special token by its name: those in `fixed` where that says, the others from 3 on."""
    free = (place for place in range(BOS + 1, VOCABULARY) if place not in fixed.values())
    return {name: fixed[name] if name in fixed else next(free) for name in special}


def tokenizer(
    special: Mapping[str, str],
    fixed: Mapping[str, int] = _NOWHERE,
    kind: type[Any] = PreTrainedTokenizerFast,
    **options: Any,
) -> Any:
    """A byte-level tokenizer of class `kind`, whose special tokens are its attributes under the names in `special`."""
    vocabulary = {"<pad>": PAD, "<eos>": EOS, "<bos>": BOS}
    vocabulary.update({special[name]: place for name, place in ids(special, fixed).items()})
    free = [place for place in range(VOCABULARY) if place not in vocabulary.values()]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary.update(zip(alphabet, free, strict=False))
    vocabulary.update({f"<unused_{place}>": place for place in free[len(alphabet) :]})

    bytes_alone = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_alone.decoder = decoders.ByteLevel()
    return kind(
        tokenizer_object=bytes_alone,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        extra_special_tokens=dict(special),
        **options,
    )
