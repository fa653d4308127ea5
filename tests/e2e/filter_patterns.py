"""Metric filters' patterns for JSON, as far as the trail needs: the embedded AWS never runs them.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

_TERM = re.compile(
    r'\(\$\.(?P<path>[\w.]+) (?:(?P<missing>NOT EXISTS)|(?P<operator>=|!=) "?(?P<value>[^")]+)"?)\)'
)
_ABSENT = object()


def matches(pattern: str, event: Mapping[str, Any]) -> bool:
    """Whether a pattern finds an event. Anything but its terms, `&&`, `||` and brackets is an error."""
    inner = pattern.strip().removeprefix("{").removesuffix("}")
    logic = _TERM.sub(lambda term: f"({_holds(term, event)})", inner)
    logic = logic.replace("&&", " and ").replace("||", " or ")
    if left := re.sub(r"True|False|and|or|[()\s]", "", logic):
        raise ValueError(f"{pattern}: {left} is not understood")
    return bool(eval(logic, {"__builtins__": {}}))


def _holds(term: re.Match[str], event: Mapping[str, Any]) -> bool:
    value: Any = event
    for part in term["path"].split("."):
        value = value.get(part, _ABSENT) if isinstance(value, Mapping) else _ABSENT
    if term["missing"]:
        return value is _ABSENT
    if value is _ABSENT:
        return False
    return fnmatchcase(str(value), term["value"]) == (term["operator"] == "=")
