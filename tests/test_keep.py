"""Tensors kept for a study: on the device, then in memory, then in files that go away with them."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

import pytest
import torch

from tuner.evaluate.keep import Keep

CPU = torch.device("cpu")
TENSORS = {name: torch.arange(25.0) + place for place, name in enumerate("abcd")}
SIZE = 100  # bytes of each


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder under which temporary files are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("room", "limit", "written"),
    [(0, 400, 0), (400, 0, 0), (100, 100, 2), (199, 299, 1), (99, 99, 4), (0, 0, 4)],
    ids=["memory", "device", "a tensor in each, the others in files", "no half tensors", "too small", "files"],
)
def test_what_has_no_room_goes_into_files_and_comes_back_the_same(
    files: Path, room: int, limit: int, written: int
) -> None:
    keep = Keep(CPU, limit=limit, room=room)
    for name, tensor in TENSORS.items():
        keep.put(name, tensor)
    assert len(list(files.rglob("*.pt"))) == written
    assert all(torch.equal(keep.get(name), tensor) for name, tensor in TENSORS.items())
    assert "a" in keep
    assert "e" not in keep


@pytest.mark.parametrize("limit", [10**6, 0], ids=["memory", "files"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_what_is_kept_is_a_copy_and_no_more_than_the_part_that_was_given(
    files: Path, limit: int, dtype: torch.dtype
) -> None:
    whole = torch.randn(500, 500, dtype=dtype)
    part = whole[:2, :3]
    given = part.clone()
    keep = Keep(CPU, limit=limit)
    keep.put("part", part)
    part.zero_()
    assert torch.equal(keep.get("part"), given)
    assert keep.get("part").untyped_storage().nbytes() < whole.nbytes / 10
    assert all(file.stat().st_size < whole.nbytes / 10 for file in files.rglob("*.pt"))


def test_there_is_room_for_what_stays_out_of_files(files: Path) -> None:
    keep = Keep(CPU, limit=2 * SIZE, room=SIZE)
    rooms = []
    for name, tensor in TENSORS.items():
        rooms.append((keep.has_room(3 * SIZE), keep.has_room(SIZE), keep.has_room(0)))
        keep.put(name, tensor)
    assert rooms == [(True, True, True), (False, True, True), (False, True, True), (False, False, True)]


def test_files_go_with_the_object(files: Path) -> None:
    keep = Keep(CPU, limit=0)
    keep.put("a", TENSORS["a"])
    got = keep.get("a")
    assert list(files.iterdir())
    del keep
    gc.collect()
    assert not list(files.iterdir())
    assert torch.equal(got, TENSORS["a"])  # whoever still uses it can
