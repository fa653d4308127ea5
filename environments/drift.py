"""Settings of the capture of a model's requests and of the watch on their drift."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Drift(BaseModel):
    """What of a model's requests is counted, and how often the counts are compared with its training data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(0.1, ge=0, le=1, description="Share of the requests that is counted; 0 means none.")
    raw: bool = Field(False, description="Whether rows of input are kept as they came, beside the counts.")
    flush_s: int = Field(60, ge=0, le=900, description="Seconds of counts in one record.")
    every_minutes: int = Field(60, ge=1, le=1440, description="Minutes between two comparisons.")
    window_hours: int = Field(24, ge=1, le=168, description="Hours of captured requests that are compared.")
    min_rows: int = Field(200, ge=50, le=1_000_000, description="Rows below which nothing can be said.")
    threshold: float = Field(
        0.2, gt=0, le=5, description="Population stability index beyond which a model has drifted."
    )

    @model_validator(mode="after")
    def _window_holds_a_comparison(self) -> Self:
        if self.every_minutes > self.window_hours * 60:
            raise ValueError(
                f"every_minutes {self.every_minutes} leaves time between windows of {self.window_hours} h "
                "that nobody looks at; compare more often or raise window_hours"
            )
        return self
