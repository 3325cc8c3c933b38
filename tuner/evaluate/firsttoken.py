"""The time to the first token of one utterance, as a user of `generate()` waits for it."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from tuner.costs.measure import seconds
from tuner.data.utterances import Utterance
from tuner.loading import LoadedModel
from tuner.policy import Policy
from tuner.tasks.base import Task


def inputs_of(loaded: LoadedModel, utterance: Utterance, task: Task) -> dict[str, Any]:
    """One utterance's model inputs on the model's device."""
    return loaded.on_device(task.prepare(loaded.processor, [utterance]))


def first_token(loaded: LoadedModel, policy: Policy, inputs: dict[str, Any]) -> float:
    """Seconds until the first token is there under `policy`: audio encoder, prefill and the choice of the token."""
    with torch.inference_mode(), policy.applied(loaded.model):
        return seconds(partial(loaded.model.generate, **inputs, max_new_tokens=1, do_sample=False), loaded.device)
