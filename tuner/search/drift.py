"""How far a policy moves a model away from its own answers: the compass of the search."""

from __future__ import annotations

from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.records import Evaluation
from tuner.policy import Policy


class Drift:
    """Nats per word by which the baseline's answers are less likely under a policy.

    The error rate of some hundred utterances is a step function with much luck in it, and a sampler that follows it
    finds the lucky. This is smooth, needs one pass and no decoding, and tells more of the error rate on other speech
    than the error rate itself does (BENCHMARKS.md). What a policy is worth is still decided by the errors it makes.

    Args:
        evaluator: of the search split.
        policy: the identity.
        baseline: its evaluation, whose answers are scored.
    """

    def __init__(self, evaluator: Evaluator, policy: Policy, baseline: Evaluation) -> None:
        self._evaluator = evaluator
        self._answers = {record.id: record.text for record in baseline.records}
        self._words = max(sum(record.total for record in baseline.records), 1)
        self._start = self._nats_a_word(policy)
        self._known = {policy.hash: 0.0}

    def of(self, policy: Policy) -> float:
        """The drift under `policy`; 0 for the identity."""
        if policy.hash not in self._known:
            self._known[policy.hash] = self._nats_a_word(policy) - self._start
        return self._known[policy.hash]

    def _nats_a_word(self, policy: Policy) -> float:
        return sum(self._evaluator.surprise(policy, self._answers).values()) / self._words
