"""MLflow's own web page on the runs, served on localhost."""

from __future__ import annotations

import errno
import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

from tuner.errors import TunerError
from tuner.tracking.masking import mask
from tuner.tracking.store import INSTALL, SERVERS, set_defaults, store_uri


def ui(runs: Path, port: int, host: str = "127.0.0.1") -> int:
    """Runs MLflow's web page on the store of `runs` until it is interrupted.

    Returns:
        The exit status of `mlflow ui`, 0 after Ctrl-C.

    Raises:
        TunerError: there is nothing to show here, MLflow is missing, or nobody can listen at `host:port`.
    """
    uri = store_uri(runs)
    if uri.startswith(SERVERS):
        raise TunerError(f"MLFLOW_TRACKING_URI is {mask(uri)}, a server with a page of its own: open it in a browser.")
    if "MLFLOW_TRACKING_URI" not in os.environ and not (runs / "mlflow.db").exists():
        raise TunerError(f"{runs} holds no mlflow.db: no search was mirrored there. Tune first or name another folder.")
    if importlib.util.find_spec("mlflow") is None:
        raise TunerError(f"MLflow is missing; {INSTALL}")
    _refuse_taken(host, port)
    environment = dict(os.environ)
    set_defaults(environment)
    environment.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    # The URI may hold a password, and a command line can be read by everyone on the machine.
    environment["MLFLOW_BACKEND_STORE_URI"] = uri
    command = [sys.executable, "-m", "mlflow", "ui", "--host", host, "--port", str(port), "--workers", "1"]
    server = subprocess.Popen(command, env=environment)
    try:
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        server.terminate()
        server.wait()


def _refuse_taken(host: str, port: int) -> None:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "another program listens there" if taken else str(error.strerror or error)
        raise TunerError(f"cannot serve MLflow's page at {host}:{port}: {why}. Choose another with --port.") from error
