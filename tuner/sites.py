"""Merge sites: where in a decoder audio is shortened, by which method, and how strongly."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator

AFFINITY = "affinity"
UNBOUNDED = ("largest", 0)  # the setting that bounds no group: it goes without saying
Setting = float | int


class MergeSite(BaseModel):
    """A place where neighbouring audio tokens are merged, or some of them dropped.

    Attributes:
        layer: the decoder layer before which it happens; 0 merges the input embeddings.
        method: one of `tuner.methods.known.METHODS`, whose settings are those below that it has fields for.
        threshold: the cosine similarity, -1 to 1, from which on tokens are merged.
        window: how many of the group's last members a token is compared with.
        largest: how many tokens a group may hold; 0 for any number, as published.
        ratio: the share of the audio tokens that is kept.
        seed: which tokens chance picks.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    layer: Annotated[int, Field(ge=0)]
    method: str = AFFINITY
    threshold: Annotated[float, Field(ge=-1, le=1)] = 1.0
    window: Annotated[int, Field(ge=1)] = 1
    largest: Annotated[int, Field(ge=0, le=64)] = 0
    ratio: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    def settings(self) -> dict[str, Setting]:
        """The method's settings by name."""
        if self.method == AFFINITY:  # known without loading torch
            bound = {"largest": self.largest} if self.largest else {}
            return {"threshold": self.threshold, "window": self.window, **bound}
        from tuner.methods.known import settings_of

        return settings_of(self)

    @property
    def given(self) -> dict[str, Setting]:
        """The settings that were asked for; the method knows the others."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self._asked}

    @property
    def _asked(self) -> set[str]:
        return self.model_fields_set - {"layer", "method"}

    @model_validator(mode="after")
    def _fits_its_method(self) -> MergeSite:
        if self.method == AFFINITY and {"threshold"} <= self._asked <= {"threshold", "window", "largest"}:
            return self
        from tuner.methods.known import check

        check(self)
        return self

    @model_serializer
    def _short(self) -> dict[str, Any]:
        """Only what the method has; affinity, the default, goes without its name."""
        method = {} if self.method == AFFINITY else {"method": self.method}
        return {"layer": self.layer, **method, **self.settings}
