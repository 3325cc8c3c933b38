"""Values as MLflow takes them: names it allows, texts it has room for, batches of a size it accepts."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from typing import Any

from tuner.tracking.masking import printable

# MLflow's own limits.
_LONGEST_NAME, _LONGEST_VALUE, _PARAMS_PER_BATCH = 250, 6000, 100


def log_all(
    client: Any,
    run_id: str,
    params: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Logs everything to one run. Metrics that are not finite are left out: some stores refuse them."""
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    finite = {name: float(value) for name, value in (metrics or {}).items() if math.isfinite(value)}
    points = [Metric(allowed_name(name, "/"), value, now, 0) for name, value in finite.items()]
    marks = [RunTag(allowed_name(name), text) for name, text in (tags or {}).items()]
    rows = [Param(name, text) for name, text in (params or {}).items()]
    client.log_batch(run_id, params=rows[:_PARAMS_PER_BATCH], metrics=points, tags=marks)
    for start in range(_PARAMS_PER_BATCH, len(rows), _PARAMS_PER_BATCH):
        client.log_batch(run_id, params=rows[start : start + _PARAMS_PER_BATCH])


def as_params(values: Mapping[str, Any]) -> dict[str, str]:
    """Settings as MLflow parameters: flat, cut to the length it keeps, secrets masked."""
    return {allowed_name(name): text[:_LONGEST_VALUE] for name, text in printable(values).items()}


def allowed_name(text: str, also: str = "") -> str:
    """A name MLflow takes: letters, digits, `_ - . :` and spaces, and nothing that reads like a path of dots."""
    return re.sub(rf"[^A-Za-z0-9_\-.: {also}]", "_", text).strip(". ")[:_LONGEST_NAME] or "_"
