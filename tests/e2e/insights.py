"""The part of CloudWatch Logs Insights that the saved queries use, run on log events.

The embedded AWS knows no `stats`, so queries are run here, on the events that it holds. Only what the queries
need is known; anything else is an error, so that a query with a typing mistake fails.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from statistics import fmean
from typing import Any

Row = dict[str, Any]
_CONDITION = re.compile(r'^(?P<field>[\w@.]+)\s*(?P<operator>>=|<=|!=|=|>|<)\s*(?P<value>"[^"]*"|[\d.]+)$')
_AGGREGATE = re.compile(r"^(?P<function>\w+)\((?P<field>[\w@*.]+)\) as (?P<name>\w+)$")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda have, want: have == want,
    "!=": lambda have, want: have != want,
    ">=": lambda have, want: have >= want,
    "<=": lambda have, want: have <= want,
    ">": lambda have, want: have > want,
    "<": lambda have, want: have < want,
}


def run(query: str, events: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Rows of a query over `events`, as FilterLogEvents gives them."""
    rows = [_discovered(event) for event in events]
    for command in re.split(r"\n\|\s*", query):
        verb, _, rest = command.strip().partition(" ")
        match verb:
            case "fields":
                names = [name.strip() for name in rest.split(",")]
                rows = [{**row, "_fields": names} for row in rows]
            case "filter":
                rows = [row for row in rows if all(_holds(row, each) for each in rest.split(" and "))]
            case "stats":
                rows = _stats(rows, rest)
            case "sort":
                name, _, order = rest.partition(" ")
                rows = sorted(rows, key=lambda row, name=name: row.get(name) or 0, reverse=order == "desc")
            case "limit":
                rows = rows[: int(rest)]
            case _:
                raise ValueError(f"the query has {verb!r}, which is not known here")
    return [_shown(row) for row in rows]


def _discovered(event: Mapping[str, Any]) -> Row:
    """Insights finds the fields of a JSON line by itself; true and false are 1 and 0."""
    row: Row = {"@timestamp": event["timestamp"], "@message": event["message"]}
    try:
        document = json.loads(event["message"])
    except ValueError:
        return row
    found = document if isinstance(document, dict) else {}
    return row | {name: int(value) if isinstance(value, bool) else value for name, value in found.items()}


def _holds(row: Row, condition: str) -> bool:
    if present := re.fullmatch(r"ispresent\((\w+)\)", condition.strip()):
        return row.get(present[1]) is not None
    parsed = _CONDITION.match(condition.strip())
    if parsed is None:
        raise ValueError(f"the condition {condition!r} is not known here")
    have, text = row.get(parsed["field"]), parsed["value"]
    want = text.strip('"') if text.startswith('"') else float(text)
    return have is not None and type(have) is not dict and _compares(have, parsed["operator"], want)


def _compares(have: Any, operator: str, want: Any) -> bool:
    if isinstance(want, float):
        try:
            have = float(have)
        except (TypeError, ValueError):
            return False
    return _COMPARE[operator](have, want)


def _stats(rows: list[Row], rest: str) -> list[Row]:
    aggregates, _, keys = rest.partition(" by ")
    names = [name.strip() for name in keys.split(",")]
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row.get(name) for name in names)].append(row)
    out = []
    for key, members in groups.items():
        made: Row = dict(zip(names, key, strict=True))
        for aggregate in aggregates.split(", "):
            parsed = _AGGREGATE.match(aggregate.strip())
            if parsed is None:
                raise ValueError(f"the aggregate {aggregate!r} is not known here")
            made[parsed["name"]] = _aggregate(parsed["function"], parsed["field"], members)
        out.append(made)
    return out


def _aggregate(function: str, name: str, rows: list[Row]) -> float:
    if function == "count":
        return len(rows)
    values = [float(row[name]) for row in rows if row.get(name) is not None]
    aggregates: dict[str, Callable[[list[float]], float]] = {"avg": fmean, "max": max, "sum": sum}
    return aggregates[function](values) if values else 0


def _shown(row: Row) -> Row:
    names = row.pop("_fields", None)
    return {name: row.get(name) for name in names} if names else row
