"""One pass over prompts and given answers: whether a model would have said them, from where on not, and how likely it
finds them."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import LogitsProcessorList

from tuner.errors import ModelError
from tuner.evaluate.answers import greedily
from tuner.evaluate.ties import tied

# What may stand between logits and the choice of a token: rules that look at nothing but the tokens so far, so that
# they can be asked at every token of a given answer.
_STATELESS = {
    "RepetitionPenaltyLogitsProcessor",
    "NoRepeatNGramLogitsProcessor",
    "NoBadWordsLogitsProcessor",
    "SequenceBiasLogitsProcessor",
    "SuppressTokensLogitsProcessor",
    "InfNanRemoveLogitsProcessor",
}


@dataclass(frozen=True)
class Verdict:
    """What a model makes of one answer.

    Attributes:
        said: what it would have said: the answer's tokens as far as it agrees, then the first of its own.
        agrees: whether that is the whole answer.
        nats: minus the log-likelihood of the answer, any end token counting as its end.
        ties: tokens of `said` that were chosen over another by no more than rounding.
    """

    said: tuple[int, ...]
    agrees: bool
    nats: float
    ties: int


def with_answers(inputs: dict[str, Any], answers: Sequence[Sequence[int]], pad: int) -> dict[str, Any]:
    """Model inputs [batch, tokens] with each prompt followed by its answer's token ids, padded on the left anew."""
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    rows = [
        torch.cat([row[real.bool()], torch.tensor(answer, dtype=row.dtype, device=row.device)])
        for row, real, answer in zip(ids, mask, answers, strict=True)
    ]
    return {**inputs, **padded(rows, pad)}


def padded(rows: Sequence[Tensor], pad: int) -> dict[str, Tensor]:
    """`input_ids` and `attention_mask` [batch, tokens] of prompts [tokens], padded on the left."""
    real = [torch.ones_like(row) for row in rows]
    return {
        "input_ids": pad_sequence(list(rows), batch_first=True, padding_value=pad, padding_side="left"),
        "attention_mask": pad_sequence(real, batch_first=True, padding_side="left"),
    }


def rules_of(model: Any, inputs: dict[str, Any]) -> list[str]:
    """The rules by which `generate()` would change this model's logits and that cannot be asked about given answers."""
    found: list[str] = []

    def ask(_: Any, ids: Tensor, logits_processor: LogitsProcessorList, **__: Any) -> Tensor:
        found.extend(type(rule).__name__ for rule in logits_processor)
        return ids

    model.generate(**inputs, generation_config=greedily(model, 1), custom_generate=ask)
    return [name for name in found if name not in _STATELESS]


def verdicts(
    model: Any, inputs: dict[str, Any], answers: Sequence[Sequence[int]], ends: Collection[int], tie: float
) -> list[Verdict]:
    """One pass over `inputs`, whose rows end with the `answers`, prepared and judged as `generate()` would.

    Args:
        model, inputs: the model, and what `generate()` is given.
        answers: token ids, none of them empty.
        ends: the tokens that end an answer.
        tie: how close two tokens have to be for rounding to decide, as for `tuner.evaluate.ties.tied`.

    Raises:
        ModelError: the logits are not finite.
    """
    longest = max(len(answer) for answer in answers)
    logits, rules = logits_at_last(model, inputs, longest + 1)
    scores = _ruled(logits, rules, inputs["input_ids"])
    found = []
    for row, answer in enumerate(answers):
        places = slice(-len(answer) - 1, -1)
        found.append(_verdict(logits[row, places], scores[row, places], answer, ends, tie))
    return found


def _verdict(logits: Tensor, scores: Tensor, answer: Sequence[int], ends: Collection[int], tie: float) -> Verdict:
    """Of one row, `logits` and `scores` [answer's tokens, vocabulary]."""
    given = torch.tensor(answer, device=scores.device)
    chosen = scores.argmax(-1)
    likely = logits.log_softmax(-1)
    nats = -likely.gather(1, given[:, None])[:, 0]
    if answer[-1] in ends:
        nats[-1] = -likely[-1, sorted(set(ends))].logsumexp(0)
    close = tied(scores, tie).tolist()
    own, total = chosen.tolist(), float(nats.sum())
    if total != total:
        raise ModelError("the model's logits are not finite; load it with --dtype float32 or bfloat16")
    agreed = next((place for place, token in enumerate(own) if token != answer[place]), len(answer))
    said = tuple(own[: agreed + 1])
    return Verdict(said, agreed == len(answer), total, sum(close[: len(said)]))


def logits_at_last(model: Any, inputs: dict[str, Any], last: int) -> tuple[Tensor, LogitsProcessorList]:
    """Logits [batch, last, vocabulary] at the last tokens, in float32, and the rules that `generate()` has for them."""

    def run(_: Any, ids: Tensor, logits_processor: LogitsProcessorList, **given: Any) -> tuple[Tensor, Any]:
        for name in ("stopping_criteria", "generation_config"):
            given.pop(name)
        output = model(**model.prepare_inputs_for_generation(ids, is_first_iteration=True, **given), return_dict=True)
        return output.logits[:, -last:].float(), logits_processor

    asks = "logits_to_keep" in inspect.signature(type(model).forward).parameters
    options = {"logits_to_keep": last} if asks else {}
    config = greedily(model, 1, use_cache=False)
    with _head_on_last(model, last):
        result: tuple[Tensor, LogitsProcessorList] = model.generate(
            **inputs, **options, generation_config=config, custom_generate=run
        )
    return result


def _ruled(logits: Tensor, rules: LogitsProcessorList, ids: Tensor) -> Tensor:
    """The scores that tokens are chosen by; rows and last tokens as in `logits`."""
    if not rules:
        return logits
    last, length = logits.shape[1], ids.shape[1]
    steps = [rules(ids[:, : length - last + 1 + step], logits[:, step].clone()) for step in range(last)]
    return torch.stack(steps, dim=1)


@contextmanager
def _head_on_last(model: Any, last: int) -> Iterator[None]:
    """Within it the output head sees no more than the last tokens, also of models that cannot be asked for that."""
    head = model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, args: (args[0][:, -last:], *args[1:]))
    try:
        yield
    finally:
        hook.remove()
