"""How a trial becomes a policy: all values from the sampler, or thresholds solved so that the budget is spent."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from optuna import Trial
from optuna.distributions import FloatDistribution

from tuner.evaluate.begun import Begun
from tuner.evaluate.drafted import Drafted
from tuner.evaluate.predictor import Predictor, shifted
from tuner.evaluate.records import Evaluation
from tuner.policy import Policy
from tuner.search.context import Context
from tuner.search.judge import Judge
from tuner.search.space import Params

log = logging.getLogger(__name__)

SHIFT, REACH = 0.005, 1.0  # how finely, and how far, all thresholds move together
ERROR = 0.005  # of a cost ratio: predictions are seldom further off (BENCHMARKS.md)
FINER = 2  # steps of the solved threshold to one of the searched ones: a whole step can be two points of cost


@dataclass(frozen=True)
class Proposal:
    """A policy, and the passes up to its last site where they were made already."""

    policy: Policy
    begun: Begun | None = None


@dataclass(frozen=True)
class Proposals:
    """Draws policies from the space of `context`, which `drafted` judges.

    Where `solve` is set, no trial is lost on policies that cost too much or save more than is asked for. If the space
    allows it, the sampler chooses everything but the last threshold. Passes up to the last site then tell what it would
    save at every threshold, and the candidate's own pass goes on from there. In other spaces, such as ladders, the
    sampler chooses the shape, and `predictor` says by how much all thresholds together have to move.
    """

    context: Context
    drafted: Drafted
    judge: Judge
    predictor: Predictor | None = None

    @classmethod
    def needs_predictor(cls, context: Context) -> bool:
        """Whether budgets cannot be spent without one."""
        return context.settings.solve and context.space.last_threshold(context.layers) is None

    def draw(self, trial: Trial, known: Policy | None = None) -> Proposal:
        """What a trial proposes; `known` where it was queued for a policy, whose `known_params` it has."""
        context, solved = self.context, self._solved
        params = context.space.suggest(trial, context.layers, None if solved is None else solved[0])
        if known is not None:
            return Proposal(known)
        if solved is None:
            policy = self._policy(params)
            return Proposal(policy if self.predictor is None else self._shifted(policy, self.predictor))
        threshold, begun = self._threshold(params, *solved)
        return Proposal(self._policy({**params, solved[0]: threshold}), begun)

    def known_params(self, policy: Policy) -> Params | None:
        """The parameters that stand for a known policy, without a solved threshold; None where the space lacks it."""
        space, layers = self.context.space, self.context.layers
        params = space.identity(layers) if policy.is_identity else space.express(policy.sites, policy.position, layers)
        if params is not None and self._solved is not None:
            del params[self._solved[0]]
        return params

    @property
    def _solved(self) -> tuple[str, FloatDistribution] | None:
        return self.context.space.last_threshold(self.context.layers) if self.context.settings.solve else None

    def _policy(self, params: Params) -> Policy:
        space = self.context.space
        return self.context.policy(space.sites_of(params, self.context.layers), space.position_of(params))

    def _threshold(self, params: Params, name: str, distribution: FloatDistribution) -> tuple[float, Begun | None]:
        """The highest threshold, so the gentlest merging, that keeps every budget; the lowest there is when none
        does."""
        before = self._policy({**params, name: distribution.high})
        strongest = self._policy({**params, name: distribution.low})
        if len(strongest.sites) == len(before.sites):
            return distribution.high, None  # switched off even at its lowest
        site = strongest.sites[-1]
        begun = self.drafted.begin(before, site.layer, site.window)
        step = (distribution.step or 1e-2) / FINER
        low, high = 0, round((distribution.high - distribution.low) / step)
        while low < high:  # the highest step that is affordable, between the two
            middle = (low + high + 1) // 2
            if self._keeps(begun.retention.at(distribution.low + middle * step)):
                low = middle
            else:
                high = middle - 1
        return round(distribution.low + low * step, 4), begun

    def _shifted(self, policy: Policy, predictor: Predictor) -> Policy:
        """The policy with all thresholds moved together until it is predicted to spend the budget."""
        steps = round(REACH / SHIFT)
        shifts = [step * SHIFT for step in range(-steps, steps + 1)]
        return shifted(policy, predictor.shift(policy, shifts, partial(self._keeps, margin=ERROR)))

    def _keeps(self, evaluation: Evaluation, margin: float = 0.0) -> bool:
        """Whether the upper bounds of its costs keep every budget."""
        bounds = self.judge.costs(evaluation)[1]
        return all(bounds[cost] <= budget - margin for cost, budget in self.judge.budgets.items())
