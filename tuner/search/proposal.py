"""How a trial becomes a policy: all values from the sampler, or the last threshold solved to spend the budget."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from optuna import Trial
from optuna.distributions import FloatDistribution

from tuner.evaluate.retention import Retention
from tuner.policy import Policy
from tuner.search.context import Context
from tuner.search.judge import Judge
from tuner.search.space import Params

log = logging.getLogger(__name__)

FINER = 2  # steps of the solved threshold to one of the searched ones: a whole step can be two points of cost


@dataclass(frozen=True)
class Proposals:
    """Draws policies from the space of `context`.

    Where `solve` is set and the space allows it, the sampler chooses everything but the last threshold. One prefill
    without the last site then tells what it would save at every threshold, so no trial is lost on policies that cost
    too much or save more than is asked for.
    """

    context: Context
    judge: Judge
    solve: bool

    def draw(self, trial: Trial, known: Policy | None = None) -> Policy:
        """The policy that a trial proposes; `known` where it was queued for one, whose `known_params` it has."""
        context, solved = self.context, self._solved
        params = context.space.suggest(trial, context.layers, None if solved is None else solved[0])
        if known is not None:
            return known
        if solved is not None:
            params[solved[0]] = self._threshold(params, *solved)
        return self._policy(params)

    def known_params(self, policy: Policy) -> Params | None:
        """The parameters that stand for a known policy, without a solved threshold; None where the space lacks it."""
        space, layers = self.context.space, self.context.layers
        params = space.identity(layers) if policy.is_identity else space.express(policy.sites, layers)
        if params is not None and self._solved is not None:
            del params[self._solved[0]]
        return params

    @property
    def spends_all(self) -> bool:
        """Whether what is drawn spends the budget, so that costs hardly differ."""
        return self._solved is not None

    @property
    def _solved(self) -> tuple[str, FloatDistribution] | None:
        return self.context.space.last_threshold(self.context.layers) if self.solve else None

    def _policy(self, params: Params) -> Policy:
        space = self.context.space
        return self.context.policy(space.sites_of(params, self.context.layers), space.position_of(params))

    def _threshold(self, params: Params, name: str, distribution: FloatDistribution) -> float:
        """The highest threshold, so the gentlest merging, that keeps every budget; the lowest there is when none
        does."""
        before = self._policy({**params, name: distribution.high})
        strongest = self._policy({**params, name: distribution.low})
        if len(strongest.sites) == len(before.sites):
            return distribution.high  # switched off even at its lowest
        site = strongest.sites[-1]
        retention = Retention(*self.context.evaluator.similarities(before, site.layer, site.window), site.layer)
        step = (distribution.step or 1e-2) / FINER
        low, high = 0, round((distribution.high - distribution.low) / step)
        while low < high:  # the highest step that is affordable, between the two
            middle = (low + high + 1) // 2
            bounds = self.judge.costs(retention.at(distribution.low + middle * step))[1]
            if all(bounds[cost] <= budget for cost, budget in self.judge.budgets.items()):
                low = middle
            else:
                high = middle - 1
        return round(distribution.low + low * step, 4)
