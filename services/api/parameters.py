"""Parameters that several routes take. A query with one that is unknown is refused: a misspelt one changes nothing."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Final

from fastapi import Path
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from services.api.scopes import SITE_PATTERN

UID_PATTERN: Final = r"^(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+$"


def _written_out(pattern: str, what: str) -> BeforeValidator:
    """Refuse the bare numbers that pydantic takes for seconds or milliseconds since 1970, as it sees fit."""
    known = re.compile(pattern)

    def check(value: object) -> object:
        if isinstance(value, str) and not known.match(value):
            raise ValueError(f"must be {what} as RFC 3339 writes it")
        return value

    return BeforeValidator(check)


InstanceId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="The film's id.")]
StudyUid = Annotated[str, Path(pattern=r"^[0-9][0-9.]{0,63}$", description="StudyInstanceUID.")]
SiteFilter = Annotated[str, Field(pattern=SITE_PATTERN)]
FilmSite = Annotated[
    str | None,
    Field(
        pattern=SITE_PATTERN,
        description="The tenant the film belongs to. Default: the key's only site, else `default`.",
    ),
]
Since = Annotated[AwareDatetime, _written_out(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d", "a time")]
Day = Annotated[date, _written_out(r"\d{4}-\d\d-\d\d$", "a day")]


class NoQuery(BaseModel):
    """A route without parameters; one that is sent all the same is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StudyQuery(BaseModel):
    """Parameters of what is asked or said of one study."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    site: SiteFilter | None = Field(default=None, description="Default: the key's only site, else `default`.")
