"""The training passes of the reference model: its encoder at true length, CTC on characters, the decoder's loss."""

from __future__ import annotations

import string

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, Qwen2AudioForConditionalGeneration

CHARACTERS = " '" + string.ascii_lowercase  # CTC's alphabet; index 0 is the blank
PROMPT = ("<|im_start|>user\n<|audio_bos|>", "<|audio_eos|>\nTranscribe the speech.<|im_end|>\n<|im_start|>assistant\n")


class Network(nn.Module):
    """The model to train and, beside it, a linear CTC head on the encoder's 50 Hz states that is thrown away later."""

    def __init__(self, model: Qwen2AudioForConditionalGeneration, words: PreTrainedTokenizerFast) -> None:
        super().__init__()
        self.model = model
        model.set_attn_implementation("eager")  # on a CPU its backward pass is twice as fast as sdpa's at these sizes
        self.words = words
        self.before, self.after = (words.encode(part, add_special_tokens=False) for part in PROMPT)
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

    def answer_loss(self, audio: Tensor, tokens: Tensor, texts: list[str]) -> Tensor:
        """Cross-entropy of the transcripts after the transcription prompt, mean per token.

        Sequences are padded on the right, which a causal decoder needs no mask for.
        """
        pad, end = self.words.pad_token_id, self.words.eos_token_id
        placeholder = self.model.config.audio_token_id
        rows, labels = [], []
        for count, text in zip(tokens.tolist(), texts, strict=True):
            prompt = [*self.before, *[placeholder] * count, *self.after]
            answer = [*self.words.encode(text, add_special_tokens=False), end]
            rows.append(torch.tensor(prompt + answer))
            labels.append(torch.tensor([-100] * (len(prompt) - 1) + answer + [-100]))
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad).to(audio.device)
        wanted = nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100).to(audio.device)
        embeddings = self.model.get_input_embeddings()(ids)
        heard = audio[torch.arange(audio.shape[1], device=audio.device)[None] < tokens[:, None]]
        embeddings = embeddings.masked_scatter((ids == placeholder)[..., None], heard.to(embeddings.dtype))
        states = self.model.model.language_model(inputs_embeds=embeddings, use_cache=False).last_hidden_state
        spoken = wanted != -100
        return functional.cross_entropy(
            self.model.lm_head(states[spoken]).float(), wanted[spoken], label_smoothing=0.05
        )
