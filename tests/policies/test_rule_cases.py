"""Cases beyond the documented examples: `cases/*.yaml`.

A case is a rule, what is given (the properties of a resource of the rule's first type, or a stack of
resources) and exactly what the rule says. Thresholds are those in `cases_thresholds.yaml` but for what the
case sets. `!unknown` stands for a value that preview cannot know.
"""

import functools
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.resources import UNKNOWN
from policies.rule import Sample
from policies.rules import RULES

FOLDER = Path(__file__).with_name("cases")
THRESHOLDS = yaml.safe_load(Path(__file__).with_name("cases_thresholds.yaml").read_text())


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML with `!unknown`."""


Loader.add_constructor("!unknown", lambda loader, node: UNKNOWN)


@functools.cache
def cases() -> list[Any]:
    return [
        pytest.param(case, id=f"{file.stem}-{number}-{case['rule']}")
        for file in sorted(FOLDER.glob("*.yaml"))
        for number, case in enumerate(yaml.load(file.read_text(), Loader))
    ]


@pytest.mark.parametrize("case", cases())
def test_a_rule_says_exactly_this(case: dict[str, Any], check: Any) -> None:
    given = case["given"]
    if isinstance(given, list):
        given = [Sample(**{"props": {}, **resource}) for resource in given]
    found = check(
        case["rule"],
        given,
        protect=case.get("protect", False),
        provider=case.get("provider"),
        **{**THRESHOLDS.get(case["rule"], {}), **case.get("thresholds", {})},
    )
    said = [("undecided: " if finding.undecided else "") + finding.message for finding in found]
    assert said == case["says"]


def test_every_rule_has_cases() -> None:
    """But the one on waivers, whose cases are in test_waivers.py."""
    with_cases = {case.values[0]["rule"] for case in cases()}
    assert {rule.id for rule in RULES} - with_cases == {"waiver-hygiene"}
