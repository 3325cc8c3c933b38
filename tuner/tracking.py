"""The MLflow mirror of a search: a parent run per study, a child run per trial.

A mirror only: whatever happens to it, the search goes on. MLflow is imported when a tracker is opened, not before.
"""

from __future__ import annotations

import errno
import importlib.util
import logging
import math
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from tuner.errors import TunerError

if TYPE_CHECKING:
    from tuner.search.outcome import Outcome, TrialResult

log = logging.getLogger(__name__)

T = TypeVar("T")

# What MLflow reads when it is imported. A user's own values stay.
_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_SERVERS = ("http:", "https:", "databricks")
_INSTALL = "install it with: pip install 'speech-token-tuner[tune]'"

# Seconds that one call may take. Making a new SQLite file takes MLflow several seconds, on a busy machine many.
_PATIENCE, _PATIENCE_LOCAL = 8.0, 60.0
_PAUSE, _LONGEST_PAUSE = 60.0, 3600.0

# MLflow's own limits.
_LONGEST_NAME, _LONGEST_VALUE, _PARAMS_PER_BATCH = 250, 6000, 100

_SECRET = r"[\w.-]*(?:token|password|passwd|secret|api[_-]?key|access[_-]?key|credentials?)"
_MASKS = (
    (re.compile(rf"(?i)(?<!\S)(--?{_SECRET}(?:\s+|=))(?:'[^']*'|\"[^\"]*\"|\S+)"), r"\1***"),
    (re.compile(rf"(?i)\b({_SECRET}=)(?:'[^']*'|\"[^\"]*\"|[^\s&'\"]+)"), r"\1***"),
    (re.compile(r"(://)[^\s/]+@"), r"\1***@"),
    (re.compile(r"\b(hf_|ghp_|github_pat_|glpat-|sk-)[\w-]{16,}"), r"\1***"),
)


def mask(text: str) -> str:
    """Replaces passwords in URIs, values of options and variables named like a secret, and well-known token formats."""
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    return text


def printable(values: Mapping[str, Any]) -> dict[str, str]:
    """Settings as text for a log or a page: nested names joined by dots, argument lists by spaces, secrets masked."""
    return {name: "***" if re.fullmatch(f"(?i){_SECRET}", name) else mask(text) for name, text in _flat(values)}


