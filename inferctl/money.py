"""Amounts of an estimate, in words and as plain values."""

from collections.abc import Iterator, Sequence
from typing import Any

from cost.estimate import Estimate, Money


def left_out(estimate: Estimate) -> list[str]:
    """What costs something and has no sourced price, one entry for each price."""
    units: dict[str, int] = {}
    for line in estimate.left_out:
        units[line.key] = units.get(line.key, 0) + 1
    return [f"{key} ({count} resource{'s' if count > 1 else ''})" for key, count in sorted(units.items())]


def bound(estimate: Estimate) -> str:
    """`at least ` where something is left out."""
    return "at least " if estimate.lower_bound else ""


def usd(amount: float, sign: bool = False) -> str:
    """`$1,234.50`; `+$12.00` with a sign."""
    mark = "-" if amount < -0.004 else "+" if sign else ""
    return f"{mark}${abs(amount):,.2f}"


def model_rows(estimate: Estimate) -> Iterator[Sequence[str]]:
    """Model, idle, at load, for 1,000 requests, for a million tokens."""
    for name, money in estimate.by_model().items():
        thousand, million = estimate.per_1000_requests(name), estimate.per_million_tokens(name)
        yield (
            name,
            usd(money.idle),
            usd(money.load),
            f"${thousand:,.4f}" if thousand is not None else "-",
            f"${million:,.2f}" if million is not None else "-",
        )


def as_data(estimate: Estimate) -> dict[str, Any]:
    """The whole estimate as plain values."""
    return {
        "region": estimate.table.region,
        "total": _money(estimate.total),
        "lower_bound": estimate.lower_bound,
        "components": {name: _money(money) for name, money in estimate.by_component().items()},
        "models": {
            name: {
                **_money(money),
                "per_1000_requests_usd": _rounded(estimate.per_1000_requests(name)),
                "per_million_tokens_usd": _rounded(estimate.per_million_tokens(name)),
            }
            for name, money in estimate.by_model().items()
        },
        "lines": [
            {
                "resource": line.resource.where,
                "urn": line.resource.urn,
                "what": line.what,
                "price": line.key,
                "unit": line.price.unit,
                "unit_usd": line.price.usd,
                "source": estimate.table.cited(line.price),
                "idle_units": line.idle,
                "load_units": line.load,
                **_money(Money(line.idle_usd, line.load_usd)),
            }
            for line in estimate.lines
        ],
        "left_out": left_out(estimate),
        "unpriced": [f"{gap.resource.where}: {gap.why}" for gap in estimate.unpriced],
        "undecided": [f"{gap.resource.where}: {gap.why}" for gap in estimate.undecided],
    }


def _money(money: Money) -> dict[str, float]:
    return {"idle_usd": round(money.idle, 4), "load_usd": round(money.load, 4)}


def _rounded(amount: float | None) -> float | None:
    return None if amount is None else round(amount, 6)
