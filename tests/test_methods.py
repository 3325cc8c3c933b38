"""Every method does what a plain loop does, to each utterance alone, whatever it is padded or batched with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from tuner.methods.base import Grouping, Method, Seen, guarded
from tuner.methods.known import METHODS, method_of
from tuner.policy import MergeSite
from tuner.runtime.affinity import Groups
from tuner.runtime.attention import Attention
from tuner.runtime.forward import blended, pooled

WIDTH, HEADS = 8, 2
Output = list[tuple[list[int], list[float]]]  # of every token that is left: whose mean it is, and how much each counts


@dataclass(frozen=True)
class Row:
    """One utterance: states [tokens, WIDTH], queries and keys [HEADS, tokens, WIDTH], which tokens are mergeable."""

    hidden: Tensor
    queries: Tensor
    keys: Tensor
    mergeable: list[bool]

    @property
    def runs(self) -> list[list[int]]:
        runs: list[list[int]] = []
        for token, free in enumerate(self.mergeable):
            if free and runs and runs[-1][-1] == token - 1:
                runs[-1].append(token)
            elif free:
                runs.append([token])
        return runs

    @property
    def free(self) -> list[int]:
        return [token for token, free in enumerate(self.mergeable) if free]

    def key_similarity(self, token: int) -> float:
        flat = self.keys.transpose(0, 1).flatten(1)
        return float(torch.cosine_similarity(flat[token], flat[token - 1], dim=0))

    def attention(self) -> Tensor:
        """[HEADS, tokens, tokens]"""
        scores = self.queries @ self.keys.transpose(-1, -2) / math.sqrt(WIDTH)
        return scores.masked_fill(~torch.ones(scores.shape[-2:]).tril().bool(), -torch.inf).softmax(-1)

    def received(self) -> Tensor:
        """[HEADS, tokens]"""
        return self.attention()[:, self.free].mean(1)


def _row(mergeable: Sequence[int], seed: int) -> Row:
    generator = torch.Generator().manual_seed(seed)
    tokens = len(mergeable)

    def walk(*shape: int) -> Tensor:
        noise = torch.randn(*shape, generator=generator)
        return noise.cumsum(-2) * 0.4 + noise + torch.randn(*shape[:-2], 1, shape[-1], generator=generator)

    return Row(
        walk(tokens, WIDTH), walk(HEADS, tokens, WIDTH), walk(HEADS, tokens, WIDTH), [bool(m) for m in mergeable]
    )


ROWS = {
    "one recording": _row([0, 0, *[1] * 23, 0, 0, 0], 0),
    "three recordings": _row([0, *[1] * 9, 0, 1, 0, *[1] * 6, 0], 1),
    "nothing but audio": _row([*[1] * 12, 0], 2),
    "one token": _row([0, 1, 0], 3),
    "no audio": _row([0] * 5, 4),
}


def _share(tokens: int, ratio: float) -> int:
    return min(tokens, max(1, math.floor(tokens * ratio + 0.5 + 1e-9)))


def _whole(groups: Sequence[Sequence[int]]) -> Output:
    return [(list(group), [1.0] * len(group)) for group in groups]


def _weighted(groups: Sequence[list[int]], weights: Tensor) -> Output:
    return [(group, weights[group].tolist() if len(group) > 1 else [1.0]) for group in groups]


def _chained(row: Row, joins: Callable[[list[int], int], bool]) -> list[list[int]]:
    """Groups from left to right; `joins` tells whether a token joins the group before it."""
    groups: list[list[int]] = []
    for token, free in enumerate(row.mergeable):
        if free and groups and row.mergeable[groups[-1][-1]] and joins(groups[-1], token):
            groups[-1].append(token)
        else:
            groups.append([token])
    return groups


def _cosine(row: Row, one: int, other: int) -> float:
    return float(torch.cosine_similarity(row.hidden[one], row.hidden[other], dim=0))


def affinity(row: Row, threshold: float, window: int = 1, largest: int = 0) -> Output:
    def joins(group: list[int], token: int) -> bool:
        room = not largest or len(group) < largest
        return room and max(_cosine(row, member, token) for member in group[-window:]) >= threshold

    return _whole(_chained(row, joins))


def quantile(row: Row, ratio: float, window: int = 1, largest: int = 0) -> Output:
    pairs = [(token, run[at - back]) for run in row.runs for at, token in enumerate(run) for back in range(1, at + 1)]
    values = sorted((_cosine(row, *pair) for pair in pairs if pair[0] - pair[1] <= window), reverse=True)
    wanted = len(row.mergeable) - len(row.free) + _share(len(row.free), ratio)
    for threshold in [2.0, *values]:
        groups = affinity(row, threshold - 1e-6, window, largest)
        if len(groups) <= wanted:
            return groups
    return affinity(row, -2.0, window, largest)


def _cells(row: Row, ratio: float) -> list[list[int]]:
    groups = [[token] for token in range(len(row.mergeable)) if not row.mergeable[token]]
    for run in row.runs:
        kept = _share(len(run), ratio)
        cells: dict[int, list[int]] = {}
        for place, token in enumerate(run):
            cells.setdefault(place * kept // len(run), []).append(token)
        assert len(cells) == kept
        groups += cells.values()
    return sorted(groups)


def uniform(row: Row, ratio: float) -> Output:
    return _whole(_cells(row, ratio))


def stride(row: Row, ratio: float) -> Output:
    return _whole([cell[:1] for cell in _cells(row, ratio)])


def interpolate(row: Row, ratio: float) -> Output:
    said = _whole([[token] for token in range(len(row.mergeable)) if not row.mergeable[token]])
    for run in row.runs:
        kept = _share(len(run), ratio)
        for point in range(kept):
            at = (point + 0.5) * len(run) / kept - 0.5
            first = math.floor(at + 1e-9)
            part = max(at - first, 0.0)
            said.append((run[first : first + 2], [1 - part, part][: len(run) - first]))
    return sorted(said)


def _only(row: Row, stay: Sequence[int]) -> Output:
    return _whole([[token] for token, free in enumerate(row.mergeable) if not free or token in stay])


def norm(row: Row, ratio: float) -> Output:
    length = row.keys.norm(dim=-1).mean(0)
    return _only(row, sorted(row.free, key=lambda token: float(length[token]))[: _share(len(row.free), ratio)])


def _linked(row: Row, tokens: Sequence[int]) -> list[list[int]]:
    return _chained(row, lambda group, token: token in tokens)


def atome(row: Row, threshold: float | None = None, ratio: float = 1.0) -> Output:
    pairs = sorted((token for run in row.runs for token in run[1::2]), key=row.key_similarity, reverse=True)
    if threshold is not None:
        return _whole(_linked(row, [token for token in pairs if row.key_similarity(token) >= threshold]))
    return _whole(_linked(row, pairs[: len(row.free) - _share(len(row.free), ratio)]))


def fastadasp(row: Row, ratio: float) -> Output:
    borders = sorted((token for run in row.runs for token in run[1:]), key=row.key_similarity, reverse=True)
    groups = _linked(row, borders[: len(row.free) - _share(len(row.free), ratio)])
    weights = row.received().sum(0) if row.free else torch.ones(len(row.mergeable))
    return _weighted(groups, weights)


def samap(row: Row, ratio: float, threshold: float = 0.85) -> Output:
    groups = _chained(row, lambda group, token: sum(_cosine(row, m, token) for m in group) / len(group) >= threshold)
    if not row.free:
        return _whole(groups)
    weights = row.received().amax(0)
    audio = [group for group in groups if row.mergeable[group[0]]]
    means = torch.stack([torch.einsum("th,t->h", row.hidden[g], weights[g]) / weights[g].sum() for g in audio])
    relevance = torch.stack([weights[group].mean() for group in audio])
    unit = means / means.norm(dim=-1, keepdim=True) * (relevance / relevance.max())[:, None]
    kernel, chosen = unit @ unit.T, list[int]()
    kernel += 1e-3 * kernel.diag().diag()
    for _ in range(min(_share(len(row.free), ratio), len(audio))):
        rest = [group for group in range(len(audio)) if group not in chosen]
        gain = {one: float(torch.linalg.det(kernel[[*chosen, one]][:, [*chosen, one]].double())) for one in rest}
        chosen.append(max(gain, key=lambda one: gain[one]))
    stay = [audio[group] for group in chosen]
    return _weighted([group for group in groups if group in stay or not row.mergeable[group[0]]], weights)


NAIVE: dict[str, Callable[..., Output]] = {
    "affinity": affinity,
    "quantile": quantile,
    "uniform": uniform,
    "stride": stride,
    "interpolate": interpolate,
    "norm": norm,
    "atome": atome,
    "fastadasp": fastadasp,
    "samap": samap,
}
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("affinity", {"threshold": 0.85}),
    ("affinity", {"threshold": 0.8, "window": 3}),
    ("affinity", {"threshold": 0.8, "window": 3, "largest": 2}),
    ("quantile", {"ratio": 0.6}),
    ("quantile", {"ratio": 0.6, "largest": 2}),
    ("quantile", {"ratio": 0.2, "largest": 3}),  # more than groups of three can do
    ("quantile", {"ratio": 0.35, "window": 3}),
    ("quantile", {"ratio": 1.0}),
    *((name, {"ratio": ratio}) for name in ("uniform", "stride", "interpolate") for ratio in (0.01, 0.5, 0.7, 1.0)),
    ("random", {"ratio": 0.5}),
    ("random", {"ratio": 0.5, "seed": 3}),
    ("norm", {"ratio": 0.4}),
    ("atome", {"threshold": 0.8}),
    ("atome", {"ratio": 0.7}),
    ("atome", {"ratio": 0.1}),
    ("fastadasp", {"ratio": 0.55}),
    ("samap", {"ratio": 0.5}),
    ("samap", {"ratio": 0.3, "threshold": 0.7}),
]
CASES = pytest.mark.parametrize(("name", "settings"), SETTINGS, ids=[f"{name} {given}" for name, given in SETTINGS])


def _method(name: str, settings: dict[str, Any]) -> Method:
    return method_of(MergeSite(layer=0, method=name, **settings))


def _seen(rows: Sequence[Row]) -> Seen:
    longest = max(len(row.mergeable) for row in rows)

    def padded(parts: Sequence[Tensor]) -> Tensor:  # with noise on the left, on which nothing may depend
        noise = torch.Generator().manual_seed(9)
        return torch.stack(
            [
                torch.cat([torch.randn(*p.shape[:-2], longest - p.shape[-2], p.shape[-1], generator=noise), p], dim=-2)
                for p in parts
            ]
        )

    queries, keys = padded([row.queries for row in rows]), padded([row.keys for row in rows])
    free = [[False] * (longest - len(row.mergeable)) + row.mergeable for row in rows]
    real = torch.tensor([[token >= longest - len(row.mergeable) for token in range(longest)] for row in rows])
    attention = Attention(keys, lambda: queries @ keys.transpose(-1, -2) / math.sqrt(WIDTH), real)
    return Seen(padded([row.hidden for row in rows]), torch.tensor(free), real, lambda: attention)


def _left(said: Grouping, seen: Seen) -> tuple[Groups, list[Tensor]]:
    """The groups, and the states [tokens, WIDTH] that are left of each row."""
    groups = Groups.form(said.joined, seen.real, said.kept)
    hidden = seen.hidden if said.blend is None else blended(seen.hidden, said.blend)
    means = pooled(groups, hidden, said.weights)
    return groups, [row[real] for row, real in zip(means, groups.real, strict=True)]


@CASES
def test_it_does_what_a_loop_does_in_any_batch(name: str, settings: dict[str, Any]) -> None:
    together = _left(_method(name, settings)(_seen(list(ROWS.values()))), _seen(list(ROWS.values())))[1]
    for (case, row), left in zip(ROWS.items(), together, strict=True):
        alone = _left(_method(name, settings)(_seen([row])), _seen([row]))[1][0]
        torch.testing.assert_close(left, alone, msg=lambda text, case=case: f"{case}: {text}")  # type: ignore[misc]
        if name in NAIVE:
            output = NAIVE[name](row, **settings)
            means = [
                torch.einsum("th,t->h", row.hidden[group], torch.tensor(weights)) / sum(weights)
                for group, weights in output
            ]
            torch.testing.assert_close(alone, torch.stack(means), rtol=1e-4, atol=1e-4)


@CASES
def test_it_keeps_time_order_and_all_that_is_not_mergeable(name: str, settings: dict[str, Any]) -> None:
    seen, method = _seen(list(ROWS.values())), _method(name, settings)
    said = method(seen)
    groups, _ = _left(said, seen)
    going = groups.place > 0 if said.kept is None else (groups.place > 0) | ~said.kept
    assert not (going & ~seen.mergeable).any()
    kept = seen.real if said.kept is None else seen.real & said.kept
    assert (groups.sizes * groups.real).sum(1).tolist() == kept.sum(1).tolist(), "sizes sum to the tokens that are kept"
    ends = groups.last.masked_fill(~groups.real, -1)
    assert (ends.diff(dim=1) > 0)[groups.real[:, 1:]].all(), "in time order"
    assert torch.equal(guarded(method)(seen).joined, said.joined)


@CASES
def test_how_many_go_is_foretold(name: str, settings: dict[str, Any]) -> None:
    seen, method = _seen(list(ROWS.values())), _method(name, settings)
    traces = method.traces(seen)
    assert (traces is None) == ("threshold" in settings and name == "atome")
    if traces is not None:
        left = _left(method(seen), seen)[1]
        assert (seen.real.sum(1) - method.goes(traces, seen.mergeable)).tolist() == [len(row) for row in left]


def test_the_ratio_is_kept_in_every_utterance() -> None:
    seen, free = _seen([ROWS["one recording"]]), 23
    for name in METHODS:
        for ratio in (0.5, 0.7, 0.9):
            if name != "affinity":
                method = _method(name, {"ratio": ratio, **({"threshold": 0.99} if name == "samap" else {})})
                left = len(_left(method(seen), seen)[1][0]) - 5
                assert left == max(_share(free, ratio), 12 if name == "atome" else 1), name


def test_interpolation_is_that_of_torch() -> None:
    row = _row([1] * 17, 5)
    for ratio in (0.3, 0.5, 0.77):
        left = _left(_method("interpolate", {"ratio": ratio})(_seen([row])), _seen([row]))[1][0]
        expected = torch.nn.functional.interpolate(row.hidden.T[None], size=_share(17, ratio), mode="linear")[0].T
        torch.testing.assert_close(left, expected)


def test_chance_depends_on_the_seed_alone() -> None:
    seen = _seen([_row([1] * 400, 6), _row([1] * 400, 7)])
    kept = [_method("random", {"ratio": 0.5, "seed": seed})(seen).kept for seed in (0, 1)]
    assert kept[0] is not None
    assert kept[1] is not None
    assert torch.equal(kept[0][0], kept[0][1]), "not on what is heard"
    assert 150 < (kept[0] == kept[1])[0].sum() < 250, "another seed picks others"
    assert 80 < (kept[0][0, 1:] & kept[0][0, :-1]).sum() < 120, "neighbours stay independently"


def test_a_rule_that_goes_too_far_is_held_back() -> None:
    seen = _seen([ROWS["three recordings"]])
    everything = guarded(lambda seen: Grouping(torch.ones_like(seen.real), torch.zeros_like(seen.real)))(seen)
    assert everything.kept is not None
    assert torch.equal(everything.kept, ~seen.mergeable)
    assert not (everything.joined & ~seen.mergeable).any()
    assert everything.joined.sum() == 16 - 3, "a run's first token joins nothing"
