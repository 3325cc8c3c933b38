"""A folder of audio files, each with its text in a ``.txt`` of the same name."""

from __future__ import annotations

from pathlib import Path

from tuner.data.audio import SUFFIXES
from tuner.data.rows import WITHOUT_REFERENCES, Row, Rows, choose_split
from tuner.errors import DataError


def audio_files(folder: Path) -> list[Path]:
    """Every audio file at or below ``folder``, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def read_folder(folder: Path, split: str | None, column: str | None) -> Rows:
    """Read a folder; a split is a sub-folder of that name, and without one everything below the folder is read.

    Raises:
        DataError: no such split, no audio file, no text file although texts are needed, or anything else is needed.
    """
    if column not in (None, "text"):
        raise DataError(f"{folder}: a folder of audio has no {column}; give a manifest that has, {WITHOUT_REFERENCES}")
    if split is not None:
        choose_split(split, {path.name for path in folder.iterdir() if path.is_dir()}, f"{folder} (by sub-folders)")
    root = folder / split if split else folder
    files = audio_files(root)
    if not files:
        raise DataError(f"{root}: holds no audio file; looked for {', '.join(sorted(SUFFIXES))}")
    rows = [
        Row(id=file.relative_to(folder).as_posix(), source=file, text=_text_of(file), speaker=None) for file in files
    ]
    if column is not None and all(row.text is None for row in rows):
        beside = f"{files[0].stem}.txt"
        raise DataError(
            f"{root}: has no texts; put one in a .txt beside each file, such as {beside}, {WITHOUT_REFERENCES}"
        )
    return Rows(split or folder.resolve().name, iter(rows))


def _text_of(file: Path) -> str | None:
    path = file.with_suffix(".txt")
    if not path.is_file():
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error}); convert it") from error
