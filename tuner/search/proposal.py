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
from tuner.sites import AFFINITY

log = logging.getLogger(__name__)

SHIFT, REACH = 0.005, 1.0  # how finely, and how far, all thresholds move together
ERROR = 0.005  # of a cost ratio: predictions are seldom further off (BENCHMARKS.md)
NOTHING = 2.0  # a threshold and a ratio at which a site does nothing
FINER = 2  # steps of the solved threshold to one of the searched ones: a whole step can be two points of cost
HARDER = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the way to their strongest, for the sites before the solved one


@dataclass(frozen=True)
class Proposal:
    """A policy, and the passes up to its last site where they were made already."""

    policy: Policy
    begun: Begun | None = None


@dataclass(frozen=True)
class Proposals:
    """Draws policies from the space of `context`, which `drafted` judges.

    Where `solve` is set, no trial is lost on policies that cost too much or save more than is asked for. If the space
    allows it, the sampler chooses everything but the last threshold or ratio. Passes up to the last site then tell what
    it would save at every one, and the candidate's own pass goes on from there. Where the last site at its strongest is
    not enough, the ones before merge harder than drawn, all together. In other spaces, such as ladders, the
    sampler chooses the shape, and `predictor` says by how much all thresholds together have to move; it knows affinity
    alone, so policies of other methods are left as they are drawn.
    """

    context: Context
    drafted: Drafted
    judge: Judge
    predictor: Predictor | None = None

    @classmethod
    def needs_predictor(cls, context: Context) -> bool:
        """Whether budgets cannot be spent without one."""
        return (
            context.settings.solve and AFFINITY in context.space.methods and not context.space.solvable(context.layers)
        )

    def draw(self, trial: Trial, known: Policy | None = None) -> Proposal:
        """What a trial proposes; `known` where it was queued for a policy, whose `known_params` it has."""
        context, solvable = self.context, self._solvable
        params = context.space.suggest(trial, context.layers, solvable)
        if known is not None:
            return Proposal(known)
        if not solvable:
            policy = self._policy(params)
            return Proposal(policy if self.predictor is None else self._shifted(policy, self.predictor))
        name = context.space.solved_by(params)
        return self._solved(params, name, solvable[name])

    def known_params(self, policy: Policy) -> Params | None:
        """The parameters that stand for a known policy, without solved ones; None where the space lacks it."""
        params = self.context.space.params_of(policy, self.context.layers)
        return None if params is None else {name: params[name] for name in params if name not in self._solvable}

    @property
    def _solvable(self) -> dict[str, FloatDistribution]:
        return self.context.space.solvable(self.context.layers) if self.context.settings.solve else {}

    def _policy(self, params: Params) -> Policy:
        space = self.context.space
        return self.context.policy(space.sites_of(params, self.context.layers), space.position_of(params))

    def _solved(self, params: Params, name: str, distribution: FloatDistribution) -> Proposal:
        """With the highest threshold or ratio, so the gentlest merging, that keeps every budget; with the lowest there
        is, behind sites that merge as little harder than drawn as that takes, when none does."""
        step = (distribution.step or 1e-2) / FINER
        for share in HARDER:
            drawn = self.context.space.harder(params, share, self.context.layers)

            def at(steps: int, drawn: Params = drawn) -> Policy:
                return self._policy({**drawn, name: round(distribution.low + steps * step, 4)})

            before, strongest = self._policy({**drawn, name: NOTHING}), at(0)
            if len(strongest.sites) == len(before.sites):
                return Proposal(before)  # switched off even at its lowest
            begun = self.drafted.begin(before, strongest.sites[-1])
            if share == HARDER[-1] or self._keeps(begun.retention.at(strongest.sites[-1])):
                break
            begun.states.clear()  # room for the next one's
        low, high = 0, round((distribution.high - distribution.low) / step)
        while low < high:  # the highest step that is affordable, between the two
            middle = (low + high + 1) // 2
            policy = at(middle)
            behind = policy.sites[len(before.sites) :]
            if self._keeps(begun.retention.at(behind[0]) if behind else begun.retention.prefill):
                low = middle
            else:
                high = middle - 1
        return Proposal(at(low), begun)

    def _shifted(self, policy: Policy, predictor: Predictor) -> Policy:
        """The policy with all thresholds moved together until it is predicted to spend the budget."""
        if any(site.method != AFFINITY for site in policy.sites):
            return policy
        steps = round(REACH / SHIFT)
        shifts = [step * SHIFT for step in range(-steps, steps + 1)]
        return shifted(policy, predictor.shift(policy, shifts, partial(self._keeps, margin=ERROR)))

    def _keeps(self, evaluation: Evaluation, margin: float = 0.0) -> bool:
        """Whether the upper bounds of its costs keep every budget."""
        bounds = self.judge.costs(evaluation)[1]
        return all(bounds[cost] <= budget - margin for cost, budget in self.judge.budgets.items())