class Tracker:
    """Mirrors one study. `Tracker()` mirrors nothing; `Tracker.open` is the way to a real one.

    No method raises, whatever the server does. A call that fails or takes too long is warned about and followed by a
    pause, doubled each time, so that a dead server costs a search a few seconds an hour at most; what was missed is
    logged when the server is back.

    Attributes:
        uri: where the runs go, without passwords; empty when nothing is mirrored.
        run_id: the parent run, to be kept for resuming; None when nothing is mirrored.
    """

    def __init__(self) -> None:
        self.uri = ""
        self.run_id: str | None = None
        self._client: Any = None
        self._experiment = ""
        self._patience = _PATIENCE
        self._done: dict[int, str] = {}  # trial number to child run
        self._started: dict[int, str] = {}  # the same, of those that failed half-way
        self._on_front: set[int] = set()
        self._missed: list[TrialResult] = []
        self._pause = self._retry_at = 0.0

    @classmethod
    def open(
        cls,
        runs: Path,
        experiment: str,
        run_name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        resume_run_id: str | None = None,
    ) -> Tracker:
        """Starts the parent run, or goes on with `resume_run_id` if that run is still there.

        The runs go to `MLFLOW_TRACKING_URI`, or to `runs/mlflow.db` with artifacts in `runs/artifacts`. Where that
        cannot be used, a warning says why and the tracker mirrors nothing.

        Args:
            params: the study's settings, nested or not; secrets in them are masked.
            tags: for finding the run again.
        """
        uri = _store(runs)
        tracker = cls()
        tracker._patience = _PATIENCE_LOCAL if uri.startswith(("sqlite:", "file:")) else _PATIENCE
        try:
            runs.mkdir(parents=True, exist_ok=True)
            _set_defaults(os.environ)
            from mlflow import MlflowClient

            start = partial(tracker._start, MlflowClient, uri, (runs / "artifacts").resolve().as_uri())
            client = _within(tracker._patience, partial(start, experiment, run_name, params, tags, resume_run_id))
        except Exception as error:
            way_out = "" if importlib.util.find_spec("mlflow") else f"; {_INSTALL}"
            log.warning(
                "MLflow at %s cannot be used (%s); the search goes on without it%s", mask(uri), _brief(error), way_out
            )
            return cls()
        tracker.uri, tracker._client = mask(uri), client
        return tracker

    @property
    def active(self) -> bool:
        """Whether the study is being mirrored: not without a server, nor in the pause after a failed call."""
        return self._client is not None and time.monotonic() >= self._retry_at

    def trial(self, result: TrialResult) -> None:
        """Logs one trial as a child run; one that was logged before, also by an earlier process, is left alone."""
        if self._client is not None and result.number not in self._done:
            self._missed.append(result)
            self._catch_up()

    def finish(self, outcome: Outcome, artifacts: Sequence[Path]) -> None:
        """Logs what only the end knows: the final front, the chosen policy's held-out values, the report's files."""
        if self._client is None:
            return
        self._retry_at = 0.0
        self._catch_up()
        for trial in outcome.trials:
            if trial.number in self._done and trial.on_front != (trial.number in self._on_front):
                self._call(f"tag of trial {trial.number}", partial(self._tag_front, trial))
        self._call("final values", partial(self._log_outcome, outcome))
        for path in artifacts:
            if not path.exists():  # no reason to think the server dead
                log.warning("MLflow: there is no %s to log", path)
                continue
            self._call(f"artifact {path.name}", partial(self._client.log_artifact, self.run_id, str(path)))

    def close(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """Ends the parent run. Nothing is logged afterwards."""
        self._retry_at = 0.0
        self._call("closing the run", lambda: self._client.set_terminated(self.run_id, status))
        self._client = None

    def _start(
        self,
        make_client: Callable[..., Any],
        uri: str,
        artifacts: str,
        experiment: str,
        run_name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        resume_run_id: str | None,
    ) -> Any:
        client = make_client(tracking_uri=uri)
        known = client.get_experiment_by_name(experiment)
        if known:
            self._experiment = known.experiment_id
        else:
            # A server chooses where artifacts go; a bare database would have them in the current folder.
            location = artifacts if uri.startswith(_DATABASES) else None
            self._experiment = client.create_experiment(experiment, artifact_location=location)
        run = _run_to_resume(client, resume_run_id)
        if run is None:
            run = client.create_run(self._experiment, run_name=run_name)
        else:
            self._experiment = run.info.experiment_id
            self._find_children(client, run.info.run_id)
            client.update_run(run.info.run_id, status="RUNNING")
        self.run_id = run.info.run_id
        # MLflow refuses to change a parameter: of a resumed run, the first start's values stay.
        new = {name: text for name, text in _params(params).items() if name not in run.data.params}
        _log(client, self.run_id, params=new, tags={name: mask(text) for name, text in tags.items()})
        return client

    def _find_children(self, client: Any, run_id: str) -> None:
        token = None
        while token != "":
            page = client.search_runs(
                [self._experiment], f"tags.`mlflow.parentRunId` = '{run_id}'", max_results=1000, page_token=token
            )
            for run in page:
                number = int(run.data.tags["trial"])
                (self._done if run.info.status == "FINISHED" else self._started)[number] = run.info.run_id
                if run.data.tags["on_front"] == "true":
                    self._on_front.add(number)
            token = page.token or ""

    def _catch_up(self) -> None:
        while self._missed and self._call(f"trial {self._missed[0].number}", partial(self._log_trial, self._missed[0])):
            self._missed.pop(0)

    def _log_trial(self, result: TrialResult) -> None:
        number, policy, now = result.number, result.policy, time.time()
        tags = {
            "mlflow.parentRunId": self.run_id,
            "trial": str(number),
            "label": result.label,
            "policy_hash": policy.hash,
            "feasible": _yes(result.feasible),
            "on_front": _yes(result.on_front),
            **({} if result.repeats is None else {"repeats": str(result.repeats)}),
        }
        params: dict[str, Any] = {"position": policy.position, "min_audio_tokens": policy.min_audio_tokens}
        for index, site in enumerate(policy.sites):
            params |= {f"site{index}.{name}": getattr(site, name) for name in ("layer", "threshold", "window")}
        metrics = {"quality": result.quality, "difference": result.difference, "seconds": result.seconds}
        if number not in self._started:  # else an earlier attempt got as far as this
            start = int((now - result.seconds) * 1000)
            name = f"{number:04d} {result.label}".strip()
            run = self._client.create_run(self._experiment, start_time=start, tags=tags, run_name=name)
            self._started[number] = run.info.run_id
        _log(self._client, self._started[number], _params(params), {**metrics, **result.costs})
        self._client.set_terminated(self._started[number], "FINISHED")
        self._done[number] = self._started.pop(number)
        if result.on_front:
            self._on_front.add(number)

    def _tag_front(self, trial: TrialResult) -> None:
        self._client.set_tag(self._done[trial.number], "on_front", _yes(trial.on_front))
        self._on_front.symmetric_difference_update({trial.number})

    def _log_outcome(self, outcome: Outcome) -> None:
        chosen = outcome.chosen.hash if outcome.chosen else "none"
        metrics = {"trials": len(outcome.trials), "on_front": sum(trial.on_front for trial in outcome.trials)}
        values: dict[str, float] = {**metrics, "seconds": outcome.seconds}
        for judged in outcome.judgements:
            if judged.policy.hash == chosen:
                interval = {"difference_low": judged.ci95[0], "difference_high": judged.ci95[1]}
                quality = {"quality": judged.quality, "baseline": judged.baseline, "difference": judged.difference}
                every = {**quality, **interval, **judged.costs, "broken": judged.broken}
                values |= {f"{_name(judged.split)}/{_name(name)}": value for name, value in every.items()}
        tags = {"chosen_policy": chosen, "interrupted": _yes(outcome.interrupted)}
        _log(self._client, str(self.run_id), metrics=values, tags=tags)

    def _call(self, what: str, call: Callable[[], Any]) -> bool:
        """Whether it was done. A failure begins a pause, in which nothing is tried."""
        if not self.active:
            return False
        try:
            _within(self._patience, call)
        except Exception as error:
            self._pause = min(2 * self._pause or _PAUSE, _LONGEST_PAUSE)
            self._retry_at = time.monotonic() + self._pause
            log.warning("MLflow at %s: %s not logged (%s); the search goes on", self.uri, what, _brief(error))
            return False
        self._pause = 0.0
        return True


def ui(runs: Path, port: int, host: str = "127.0.0.1") -> int:
    """Runs MLflow's web page on the store of `runs` until it is interrupted.

    Returns:
        The exit status of `mlflow ui`, 0 after Ctrl-C.

    Raises:
        TunerError: there is nothing to show here, MLflow is missing, or nobody can listen at `host:port`.
    """
    uri = _store(runs)
    if uri.startswith(_SERVERS):
        raise TunerError(f"MLFLOW_TRACKING_URI is {mask(uri)}, a server with a page of its own: open it in a browser.")
    if "MLFLOW_TRACKING_URI" not in os.environ and not (runs / "mlflow.db").exists():
        raise TunerError(f"{runs} holds no mlflow.db: no search was mirrored there. Tune first or name another folder.")
    if importlib.util.find_spec("mlflow") is None:
        raise TunerError(f"MLflow is missing; {_INSTALL}")
    _refuse_taken(host, port)
    environment = dict(os.environ)
    _set_defaults(environment)
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


def _store(runs: Path) -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(runs / 'mlflow.db').resolve().as_posix()}"


