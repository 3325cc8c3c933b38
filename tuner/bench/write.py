"""What a benchmark leaves behind: bench.json, bench.md and bench.png."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import torch
import transformers

from tuner import __version__
from tuner.bench.plot import draw
from tuner.bench.results import Bench
from tuner.bench.tables import markdown
from tuner.loading import LoadedModel
from tuner.report.style import save


def write(bench: Bench, folder: Path) -> None:
    """Writes the three files; the folder is made, and what it held under these names is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(bench.to_json(), indent=1), encoding="utf-8")
    (folder / "bench.md").write_text(markdown(bench), encoding="utf-8")
    save(draw(bench), folder / "bench.png")


def environment(loaded: LoadedModel) -> dict[str, str]:
    """Versions, the device and how the model runs on it."""
    device = loaded.device
    return {
        "tuner": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} {_processor()}",
        "threads": str(torch.get_num_threads()),
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "attention": str(loaded.speech.decoder.config._attn_implementation),
    }


def _processor() -> str:
    """The processor's name; Linux keeps it where `platform` does not look."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text(encoding="utf-8").splitlines() if cpus.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
