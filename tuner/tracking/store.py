"""Where MLflow keeps the runs, and the environment it is imported in."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

# What MLflow reads when it is imported. A user's own values stay.
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
SERVERS = ("http:", "https:", "databricks")
INSTALL = "install it with: pip install 'speech-token-tuner[tune]'"


def store_uri(runs: Path) -> str:
    """`MLFLOW_TRACKING_URI`, or the SQLite file of `runs`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(runs / 'mlflow.db').resolve().as_posix()}"


def set_defaults(environment: MutableMapping[str, str]) -> None:
    """Quietens MLflow where the user has not said otherwise."""
    for name, value in DEFAULTS.items():
        environment.setdefault(name, value)
