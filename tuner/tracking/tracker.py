"""The MLflow mirror of a search: a parent run per study, a child run per trial.

A mirror only: whatever happens to it, the search goes on. MLflow is imported when a tracker is opened, not before.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tuner.tasks.metric import WER, Metric
from tuner.tracking.batch import allowed_name, as_params, log_all
from tuner.tracking.masking import mask
from tuner.tracking.patience import within
from tuner.tracking.store import DATABASES, INSTALL, set_defaults, store_uri

if TYPE_CHECKING:
    from tuner.search.outcome import Judgement, Outcome, TrialResult

log = logging.getLogger("tuner.tracking")

# Seconds that one call may take. Making a new SQLite file takes MLflow several seconds, on a busy machine many.
_PATIENCE, _PATIENCE_LOCAL = 8.0, 60.0
_PAUSE, _LONGEST_PAUSE = 60.0, 3600.0


class Tracker:
    """Mirrors one study. `Tracker()` mirrors nothing; `Tracker.open` is the way to a real one.

    No method raises, whatever the server does. A call that fails or takes too long is warned about and followed by a
    pause, doubled each time, so that a dead server costs a search a few seconds an hour at most; what was missed is
    logged when the server is back.

    Attributes:
        uri: where the runs go, without passwords; empty when nothing is mirrored.
        run_id: the parent run, to be kept for resuming; None when nothing is mirrored.
    """

    def __init__(self, metric: Metric = WER) -> None:
        self._metric = metric
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
        metric: Metric = WER,
    ) -> Tracker:
        """Starts the parent run, or goes on with `resume_run_id` if that run is still there.

        The runs go to `MLFLOW_TRACKING_URI`, or to `runs/mlflow.db` with artifacts in `runs/artifacts`. Where that
        cannot be used, a warning says why and the tracker mirrors nothing.

        Args:
            params: the study's settings, nested or not; secrets in them are masked.
            tags: for finding the run again.
            metric: what quality is measured by.
        """
        uri = store_uri(runs)
        tracker = cls(metric)
        tracker._patience = _PATIENCE_LOCAL if uri.startswith(("sqlite:", "file:")) else _PATIENCE
        try:
            runs.mkdir(parents=True, exist_ok=True)
            set_defaults(os.environ)
            from mlflow import MlflowClient

            start = partial(tracker._start, MlflowClient, uri, (runs / "artifacts").resolve().as_uri())
            client = within(tracker._patience, partial(start, experiment, run_name, params, tags, resume_run_id))
        except Exception as error:
            way_out = "" if importlib.util.find_spec("mlflow") else f"; {INSTALL}"
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
        self.files(artifacts)

    def values(self, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Logs what is known of the whole run, where it is not a search."""
        self._call("values", lambda: log_all(self._client, str(self.run_id), metrics=metrics, tags=tags))

    def files(self, paths: Sequence[Path]) -> None:
        """Keeps copies of files with the run."""
        for path in paths:
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
            location = artifacts if uri.startswith(DATABASES) else None
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
        new = {name: text for name, text in as_params(params).items() if name not in run.data.params}
        log_all(client, self.run_id, params=new, tags={name: mask(text) for name, text in tags.items()})
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
            "decoded": _yes(result.decoded),
            "feasible": _yes(result.feasible),
            "on_front": _yes(result.on_front),
            **({} if result.repeats is None else {"repeats": str(result.repeats)}),
        }
        rules = ("position", "min_audio_tokens", "proportional")
        params: dict[str, Any] = {name: getattr(policy, name) for name in rules}
        for index, site in enumerate(policy.sites):
            params |= {f"site{index}.{name}": value for name, value in site.model_dump().items()}
        metrics = {
            **self._qualities(result),
            "broken": result.broken,
            "drift": result.drift,
            "ties": result.ties,
            "seconds": result.seconds,
        }
        if number not in self._started:  # else an earlier attempt got as far as this
            start = int((now - result.seconds) * 1000)
            name = f"{number:04d} {result.label}".strip()
            run = self._client.create_run(self._experiment, start_time=start, tags=tags, run_name=name)
            self._started[number] = run.info.run_id
        log_all(self._client, self._started[number], as_params(params), {**metrics, **result.costs})
        self._client.set_terminated(self._started[number], "FINISHED")
        self._done[number] = self._started.pop(number)
        if result.on_front:
            self._on_front.add(number)

    def _qualities(self, result: TrialResult | Judgement) -> dict[str, float]:
        """The metric by its name, the one beside it, and the change of the metric in its own direction."""
        beside = {self._metric.beside: result.beside} if self._metric.beside else {}
        return {self._metric.name: result.quality, **beside, "difference": self._metric.change(result.difference)}

    def _tag_front(self, trial: TrialResult) -> None:
        self._client.set_tag(self._done[trial.number], "on_front", _yes(trial.on_front))
        self._on_front.symmetric_difference_update({trial.number})

    def _log_outcome(self, outcome: Outcome) -> None:
        chosen = outcome.chosen.hash if outcome.chosen else "none"
        metrics = {"trials": len(outcome.trials), "on_front": sum(trial.on_front for trial in outcome.trials)}
        values: dict[str, float] = {**metrics, "seconds": outcome.seconds}
        for judged in outcome.judgements:
            if judged.policy.hash == chosen:
                low, high = self._metric.change_of(judged.ci95)
                interval = {"difference_low": low, "difference_high": high}
                quality = {**self._qualities(judged), "baseline": judged.baseline}
                tasks = {f"{part.task}_{part.metric}": part.quality for part in judged.parts}
                every = {**quality, **interval, **judged.costs, "broken": judged.broken, **tasks}
                values |= {f"{allowed_name(judged.split)}/{allowed_name(name)}": value for name, value in every.items()}
        tags = {"chosen_policy": chosen, "metric": outcome.metric, "interrupted": _yes(outcome.interrupted)}
        log_all(self._client, str(self.run_id), metrics=values, tags=tags)

    def _call(self, what: str, call: Callable[[], Any]) -> bool:
        """Whether it was done. A failure begins a pause, in which nothing is tried."""
        if not self.active:
            return False
        try:
            within(self._patience, call)
        except Exception as error:
            self._pause = min(2 * self._pause or _PAUSE, _LONGEST_PAUSE)
            self._retry_at = time.monotonic() + self._pause
            log.warning("MLflow at %s: %s not logged (%s); the search goes on", self.uri, what, _brief(error))
            return False
        self._pause = 0.0
        return True


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


def _yes(value: bool) -> str:
    return "true" if value else "false"


def _brief(error: BaseException) -> str:
    return mask((str(error).strip().splitlines() or [type(error).__name__])[0][:200])
