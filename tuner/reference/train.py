"""Trains the reference speech LLM from nothing: `python -m tuner.reference.train`.

The whole recipe: speak the training sentences (espeak-ng, flite), teach the encoder to spell (CTC), then encoder and
decoder together, measure, and write the checkpoint with its model card. Interrupted, it goes on where it was.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch

from tuner.reference import batching, card, checkpoint, corpus, lessons, measure, real, validation
from tuner.reference.features import Features
from tuner.reference.network import Network

log = logging.getLogger("tuner.reference.train")
WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Recipe:
    """What fixes a training run. `seconds` is the audio in a batch; learning rates warm up over 100 steps, hold, and
    fall to zero over the second half of the joint stage."""

    utterances: int = 36_000
    easy_steps: int = 250
    ctc_steps: int = 600
    steps: int = 8_200
    seconds: float = 120.0
    rate: float = 2e-3
    ctc_weight: float = 0.3
    seed: int = 1


class Training:
    """The state that a checkpoint holds: network, optimizers, step."""

    def __init__(self, recipe: Recipe, folder: Path, device: torch.device, start_from: Path | None = None) -> None:
        self.recipe, self.device = recipe, device
        self.path = folder / "training.pt"
        self.processor = checkpoint.processor()
        words = self.processor.tokenizer
        if start_from is None:
            model = checkpoint.untrained(words, recipe.seed)
        else:
            model = checkpoint.taken_over(start_from, words, recipe.seed)
            model.model.audio_tower.requires_grad_(False)  # it hears well; most of the time goes to what it is for
        self.hears = start_from is not None
        self.network = Network(model, words).to(device)
        self.features = Features(self.processor.feature_extractor, device)
        learning = [(name, one) for name, one in self.network.named_parameters() if one.requires_grad]
        matrices = [one for name, one in learning if one.ndim == 2 and ".layers." in name]
        chosen = {id(p) for p in matrices}
        others = [one for _, one in learning if id(one) not in chosen]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, lr=recipe.rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.01),
        ]
        self.step = 0
        if self.path.exists():
            self.load()

    def load(self) -> None:
        """Continues from the last checkpoint."""
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step = state["step"]
        log.info("continuing from step %d", self.step)

    def save(self) -> None:
        """Writes the checkpoint whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
        }
        temporary = self.path.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(self.path)

    def rate_now(self) -> float:
        """Warm up, hold, fall: relative to each stage's own start."""
        r = self.recipe
        since = self.step if self.step < r.ctc_steps else self.step - r.ctc_steps
        left = (r.ctc_steps + r.steps - self.step) / (0.5 * r.steps)
        return r.rate * min(1.0, (since + 1) / 100, max(left, 0.0))

    def train_step(self, batch: list[corpus.Clip]) -> list[float]:
        """One update; returns the CTC loss and that of each lesson (0 for what is not learnt now)."""
        r = self.recipe
        rng = random.Random(f"{r.seed}-{self.step}")
        texts = [clip.text for clip in batch]
        mel, frames = self.features([clip.samples for clip in batch], rng, augment=self.step >= r.easy_steps)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            states, audio, tokens = self.network.encode(mel, frames)
            ctc = torch.zeros(()) if self.hears else self.network.ctc_loss(states, frames, texts)
            loss, answers = r.ctc_weight * ctc, torch.zeros(len(lessons.NAMES))
            if self.step >= r.ctc_steps:
                told = [lessons.lessons(text, rng) for text in texts]
                answers = self.network.answer_losses(audio, tokens, told)
                loss = loss + answers @ torch.tensor(lessons.SHARES, device=answers.device)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rate_now()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return [float(ctc.detach()), *answers.detach().tolist()]

    def export(self, folder: Path) -> None:
        """A Hugging Face checkpoint directory in bfloat16."""
        model = checkpoint.untrained(self.processor.tokenizer, self.recipe.seed)
        model.load_state_dict(self.network.model.state_dict())
        model.to(torch.bfloat16).save_pretrained(folder)
        self.processor.save_pretrained(folder)


@click.command()
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=Path("runs/reference"),
    show_default=True,
    help="Where speech and checkpoints are kept while training.",
)
@click.option(
    "--speech", type=click.Path(path_type=Path, exists=True), help="Folder of human speech with manifest.jsonl."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=WEIGHTS, show_default=True, help="Where the model goes."
)
@click.option(
    "--start-from",
    type=click.Path(path_type=Path, exists=True),
    help="A finished checkpoint to go on from; its encoder stays as it is. Goes with --easy-steps 0 --ctc-steps 0.",
)
@click.option("--utterances", default=Recipe.utterances, show_default=True)
@click.option("--easy-steps", default=Recipe.easy_steps, show_default=True, help="CTC steps on short, clean clips.")
@click.option("--ctc-steps", default=Recipe.ctc_steps, show_default=True)
@click.option("--steps", default=Recipe.steps, show_default=True, help="Joint steps after the CTC steps.")
@click.option("--seconds", default=Recipe.seconds, show_default=True, help="Audio in one batch.")
@click.option("--rate", default=Recipe.rate, show_default=True, help="Peak learning rate.")
@click.option("--seed", default=Recipe.seed, show_default=True)
def main(work: Path, speech: Path | None, out: Path, start_from: Path | None, **options: float) -> None:
    """Trains the reference speech LLM and writes it, measured, with its model card."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    recipe = Recipe(**options)  # type: ignore[arg-type]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    clips = corpus.build(work / "corpus", recipe.utterances, recipe.seed, validation.held_out_texts())
    orders = real.orders(speech, "train") if speech else []
    digits = real.DigitStrings(speech, "train") if speech else None
    hours = sum(len(clip.samples) for clip in clips) / 16_000 / 3_600
    log.info("%d synthetic clips (%.1f h), %d real orders, on %s", len(clips), hours, len(orders), device)

    training = Training(recipe, work, device, start_from)
    began, losses = time.monotonic(), None
    total = recipe.ctc_steps + recipe.steps
    for batch in batching.batches(clips, orders, digits, recipe.seconds, recipe.seed, training.step, recipe.easy_steps):
        if training.step >= total:
            break
        now = np.array(training.train_step(batch))
        losses = now if losses is None else 0.95 * losses + 0.05 * now
        if training.step % 20 == 0:
            named = "  ".join(f"{name} {loss:.3f}" for name, loss in zip(("ctc", *lessons.NAMES), losses, strict=True))
            log.info("step %d/%d  %s  %.1f min", training.step, total, named, (time.monotonic() - began) / 60)
        if training.step % 200 == 0 or training.step == total:
            training.save()
            training.export(work / "weights")
    training.export(out)
    log.info("measuring")
    card.write(out, recipe, hours, start_from is not None, *measure.measure(out, speech))


if __name__ == "__main__":
    main()
