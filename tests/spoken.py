"""The shipped recordings with everything that the three tasks need written of them, as a manifest."""

from __future__ import annotations

import json
from pathlib import Path

from tuner.data.sources import REFERENCE_MANIFEST


def manifest(folder: Path, split: str = "search", count: int = 4, name: str = "dev") -> Path:
    """The first recordings of a split; the answer is the first word that is said, the translation all of it in
    capitals. The last one has no translation."""
    lines = [json.loads(line) for line in REFERENCE_MANIFEST.read_text(encoding="utf-8").splitlines()]
    rows = []
    for line in [line for line in lines if line["split"] == split][:count]:
        path, text = str(REFERENCE_MANIFEST.parent / line["path"]), line["text"]
        rows.append({"path": path, "text": text, "question": "Which word?", "answer": text.split()[0]})
        rows[-1] |= {"translation": text.upper(), "voice": line["voice"]}
    del rows[-1]["translation"]
    (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder / f"{name}.jsonl"
