"""What goes in and out by HTTP."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

Moment = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
"""With its offset, so that nobody's time zone is guessed; kept as UTC."""


class Period(StrEnum):
    """What is averaged over."""

    DAY = "day"
    WEEK = "week"


class PlayerIn(BaseModel):
    """A player."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str = Field(min_length=1)


class StatIn(BaseModel):
    """A statistic, as it comes."""

    player_id: int
    game_id: int
    stat_type: str = Field(min_length=1, max_length=50)
    value: Decimal
    game_date: Moment


class StatOut(StatIn):
    """A statistic, as it is kept."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    game_date: datetime
    created_at: datetime


class BulkIn(BaseModel):
    """Statistics of a game, say: all of them are written, or none. What is there already gets the new value."""

    stats: list[StatIn] = Field(min_length=1, max_length=1_000)

    @model_validator(mode="after")
    def each_once(self) -> Self:
        """ON CONFLICT can change a row once."""
        keys = {(stat.player_id, stat.game_id, stat.stat_type, stat.game_date) for stat in self.stats}
        if len(keys) < len(self.stats):
            raise ValueError("the same statistic stands twice in it")
        return self


class BulkOut(BaseModel):
    """How many were written."""

    written: int


class AverageOut(BaseModel):
    """One day or week (which begins on Monday, in UTC)."""

    start: date
    stat_type: str
    average: float
    count: int
