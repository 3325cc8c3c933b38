"""What a policy does to a few recordings: both transcripts, tokens kept by layer, time to the first token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

from tuner.costs.measure import alternate
from tuner.data.recordings import recordings
from tuner.data.utterances import UtteranceSet
from tuner.errors import DataError
from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.firsttoken import first_token, inputs_of
from tuner.loading import LoadedModel
from tuner.policy import Policy
from tuner.tasks.base import Task


@dataclass(frozen=True)
class SideBySide:
    """One recording, without and with the policy. Lists run over decoder layers, times are seconds."""

    audio: str
    seconds: float
    text_without: str
    text_with: str
    audio_tokens_without: int
    audio_tokens_with: tuple[int, ...]
    first_token_without: float
    first_token_with: float


def side_by_side(
    loaded: LoadedModel, policy: Policy, task: Task, audio: Sequence[Path], question: str | None = None
) -> Iterator[SideBySide]:
    """One result at a time, in the order of `audio`; folders stand for the audio in them.

    Args:
        question: asked about every recording; without one, the speech asks by itself.

    Raises:
        DataError: a recording that is missing, broken, empty or too long; a question for a task that asks none.
        PolicyError: the policy was made for another model.
    """
    policy.check(loaded.model)
    identity = policy.model_copy(update={"sites": ()})
    for recording in recordings(audio):
        utterance = replace(recording, question=question)
        if question and task.prompt_for(utterance) == task.prompt_for(recording):
            raise DataError(f"task {task.name} asks no question about what it hears; use --task qa")
        evaluator = Evaluator(loaded, task, UtteranceSet(utterance.id, "", (utterance,)), batch_size=1)
        without = evaluator.evaluate(identity).records[0]
        merged = evaluator.evaluate(policy).records[0]
        inputs = inputs_of(loaded, utterance, task)
        times = alternate([partial(first_token, loaded, side, inputs) for side in (identity, policy)])
        yield SideBySide(
            audio=utterance.id,
            seconds=utterance.seconds,
            text_without=without.text,
            text_with=merged.text,
            audio_tokens_without=without.audio_tokens[0],
            audio_tokens_with=merged.audio_tokens,
            first_token_without=median(times[0]),
            first_token_with=median(times[1]),
        )
