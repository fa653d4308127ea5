"""Metric filters' patterns for JSON, as far as the trail needs; ministack takes each for one that finds all.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<mark>&&|\|\||[()])"
    r"|\$\.(?P<path>[\w.]+) *(?:(?P<missing>NOT EXISTS)"
    r'|(?P<operator>!?=) *(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s()"&|]+))))'
)
_ABSENT = object()


def finds(pattern: str, message: str) -> bool:
    """Whether a pattern finds a log event; one that is no JSON object is never found."""
    try:
        event = json.loads(message)
    except ValueError:
        return False
    return isinstance(event, dict) and matches(pattern, event)


def matches(pattern: str, event: Mapping[str, Any]) -> bool:
    """Whether a pattern finds an event.

    Raises:
        ValueError: the pattern has more than terms, `&&`, `||` and brackets.
    """
    inner = pattern.strip()
    if not (inner.startswith("{") and inner.endswith("}")):
        raise ValueError(f"{pattern}: only patterns for JSON, in curly brackets, are understood")
    tokens = [*_tokens(inner[1:-1].strip(), event), "end"]
    found = _any(tokens)
    if tokens != ["end"]:
        raise ValueError(f"{pattern}: {tokens[0]} is one too many")
    return found


def _tokens(text: str, event: Mapping[str, Any]) -> Iterator[str | bool]:
    """Marks as they are, and of each term whether it holds."""
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise ValueError(f"{text[at:]!r} is not understood in a filter pattern")
        yield token["mark"] or _holds(token, event)
        at = token.end()


def _any(tokens: list[str | bool]) -> bool:
    found = _all(tokens)
    while tokens[0] == "||":
        del tokens[0]
        found |= _all(tokens)
    return found


def _all(tokens: list[str | bool]) -> bool:
    found = _one(tokens)
    while tokens[0] == "&&":
        del tokens[0]
        found &= _one(tokens)
    return found


def _one(tokens: list[str | bool]) -> bool:
    token = tokens.pop(0)
    if token == "(":  # noqa: S105 - a bracket, no secret
        token = _any(tokens)
        if tokens.pop(0) != ")":
            raise ValueError("a bracket of a filter pattern is not closed")
    if isinstance(token, str):
        raise ValueError(f"a filter pattern has {token} in the place of a term")
    return token


def _holds(term: re.Match[str], event: Mapping[str, Any]) -> bool:
    value: Any = event
    for part in term["path"].split("."):
        value = value.get(part, _ABSENT) if isinstance(value, Mapping) else _ABSENT
    if term["missing"]:
        return value is _ABSENT
    if value is _ABSENT:
        return False
    return fnmatchcase(str(value), term["quoted"] or term["bare"]) == (term["operator"] == "=")
