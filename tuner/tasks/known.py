"""Tasks by name: those that are shipped, a user's file, a user's module, several at once."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from tuner.errors import TunerError
from tuner.tasks.base import Task
from tuner.tasks.joint import joint
from tuner.tasks.metric import register

SHIPPED = ("asr", "qa", "translation")


def get(name: str) -> Task:
    """The task of that name, or the `TASK` of a Python file or module (see `tuner.tasks.base`); of several names with
    commas between them, all of them as one. Its metrics are known by their names from then on.

    Raises:
        TunerError: there is no such task, or the file or module has none.
    """
    if "," in name:
        return joint([get(part.strip()) for part in name.split(",")])
    task = getattr(_module(name), "TASK", None)
    if not isinstance(task, Task):
        raise TunerError(f"{name}: has no TASK; set TASK to a tuner.tasks.base.Task")
    for metric in (task.metric, *task.others):
        register(metric)
    return task


def _module(name: str) -> ModuleType:
    if name in SHIPPED:
        return importlib.import_module(f"tuner.tasks.{name}")
    if name.endswith(".py"):
        return _from_file(Path(name).expanduser())
    if "." not in name:
        raise TunerError(
            f"no task is called {name!r}; there are: {', '.join(SHIPPED)}, and your own as my_task.py or as a module"
        )
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise TunerError(f"task {name!r} cannot be imported ({error}); is it on PYTHONPATH?") from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise TunerError(f"{path}: no such task file")
    key = f"tuner_task_{path.resolve()}"
    if key not in sys.modules:  # once: what it defines is compared by identity
        spec = importlib.util.spec_from_file_location(key, path)
        if spec is None or spec.loader is None:
            raise TunerError(f"{path}: is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[key] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # whatever the user's code raises
            del sys.modules[key]
            raise TunerError(f"{path}: cannot be run ({type(error).__name__}: {error})") from error
    return sys.modules[key]
