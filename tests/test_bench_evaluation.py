"""The benchmark of judging by drafts: both ways say the same, and the table is read off what was found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tuner.bench.evaluation import HEAD, Row, main, page


def test_a_row_is_read_off_medians() -> None:
    row = Row("x", 0.5, 0.031, plain=(4, 9, 5), drafts=(1, 0.5, 2), prefill=(0.8, 0.7, 9), alone=12, differ=1, ties=2)
    (cells,) = page([row]).rows
    assert dict(zip(HEAD, cells, strict=True)) == {
        "policy": "x",
        "kept": "50%",
        "WER": "3.1",
        "plain": "5.00 s",
        "drafts": "1.00 s",
        "faster": "5.0x",
        "passes": "1.25",
        "alone": "12.0x",
        "differ": "1",
    }


@pytest.mark.slow
def test_the_command_finds_no_difference(tmp_path: Path) -> None:
    arguments = ["--limit", "4", "--batch-size", "2", "--repeats", "1", "--device", "cpu", "--out", str(tmp_path)]
    result = CliRunner().invoke(main, [*arguments, "--policy", "reference-asr-0.70"])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "evaluation.json").read_text())["found"]
    assert {row["label"] for row in found} >= {"no sites", "reference-asr-0.70", "hopeless"}
    assert all(row["differ"] == 0 for row in found)
    kept = {row["label"]: row["kept"] for row in found}
    assert kept["merges nothing"] == 1 > kept["hopeless"]
    assert "| hopeless" in (tmp_path / "evaluation.md").read_text()
