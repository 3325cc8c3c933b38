"""How long merging itself takes: everything that a policy does before the layers of its sites."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from tuner.bench.prefill import Inputs, prefill
from tuner.costs.measure import now
from tuner.loading import LoadedModel
from tuner.policy import Policy


def merge_seconds(loaded: LoadedModel, policy: Policy, inputs: Inputs, repeats: int) -> tuple[float, ...]:
    """Seconds at all merge sites together, in each of `repeats` prefills after one that is not counted.

    Similarities, groups, means, masks and positions; the device finishes before and after, so nothing is hidden behind
    other work as it would be in production.
    """
    began, spent = 0.0, 0.0

    def before(*_: Any) -> None:
        nonlocal began
        began = now(loaded.device)

    def after(*_: Any) -> None:
        nonlocal spent
        spent += now(loaded.device) - began

    found = []
    with policy.applied(loaded.model), ExitStack() as stack:
        for site in policy.sites:  # the policy's own hook runs between these two
            layer = loaded.speech.layers[site.layer]
            stack.callback(layer.register_forward_pre_hook(before, prepend=True).remove)
            stack.callback(layer.register_forward_pre_hook(after).remove)
        for _ in range(repeats + 1):
            spent = 0.0
            prefill(loaded, inputs)
            found.append(spent)
    return tuple(found[1:])
