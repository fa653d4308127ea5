"""List prices: `cost/prices/<region>.yaml`, validated; each row with its unit, source and date."""

import datetime
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

FOLDER = Path(__file__).with_name("prices")
Standing = Literal["sourced", "secondary", "unsourced"]


class NoPrices(ValueError):
    """There is no usable table for the region; the message says what to do."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """Where figures come from, and how old they are."""

    text: str = Field(min_length=5)
    date: datetime.date


class Price(_Strict):
    """One row: USD for each unit. Without a source there is no figure, and what it prices is left out."""

    unit: str = Field(min_length=2)
    usd: float | None = Field(None, gt=0)
    source: str | None = None
    standing: Standing = "sourced"
    free: float = Field(0, ge=0)
    """Units a month that cost nothing."""

    @model_validator(mode="after")
    def _a_figure_has_a_source(self) -> Self:
        if (self.standing == "unsourced") != (self.usd is None) or (self.usd is None) != (
            self.source is None
        ):
            raise ValueError("a sourced or secondary row has usd and source, an unsourced one has neither")
        return self


class _Instances(_Strict):
    usd: Mapping[str, float | None]
    source: str | None = None
    standing: Standing = "sourced"


class _Accelerators(_Strict):
    source: str
    count: Mapping[str, int]


class PriceTable(_Strict):
    """The prices of one region."""

    region: str
    sources: Mapping[str, Source]
    rows: Mapping[str, Price]
    instances: Sequence[_Instances]
    accelerators: _Accelerators

    @model_validator(mode="after")
    def _sources_exist(self) -> Self:
        used = {price.source for price in self.every.values()} | {self.accelerators.source}
        if unknown := sorted(name for name in used if name and name not in self.sources):
            raise ValueError(f"no such source: {', '.join(unknown)}")
        return self

    @functools.cached_property
    def every(self) -> Mapping[str, Price]:
        """All rows; instance types are rows by the hour, named `instance.<type>`."""
        hourly = {
            f"instance.{name}": Price(unit="hour", usd=usd, source=group.source, standing=group.standing)
            for group in self.instances
            for name, usd in group.usd.items()
        }
        return {**self.rows, **hourly}

    def gpus(self, instance_type: str) -> int:
        """Accelerators of an instance type; 1 where the table does not know it, which counts most nodes."""
        return self.accelerators.count.get(instance_type, 1)

    def cited(self, price: Price) -> str:
        """The source of a row, for people."""
        if price.source is None:
            return "no source"
        source = self.sources[price.source]
        secondary = " (secondary)" if price.standing == "secondary" else ""
        return f"{source.text}, {source.date}{secondary}"


def regions() -> list[str]:
    """Regions that have a table."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@functools.cache
def load(region: str) -> PriceTable:
    """The table of a region.

    Raises:
        NoPrices: there is none, or it is not as it must be.
    """
    path = FOLDER / f"{region}.yaml"
    if not path.exists():
        raise NoPrices(
            f"there are no prices for region {region}; add cost/prices/{region}.yaml "
            f"(there is {', '.join(regions())})"
        )
    try:
        return PriceTable.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise NoPrices(f"cost/prices/{path.name}: {error}") from error
