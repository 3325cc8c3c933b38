"""Policies: where in a model audio tokens are merged and how strongly, and the YAML file that says so."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tuner.errors import PolicyError
from tuner.shipped import shipped
from tuner.sites import AFFINITY, MergeSite

if TYPE_CHECKING:
    from tuner.runtime.apply import Handle

__all__ = ["MergeSite", "ModelBlock", "Policy"]

SCHEMA = 1
_UNSAID = (("size_weighted", False), ("proportional", False))  # in files, as before there was either


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class ModelBlock(_Strict):
    """The model a policy was made for; `fingerprint` is that of `tuner.runtime.models.fingerprint`."""

    id: str
    architecture: str
    layers: Annotated[int, Field(ge=1)]
    hidden_size: Annotated[int, Field(ge=1)]
    fingerprint: str


class Policy(_Strict):
    """Merge sites in order, the rules that go with them, and the model they belong to.

    Attributes:
        position: which original position a merged token keeps.
        min_audio_tokens: utterances with fewer audio tokens are left alone, as merging would cost more than it saves.
        size_weighted: whether a token that earlier sites merged counts in a mean as many times as it stands for tokens.
        proportional: whether a merged token counts in attention as many times as it stands for tokens.
        measured: what the policy did on which data (for readers; changes nothing).
        made_by: versions, study, seed, command (for readers; changes nothing).
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: str
    model: ModelBlock
    task: str = "asr"
    sites: Annotated[tuple[MergeSite, ...], Field(strict=False)] = ()
    position: Literal["first", "middle", "last"] = "first"
    min_audio_tokens: Annotated[int, Field(ge=0)] = 0
    size_weighted: bool = False
    proportional: bool = False
    measured: dict[str, Any] = {}
    made_by: dict[str, Any] = {}

    @model_validator(mode="after")
    def _layers_in_order(self) -> Policy:
        layers = [site.layer for site in self.sites]
        if layers != sorted(set(layers)):
            raise ValueError(f"the layers of the sites must increase, got {layers}")
        if layers and layers[-1] >= self.model.layers:
            raise ValueError(f"a site is at layer {layers[-1]}, but the model has layers 0 to {self.model.layers - 1}")
        return self

    @property
    def is_identity(self) -> bool:
        """Whether the policy changes nothing."""
        return not self.sites

    @property
    def hash(self) -> str:
        """16 hex digits of what changes the model's behaviour: all but names, model, `measured` and `made_by`."""
        sites = [_behaviour(site) for site in self.sites]
        behaviour: list[Any] = [sites, self.position, self.min_audio_tokens, *([True] if self.size_weighted else [])]
        behaviour += ["proportional"] if self.proportional else []
        behaviour = behaviour if sites else []
        return hashlib.sha256(json.dumps(behaviour).encode()).hexdigest()[:16]

    @classmethod
    def for_model(
        cls,
        model: Any,
        sites: Sequence[MergeSite] = (),
        *,
        model_id: str | None = None,
        name: str | None = None,
        task: str = "asr",
        position: Literal["first", "middle", "last"] = "first",
        min_audio_tokens: int = 0,
        size_weighted: bool = False,
        proportional: bool = False,
    ) -> Policy:
        """Makes a policy for a loaded model.

        Args:
            model_id: what the file calls the model; by default the name it was loaded by.
            name: the policy's name; by default model and task.

        Raises:
            ModelError: if the model is not one that can be merged in.
            PolicyError: if the sites do not fit the model.
        """
        block = _model_block(model, model_id)
        try:
            return cls(
                name=name or f"{Path(block.id).name}-{task}",
                model=block,
                task=task,
                sites=tuple(sites),
                position=position,
                min_audio_tokens=min_audio_tokens,
                size_weighted=size_weighted,
                proportional=proportional,
            )
        except ValidationError as error:
            raise PolicyError(_explain(f"policy for {block.id}", error)) from error

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Reads a policy file, or a policy that comes with the project by its name (`reference-asr-0.70`).

        Raises:
            PolicyError: if it is missing, is not YAML, has unknown or wrong values, or is of a newer schema.
        """
        names = shipped("policies")
        path = names.get(str(path), path)
        try:
            content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            where = f"{Path(path).absolute()}: {error.strerror}"
            raise PolicyError(f"cannot read policy {where}. Shipped ones go by name: {', '.join(names)}.") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise PolicyError(f"{path} is not a YAML file: {error}") from error
        if not isinstance(content, dict) or "schema" not in content:
            raise PolicyError(f"{path} is not a policy: expected a YAML mapping that starts with 'schema: {SCHEMA}'.")
        schema = content["schema"]
        if isinstance(schema, int) and schema > SCHEMA:
            raise PolicyError(f"{path} has schema {schema}, this version reads {SCHEMA}. Upgrade speech-token-tuner.")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise PolicyError(_explain(str(path), error)) from error

    def save(self, path: str | Path) -> None:
        """Writes the policy file in one step: whoever reads `path` sees the old file or the new one, never a part."""
        content = self.model_dump(mode="json", by_alias=True)
        content["model"] = _OnOneLine(content["model"])
        content["sites"] = [_OnOneLine(site) for site in content["sites"]]
        content = {key: value for key, value in content.items() if value != {} and (key, value) not in _UNSAID}
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                yaml.dump(content, file, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def check(self, model: Any) -> None:
        """Refuses a model that the policy was not made for.

        Raises:
            ModelError: if the model is not one that can be merged in.
            PolicyError: if it is another model or another checkpoint; says which fact differs.
        """
        here = _model_block(model, self.model.id)
        for fact in ("architecture", "layers", "hidden_size"):
            expected, got = getattr(self.model, fact), getattr(here, fact)
            if expected != got:
                raise PolicyError(
                    f"policy {self.name!r} was made for {self.model.id}, which has {fact} {expected}; this model has "
                    f"{got}. Load that model, or tune a policy for this one."
                )
        if self.model.fingerprint != here.fingerprint:
            raise PolicyError(
                f"policy {self.name!r} was made for another checkpoint of this architecture: expected fingerprint "
                f"{self.model.fingerprint}, got {here.fingerprint}. Load {self.model.id}, tune again, or vouch for the "
                "old sites with Policy.for_model(model, sites=policy.sites)."
            )

    def apply(self, model: Any) -> Handle:
        """Makes the model merge until `remove()` is called on the handle; `model.generate()` is used as before.

        Raises:
            ModelError, PolicyError: if the policy does not fit the model, or the model already has one.
        """
        from tuner.runtime.apply import apply

        self.check(model)
        return apply(model, self.sites, self.position, self.min_audio_tokens, self.size_weighted, self.proportional)

    @contextmanager
    def applied(self, model: Any) -> Iterator[Handle]:
        """Like `apply`, for a `with` block."""
        handle = self.apply(model)
        try:
            yield handle
        finally:
            handle.remove()


def _behaviour(site: MergeSite) -> Any:
    if site.method == AFFINITY:
        return site.layer, *site.settings.values()
    return site.layer, site.method, site.settings


def _model_block(model: Any, model_id: str | None) -> ModelBlock:
    from tuner.runtime.models import describe, fingerprint

    speech = describe(model)
    loaded_from = str(getattr(model.config, "name_or_path", "") or speech.architecture)
    return ModelBlock(
        id=model_id or (Path(loaded_from).name if Path(loaded_from).is_dir() else loaded_from),
        architecture=speech.architecture,
        layers=speech.num_layers,
        hidden_size=speech.hidden_size,
        fingerprint=fingerprint(model),
    )


def _explain(where: str, error: ValidationError) -> str:
    """One line for each thing that is wrong: where, which key, what was expected and got, what to do."""
    return "\n".join(f"{where}: {_explain_one(dict(problem))}" for problem in error.errors())


def _explain_one(problem: dict[str, Any]) -> str:
    place = [str(step) for step in problem["loc"]]
    key, message = ".".join(place), problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        blocks: dict[str, type[BaseModel]] = {"model": ModelBlock, "sites": MergeSite}
        block = blocks[place[0]] if len(place) > 1 else Policy
        known = [field.alias or name for name, field in block.model_fields.items()]
        close = difflib.get_close_matches(place[-1], known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f". Known keys: {', '.join(known)}."
        return f"unknown key {key!r}{hint}"
    if problem["type"] == "missing":
        return f"key {key!r} is missing. Add it, or export the policy again."
    return f"{key}: {message}, got {problem['input']!r}. Correct it." if key else f"{message}. Correct the sites."


class _OnOneLine(dict[str, Any]):
    """A mapping that is written as {key: value, ...}."""


class _Dumper(yaml.SafeDumper):
    pass


def _represent_on_one_line(dumper: yaml.SafeDumper, data: _OnOneLine) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", data.items(), flow_style=True)


_Dumper.add_representer(_OnOneLine, _represent_on_one_line)