def _set_defaults(environment: Any) -> None:
    for name, value in _DEFAULTS.items():
        environment.setdefault(name, value)


def _refuse_taken(host: str, port: int) -> None:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "another program listens there" if taken else str(error.strerror or error)
        raise TunerError(f"cannot serve MLflow's page at {host}:{port}: {why}. Choose another with --port.") from error


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Calls in a thread that is left behind when it takes too long: not every database driver has a time limit."""
    result: Future[T] = Future()

    def work() -> None:
        try:
            result.set_result(call())
        except BaseException as error:
            result.set_exception(error)

    Thread(target=work, daemon=True, name="mlflow").start()
    try:
        return result.result(timeout=seconds)
    except NotYetError:
        if result.done():  # the call itself ran into a time limit
            raise
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None


def _run_to_resume(client: Any, run_id: str | None) -> Any | None:
    if run_id is None:
        return None
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        run = None
    if run is None or run.info.lifecycle_stage == "deleted":
        log.warning("MLflow run %s is no longer there; a new one is started", run_id)
        return None
    return run


def _log(
    client: Any,
    run_id: str,
    params: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    finite = {name: float(value) for name, value in (metrics or {}).items() if math.isfinite(value)}
    rows = [Param(name, text) for name, text in (params or {}).items()]
    for start in range(0, max(len(rows), 1), _PARAMS_PER_BATCH):
        client.log_batch(
            run_id,
            params=rows[start : start + _PARAMS_PER_BATCH],
            metrics=[Metric(_name(name, "/"), value, now, 0) for name, value in finite.items()] if start == 0 else [],
            tags=[RunTag(_name(name), text) for name, text in (tags or {}).items()] if start == 0 else [],
        )


def _params(values: Mapping[str, Any]) -> dict[str, str]:
    return {_name(name): text[:_LONGEST_VALUE] for name, text in printable(values).items()}


def _name(text: str, also: str = "") -> str:
    """A name MLflow takes: letters, digits, `_ - . :` and spaces, and nothing that reads like a path of dots."""
    return re.sub(rf"[^A-Za-z0-9_\-.: {also}]", "_", text).strip(". ")[:_LONGEST_NAME] or "_"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            words = isinstance(value, (list, tuple)) and all(isinstance(word, str) for word in value)
            yield f"{prefix}{name}", shlex.join(value) if words else str(value)


def _yes(value: bool) -> str:
    return "true" if value else "false"


def _brief(error: BaseException) -> str:
    return mask((str(error).strip().splitlines() or [type(error).__name__])[0][:200])
