"""Search spaces: what they draw, what they can express, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from tuner.errors import SearchError
from tuner.policy import MergeSite, ModelBlock, Policy
from tuner.search.presets import presets
from tuner.search.space import SearchSpace

SHIPPED = ["dual", "input", "ladder", "methods", "triple"]


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("layers", [2, 12, 32])
def test_every_draw_is_a_valid_policy_of_that_depth(name: str, layers: int) -> None:
    space = SearchSpace.load(name)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(50):
        sites = space.sites_of(space.suggest(study.ask(), layers), layers)
        places = [site.layer for site in sites]
        assert places == sorted(set(places))
        assert all(0 <= place < layers for place in places)
        assert all(site.threshold <= 1 and site.ratio <= 1 for site in sites)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_identity_can_be_drawn_and_the_strongest_policy_merges_first_and_most(name: str) -> None:
    space = SearchSpace.load(name)
    identity = space.identity(12)
    assert identity is not None
    assert space.sites_of(identity, 12) == ()
    strongest = space.strongest(12)
    assert strongest[0].layer == 0
    lows = [d.low for n, d in space.distributions(12).items() if n.startswith("threshold")]  # type: ignore[attr-defined]
    assert min(site.threshold for site in strongest) == pytest.approx(min(lows))


@pytest.mark.parametrize("name", ["dual", "triple", "methods"])
@pytest.mark.parametrize("layers", [12, 28, 32])
def test_the_papers_presets_can_be_drawn_and_the_last_threshold_solved(name: str, layers: int) -> None:
    space = SearchSpace.load(name)
    for sites in presets(layers).values():
        params = space.express(sites, space.position_of({}), layers)
        assert params is not None
        assert space.sites_of(params, layers) == sites
    assert f"threshold.{len(space.sites) - 1}" in space.solvable(layers)


def test_known_policies_are_expressed_exactly_or_not_at_all() -> None:
    dual = SearchSpace.load("dual")
    deep_alone = (MergeSite(layer=6, threshold=0.7, window=3),)
    params = dual.express(deep_alone, "last", 12)
    assert params is not None
    assert dual.sites_of(params, 12) == deep_alone
    for beyond in (
        (MergeSite(layer=0, threshold=0.1, window=1),),  # below the range
        (MergeSite(layer=0, threshold=0.8, window=2),),  # a window that is no choice
        tuple(MergeSite(layer=layer, threshold=0.8) for layer in (0, 3, 6)),  # more sites than there are
    ):
        assert dual.express(beyond, "last", 12) is None
    assert SearchSpace.load("ladder").express(presets(12)["paper 0.8/0.7"], "first", 12) is None


def test_presets_keep_the_papers_share_of_the_depth() -> None:
    assert [site.layer for site in presets(32)["paper 0.8/0.7"]] == [0, 29]
    assert [site.layer for site in presets(12)["paper 0.8/0.7"]] == [0, 11]


def test_ladder_thresholds_are_interpolated_between_start_and_last_layer() -> None:
    params = {"start": 2, "every": 3, "threshold.0": 0.9, "threshold.1": 0.7, "threshold.2": 0.5, "window": 1}
    sites = SearchSpace.load("ladder").sites_of(params, 12)
    assert [site.layer for site in sites] == [2, 5, 8, 11]
    assert [site.threshold for site in sites] == pytest.approx([0.9, 0.7667, 0.6333, 0.5], abs=1e-4)


SITE, DEEP = "{layer: 0, threshold: {low: 0.5, high: 1.02}}", "{layer: {low: 0.3, high: 1.0}, threshold: "


@pytest.mark.parametrize(
    ("sites", "solvable"),
    [
        (f"[{SITE}, {DEEP}{{low: 0.5, high: 1.02}}}}]", "threshold.1"),
        (f"[{SITE}]", "threshold.0"),
        (f"[{SITE}, {DEEP}0.8}}]", None),  # it is fixed
        (f"[{DEEP}0.8}}, {SITE}]", None),  # the other site may be behind it
    ],
)
def test_the_last_threshold_can_be_solved_where_no_site_is_behind_it(
    tmp_path: Path, sites: str, solvable: str | None
) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(f"schema: 1\nname: x\nsites: {sites}")
    space = SearchSpace.load(str(path))
    assert list(space.solvable(12)) == ([] if solvable is None else [solvable])
    assert space.last_threshold(12) == next(iter(space.solvable(12).items()), None)


RATIO = "ratio: {low: 0.3, high: 1.0}"


@pytest.mark.parametrize(
    ("site", "free", "solvable"),
    [
        (f"method: uniform, {RATIO}", ["ratio.0"], ["ratio.0"]),
        (f"method: {{choices: [norm, random]}}, {RATIO}", ["method.0", "ratio.0"], ["ratio.0"]),
        (
            f"method: {{choices: [affinity, samap]}}, threshold: {{low: 0.5, high: 1.02}}, {RATIO}",
            ["method.0", "threshold.0", "ratio.0"],
            ["threshold.0", "ratio.0"],
        ),
        (f"method: samap, threshold: {{low: 0.5, high: 0.9}}, {RATIO}", ["threshold.0", "ratio.0"], ["ratio.0"]),
        ("method: atome, threshold: {low: 0.5, high: 1.02}", ["threshold.0"], []),  # it goes by keys
        (f"method: {{choices: [uniform, atome]}}, {RATIO}", ["method.0", "ratio.0"], ["ratio.0"]),
        (f"method: random, seed: {{choices: [0, 1]}}, {RATIO}", ["ratio.0", "seed.0"], ["ratio.0"]),
    ],
)
def test_a_site_has_the_parameters_of_its_methods(
    tmp_path: Path, site: str, free: list[str], solvable: list[str]
) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(f"schema: 1\nname: x\nsites: [{{layer: 0, {site}}}]")
    space = SearchSpace.load(str(path))
    assert list(space.distributions(12)) == free
    assert list(space.solvable(12)) == solvable
    for method in space.methods:
        strongest = space.strongest(12, method)
        assert [one.method for one in strongest] == [method]
        assert space.express(strongest, "first", 12) is not None


def test_spaces_without_methods_are_what_they_were() -> None:
    """Runs that were begun before there were methods go on."""
    known = {
        "dual": "8f7277b1153129aa",
        "input": "b169fde3a288a349",
        "ladder": "24a1f6963995fd02",
    }
    assert {name: SearchSpace.load(name).fingerprint for name in known} == known


def test_a_space_holds_policies_of_its_own_attention_alone(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    block = ModelBlock(id="x", architecture="x", layers=12, hidden_size=8, fingerprint="x")
    (site,) = presets(12)["paper 0.8/0.7"][:1]
    policies = [Policy(name="x", model=block, sites=(site,), proportional=often) for often in (False, True)]
    for often, said in enumerate(["", "proportional: true"]):
        path.write_text(f"schema: 1\nname: x\nsites: [{{layer: 0, threshold: {{low: 0.5, high: 1.0}}}}]\n{said}")
        space = SearchSpace.load(str(path))
        assert [space.params_of(policy, 12) is not None for policy in policies] == [not often, bool(often)]


def test_the_position_rule_can_be_fixed_or_free(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("schema: 1\nname: x\nsites: [{layer: 0, threshold: 0.5}]\nposition: {choices: [last, first]}")
    space = SearchSpace.load(str(path))
    assert list(space.distributions(12)) == ["position"]
    assert space.position_of({"position": "first"}) == "first"
    assert space.position_of({}) == "last"
    assert SearchSpace.load("ladder").position_of({}) == "first"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("schema: 1\nname: x\nsites: [{layer: 0, threshold: {low: 0.9, high: 0.5}}]", "above high"),
        ("schema: 1\nname: x\nsites: [{layer: 0, threshold: 0.5, tau: 1}]", "tau"),
        ("schema: 1\nname: x\nsites: [{layer: 0, method: averaging, ratio: 0.5}]", "no method 'averaging'"),
        ("schema: 1\nname: x\nsites: [{layer: 0, method: uniform, threshold: 0.5}]", "needs 'ratio'"),
        ("schema: 1\nname: x\nsites: [{layer: 0, method: uniform, ratio: {low: 0, high: 1}}]", "above 0"),
        ("schema: 1\nname: x\nsites: [{layer: 0, method: uniform, ratio: 0.5, seed: 1}]", "no method .* 'seed'"),
        ("schema: 1\nname: x\nsites: [{layer: 0}]", "needs 'threshold'"),
        ("schema: 2\nname: x\nsites: [{layer: 0, threshold: 0.5}]", "schema"),
        ("schema: 1\nname: x", "sites or a ladder"),
        ("a: [", "not YAML"),
        ("!!python/object/apply:os.system [echo]", "not YAML"),
    ],
)
def test_a_bad_file_is_refused_by_name_and_reason(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(SearchError, match=problem) as caught:
        SearchSpace.load(str(path))
    assert str(path) in str(caught.value)


def test_an_unknown_name_lists_what_is_shipped() -> None:
    with pytest.raises(SearchError, match="dual, input, ladder, methods, triple"):
        SearchSpace.load("duall")
