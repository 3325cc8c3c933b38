"""How alike neighbouring tokens are before each decoder layer of the bare model: what predictions are made from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from tuner.data.utterances import Utterance
from tuner.errors import ModelError
from tuner.evaluate.entries import Band
from tuner.evaluate.evaluator import Evaluator
from tuner.evaluate.halving import Batch, in_batches
from tuner.evaluate.start import seen_at
from tuner.loading import LoadedModel
from tuner.runtime.affinity import similarities
from tuner.runtime.forward import main_stream
from tuner.runtime.prompt import Tokens, read_prompt

LAGS = 8


@dataclass(frozen=True)
class Bands:
    """One pass of the bare model over a set of utterances.

    It holds `lags + 1` floats for each prompt token and layer: at 8 lags and 25 tokens a second 3 MB for an hour of
    audio in each layer, so some 100 MB for all of 32. `of` can be told to keep fewer layers.

    Attributes:
        utterances: in the order of the rows; prompts are aligned on the right.
        split: name of the set.
        layers: how many layers the decoder has.
        by_layer: bands by layer, of those that were asked for.
        tokens: which tokens are real, audio and mergeable whatever a policy's `min_audio_tokens`,
            [utterances, tokens].
    """

    utterances: tuple[Utterance, ...]
    split: str
    layers: int
    by_layer: Mapping[int, Band]
    tokens: Tokens

    @classmethod
    def of(
        cls,
        evaluator: Evaluator,
        layers: Collection[int] | None = None,
        lags: int = LAGS,
        progress: Callable[[int], None] | None = None,
    ) -> Bands:
        """Runs the model once over the evaluator's utterances, in its batches.

        Args:
            evaluator: model and speech.
            layers: which layers to keep, those that a search space can merge at; by default all.
            lags: how far apart tokens are compared, at least the widest window.
            progress: is told of each batch's size when done.

        Raises:
            ModelError: the model expands its audio placeholders itself, so it is not known which tokens are audio.
        """
        loaded, utterances = evaluator.loaded, evaluator.data.utterances
        wanted = range(loaded.speech.num_layers) if layers is None else sorted(set(layers))
        found: dict[str, tuple[Tokens, dict[int, Band]]] = {}

        def hear(batch: Batch) -> None:
            inputs = evaluator.prepared(batch)
            tokens = read_prompt(inputs, loaded.speech.audio_token_id, min_audio_tokens=0).tokens
            with torch.inference_mode(), evaluator.encoding(batch), _seen(loaded, wanted, lags) as bands:
                loaded.model(**inputs, use_cache=False)
            if tokens is None or any(band.norms.shape != tokens.real.shape for band in bands.values()):
                raise ModelError(f"{loaded.id}: its prompt does not tell which of the decoder's tokens are audio")
            found.update((one.id, _row(tokens, bands, row)) for row, one in enumerate(batch))
            if progress is not None:
                progress(len(batch))

        in_batches(evaluator.batches, hear, evaluator.split)
        rows = [found[one.id] for one in utterances]
        by_layer = {layer: _stacked_bands([bands[layer] for _, bands in rows]) for layer in wanted}
        tokens = _stacked_tokens([tokens for tokens, _ in rows])
        return cls(utterances, evaluator.data.split, loaded.speech.num_layers, by_layer, tokens)


@contextmanager
def _seen(loaded: LoadedModel, layers: Collection[int], lags: int) -> Iterator[dict[int, Band]]:
    """The bands of whatever enters the layers within the block, as it comes."""
    bands: dict[int, Band] = {}

    def look(layer: int, states: Tensor) -> None:
        hidden = main_stream(states)
        bands[layer] = Band(similarities(hidden, lags).cpu(), hidden.float().norm(dim=-1).cpu())

    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(seen_at(loaded.speech, layer, partial(look, layer)))
        yield bands


def _row(tokens: Tokens, bands: Mapping[int, Band], row: int) -> tuple[Tokens, dict[int, Band]]:
    """One utterance of a batch, on the CPU."""
    own = Tokens(tokens.real[row].cpu(), tokens.audio[row].cpu(), tokens.mergeable[row].cpu())
    return own, {layer: Band(band.cosines[row], band.norms[row]) for layer, band in bands.items()}


def _stacked_bands(rows: list[Band]) -> Band:
    return Band(_stacked([row.cosines for row in rows]), _stacked([row.norms for row in rows]))


def _stacked_tokens(rows: list[Tokens]) -> Tokens:
    return Tokens(*(_stacked([getattr(row, field.name) for row in rows]) for field in fields(Tokens)))


def _stacked(rows: list[Tensor]) -> Tensor:
    """Rows [tokens, ...] of unequal length as one tensor, filled up with zeros on the left."""
    longest = max(len(row) for row in rows)
    return torch.stack([pad(row, (0, 0) * (row.dim() - 1) + (longest - len(row), 0)) for row in rows])
