"""What a method of merging or pruning sees of the tokens that enter a layer, and what it says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from tuner.runtime.attention import Attention


@dataclass(frozen=True)
class Seen:
    """The tokens that enter a layer.

    Attributes:
        hidden: [batch, tokens, hidden] the layer's input, before its norm, in the model's dtype.
        mergeable: [batch, tokens] bool, the audio tokens that are free to be merged or dropped. Never text, padding, a
            prompt's last token or short audio.
        real: [batch, tokens] bool, False for padding.
        attend: computes the layer's attention among these tokens when it is called, at the price of its projections.
    """

    hidden: Tensor
    mergeable: Tensor
    real: Tensor
    attend: Callable[[], Attention]


@dataclass(frozen=True)
class Grouping:
    """What becomes of the tokens. Each group becomes one token, the mean of its members.

    Attributes:
        joined: [batch, tokens] bool, True where a token joins the open group, False where it opens one. Two neighbours
            in a group are both mergeable.
        kept: [batch, tokens] bool, False drops a token: it is in no group, and no group reaches across it. None keeps
            all. What is not mergeable is kept.
        weights: [batch, tokens] float, above 0: how much a member counts in its group's mean. None: all the same.
        blend: [batch, tokens] float, 0 to 1: how much of the token behind it a token takes up before groups are
            formed (linear interpolation); 0 where that one is not mergeable. None: nothing.
    """

    joined: Tensor
    kept: Tensor | None = None
    weights: Tensor | None = None
    blend: Tensor | None = None


Rule = Callable[[Seen], Grouping]


class Method(Protocol):
    """A rule with settings: the fields of a frozen dataclass, which a merge site gives by name."""

    def __call__(self, seen: Seen) -> Grouping:
        """Says what becomes of the tokens; each row gets what it would get alone, whatever its padding."""
        ...

    def traces(self, seen: Seen) -> Tensor | None:
        """[batch, tokens, width] all of the states that decides how many tokens go, at any `threshold` or `ratio`; None
        where that is not known without the layer's attention, which `seen.attend` must not be asked for here."""
        ...

    def goes(self, traces: Tensor, mergeable: Tensor) -> Tensor:
        """[batch] how many of the `mergeable` tokens a call would merge into others or drop, told by their traces."""
        ...


def guarded(rule: Rule) -> Rule:
    """`rule`, held to what it may do: tokens that are not mergeable stay as they are, whatever it says."""

    def within_bounds(seen: Seen) -> Grouping:
        said, free = rule(seen), seen.mergeable
        joined = said.joined & free
        joined[:, 1:] &= free[:, :-1]
        joined[:, 0] = False
        return Grouping(joined, None if said.kept is None else said.kept | ~free, said.weights, said.blend)

    return within_bounds
