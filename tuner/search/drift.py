"""How far a policy moves a model away from its own answers: the compass of the search."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tuner.evaluate.records import Evaluation

HOPELESS = 0.1  # nats a word, or a question: beyond it one policy is as bad as another


def drift(evaluation: Evaluation, baseline: Evaluation) -> float:
    """Nats a word by which the baseline's answers are less likely under a policy; infinite where nobody asked. Where a
    metric counts questions, they are meant by words; of several tasks it is the one that drifts furthest.

    The error rate of some hundred utterances is a step function with much luck in it, and a sampler that follows it
    finds the lucky. This is smooth, needs no decoding, and tells more of the error rate on other speech than the error
    rate itself does (BENCHMARKS.md). What a policy is worth is still decided by the errors it makes.

    Args:
        evaluation: of the policy, on the baseline's utterances or some of them.
        baseline: the identity's, with the nats of its own answers.
    """
    bare = baseline.like(evaluation)
    return bare.metric.per_size(nats(evaluation) - nats(bare), bare.statistics)


def nats(evaluation: Evaluation) -> NDArray[np.float64]:
    """Of the baseline's answers, [utterances]."""
    return np.array([math.inf if one.nats is None else one.nats for one in evaluation.records], dtype=np.float64)
