"""FLOPs that are counted while they run, for the parts that no policy changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from tuner.runtime.models import describe


class _DecoderReached(Exception):  # noqa: N818  (it ends the pass, nothing went wrong)
    pass


def counter() -> FlopCounterMode:
    """A FLOP counter that also sees attention on a CPU and on Apple's GPUs, whose kernels torch's own leaves out."""
    names = ("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_attention_math_for_mps")
    found = [getattr(torch.ops.aten, name) for name in names if hasattr(torch.ops.aten, name)]
    return FlopCounterMode(display=False, custom_mapping=dict.fromkeys(found, _attention))


def encoder_flops(model: torch.nn.Module, inputs: Mapping[str, Any]) -> int:
    """FLOPs of everything before the first decoder layer (audio encoder, projector), for one prepared batch.

    Padding counts, since the encoder computes it. The model runs once up to its decoder, without gradients.

    Args:
        model: a speech LLM that the runtime knows.
        inputs: keyword arguments of its forward, on its device.

    Raises:
        ModelError: the model is not one the runtime knows.
    """
    speech = describe(model)

    def stop(*_: object) -> None:
        raise _DecoderReached

    hook = speech.layers[0].register_forward_pre_hook(stop, prepend=True)
    flops = counter()
    try:
        with torch.no_grad(), flops:
            speech.root(**inputs)
    except _DecoderReached:
        pass
    finally:
        hook.remove()
    return flops.get_total_flops()


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]
