"""Shipped speech to choose on and people to measure on, as one data set: `python -m tuner.reference.human`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tuner.reference import annotate, questions, real, validation

CHOSEN_ON = ("search", "selection")


def rows(speech: Path) -> list[dict[str, Any]]:
    """Manifest rows: the shipped splits to search and to choose on; as `test` the transcribed coffee orders of people
    whom the reference model has not heard; and as `train` those of the people it learnt from, to search and choose on
    where costs shall be matched on people's speech. A question asks for one slot of an order, each as often."""
    shipped = [json.loads(line) for line in (validation.FOLDER / "manifest.jsonl").read_text("utf-8").splitlines()]
    found = [
        row | {"path": str((validation.FOLDER / row["path"]).resolve())} for row in shipped if row["split"] in CHOSEN_ON
    ]
    for split, own in (("test", "dev"), ("train", "train")):
        for number, row in enumerate(one for one in real.order_rows(speech, own) if one["text"]):
            slot = questions.SLOTS[number % len(questions.SLOTS)]
            found.append(
                annotate.annotated({"path": str((speech / row["path"]).resolve()), "text": row["text"]})
                | {"id": row["path"], "split": split, "speaker": row["speaker"]}
                | {"question": f"Which {slot}?", "answer": real.slots(row).get(slot, questions.NONE)}
            )
    return found


@click.command()
@click.argument("speech", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
def main(speech: Path, out: Path) -> None:
    """Writes OUT from the folder SPEECH of human speech, whose manifest.jsonl says what its coffee orders are."""
    written = rows(speech)
    out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in written), encoding="utf-8")
    shipped = sum(row["split"] in CHOSEN_ON for row in written)
    tests = sum(row["split"] == "test" for row in written)
    click.echo(
        f"{out}: {shipped} shipped utterances to choose on, {tests} human orders as test, "
        f"{len(written) - shipped - tests} as train, which the reference model has heard"
    )


if __name__ == "__main__":
    main()
