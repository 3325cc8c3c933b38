"""From a checkpoint's folder to the class that listens; every family, and models that also speak."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoProcessor, PreTrainedModel

from tests.conformance.families import FAMILIES, load
from tuner import loading

COMPOSITES = {
    "qwen2_5_omni": ("Qwen2_5OmniModel", "thinker_config"),
    "qwen3_omni_moe": ("Qwen3OmniMoeForConditionalGeneration", "thinker_config"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_checkpoint_is_loaded_by_its_own_class(family: str, tmp_path: Path) -> None:
    model = load(family).model
    config = model.config
    config.architectures = [type(model).__name__]
    config.save_pretrained(tmp_path)
    found = loading.model_class(AutoConfig.from_pretrained(tmp_path), trust_remote_code=False)
    assert found is type(model)


@pytest.mark.parametrize("family", COMPOSITES)
def test_of_a_model_that_also_speaks_the_listening_part_is_loaded(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load(family)
    architecture, part = COMPOSITES[family]
    weights = {f"thinker.{name}": value.clone() for name, value in expected.model.state_dict().items()}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    config = {"model_type": family, "architectures": [architecture], part: expected.model.config.to_dict()}
    (tmp_path / "config.json").write_text(json.dumps(config, default=str))
    monkeypatch.setattr(AutoProcessor, "from_pretrained", lambda *_, **__: expected.processor)
    loaded = loading.load(str(tmp_path), device="cpu", dtype="float32")
    assert type(loaded.model) is type(expected.model)
    state = loaded.model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in expected.model.state_dict().items())


def test_noise_that_an_encoder_adds_is_turned_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load("vibevoice_asr")
    noisy: Any = expected.model
    _noise(noisy, 0.5)
    noisy.save_pretrained(tmp_path)
    monkeypatch.setattr(AutoProcessor, "from_pretrained", lambda *_, **__: expected.processor)
    assert _noises(loading.load(str(tmp_path), device="cpu", dtype="float32").model) == {0.0}


def _noise(model: PreTrainedModel, deviation: float) -> None:
    for module in model.modules():
        if hasattr(getattr(module, "config", None), "vae_std"):
            module.config.vae_std = deviation


def _noises(model: PreTrainedModel) -> set[float]:
    return {module.config.vae_std for module in model.modules() if hasattr(getattr(module, "config", None), "vae_std")}
