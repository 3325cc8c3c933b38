"""The training passes of the reference model: its encoder at true length, CTC on characters, the decoder's loss."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, Qwen2AudioForConditionalGeneration

CHARACTERS = " '" + string.ascii_lowercase  # CTC's alphabet; index 0 is the blank
HEARD = ("<|im_start|>user\n<|audio_bos|>", "<|audio_eos|>")  # around the audio tokens
ASKED = ("\n", "<|im_end|>\n<|im_start|>assistant\n")  # around an instruction


@dataclass(frozen=True)
class Instruction:
    """What the model is told to do with what it heard, and what it should say."""

    prompt: str
    answer: str


class Network(nn.Module):
    """The model to train and, beside it, a linear CTC head on the encoder's 50 Hz states that is thrown away later."""

    def __init__(self, model: Qwen2AudioForConditionalGeneration, words: PreTrainedTokenizerFast) -> None:
        super().__init__()
        self.model = model
        model.set_attn_implementation("eager")  # on a CPU its backward pass is twice as fast as sdpa's at these sizes
        self.words = words
        self.before, self.after = (self._encoded(part) for part in HEARD)
        self.ctc_head = nn.Linear(model.config.audio_config.d_model, len(CHARACTERS) + 1)

    def encode(self, mel: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mel `[batch, bins, frames]` -> states `[batch, frames/2, d]`, audio tokens `[batch, frames/4, hidden]`, and
        how many audio tokens each utterance has. Runs at the batch's own length instead of the padded window."""
        tower = self.model.model.audio_tower
        states = functional.gelu(tower.conv1(mel))
        states = functional.gelu(tower.conv2(states)).transpose(1, 2)
        states = states + tower.embed_positions.weight[: states.shape[1]]
        halves, tokens = tower._get_feat_extract_output_lengths(frames)
        padding = torch.arange(states.shape[1], device=mel.device)[None] >= halves[:, None]
        mask = torch.zeros_like(padding, dtype=torch.float32).masked_fill(padding, -1e4)[:, None, None]
        for layer in tower.layers:
            states = layer(states, mask)
        pooled = tower.layer_norm(tower.avg_pooler(states.transpose(1, 2)).transpose(1, 2))
        return states, self.model.model.multi_modal_projector(pooled), tokens

    def ctc_loss(self, states: Tensor, frames: Tensor, texts: list[str]) -> Tensor:
        """CTC over characters at 50 Hz, mean per character."""
        chances = self.ctc_head(states).float().log_softmax(-1).transpose(0, 1)
        targets = [torch.tensor([CHARACTERS.index(character) + 1 for character in text]) for text in texts]
        lengths = torch.tensor([len(target) for target in targets])
        halves = ((frames - 1) // 2 + 1).cpu()
        return functional.ctc_loss(chances, torch.cat(targets), halves, lengths, zero_infinity=True)

    def answer_losses(self, audio: Tensor, tokens: Tensor, told: Sequence[Sequence[Instruction]]) -> Tensor:
        """Cross-entropy of the answers to the first, second, ... instruction of each utterance, mean per token:
        [instructions].

        All utterances have as many. What was heard is read once and every instruction goes on from there, blind to the
        others: the same states as in as many prompts, at a fraction of the work. Sequences are padded on the right.
        """
        pad, placeholder = self.words.pad_token_id, self.model.config.audio_token_id
        rows = [self._row(count, instructions) for count, instructions in zip(tokens.tolist(), told, strict=True)]
        ids, wanted, branch, place = (
            nn.utils.rnn.pad_sequence([row[part] for row in rows], batch_first=True, padding_value=filler).to(
                audio.device
            )
            for part, filler in enumerate((pad, -100, -1, 0))
        )
        embeddings = self.model.get_input_embeddings()(ids)
        heard = audio[torch.arange(audio.shape[1], device=audio.device)[None] < tokens[:, None]]
        embeddings = embeddings.masked_scatter((ids == placeholder)[..., None], heard.to(embeddings.dtype))
        seen = (branch[:, None, :] == branch[:, :, None]) | (branch[:, None, :] == 0)
        mask = torch.zeros(seen.shape, device=audio.device).masked_fill(~seen.tril(), -1e4)[:, None]
        states = self.model.model.language_model(
            inputs_embeds=embeddings, attention_mask=mask, position_ids=place, use_cache=False
        ).last_hidden_state
        spoken = wanted != -100
        losses = functional.cross_entropy(
            self.model.lm_head(states[spoken]).float(), wanted[spoken], label_smoothing=0.05, reduction="none"
        )
        number = branch[spoken]
        return torch.stack([losses[number == one].mean() for one in range(1, len(told[0]) + 1)])

    def _row(self, count: int, instructions: Sequence[Instruction]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Ids, labels, the number of the instruction (0 for what was heard) and positions of one utterance."""
        ids = [*self.before, *[self.model.config.audio_token_id] * count, *self.after]
        start = len(ids)
        labels, branch, place = [-100] * start, [0] * start, list(range(start))
        for number, one in enumerate(instructions, start=1):
            asked = self._encoded(one.prompt.join(ASKED))
            answer = [*self._encoded(one.answer), self.words.eos_token_id]
            ids += asked + answer
            labels += [-100] * (len(asked) - 1) + answer + [-100]
            branch += [number] * (len(asked) + len(answer))
            place += range(start, start + len(asked) + len(answer))
        return torch.tensor(ids), torch.tensor(labels), torch.tensor(branch), torch.tensor(place)

    def _encoded(self, text: str) -> list[int]:
        return list(self.words.encode(text, add_special_tokens=False))
