"""Waivers: what is in order, what is not, and what they do to findings."""

import datetime
from pathlib import Path
from typing import Any

import pytest

from policies import waivers
from policies.resources import STACK, Resource, Stack
from policies.rule import Finding, StackRule
from policies.rules import RULES
from policies.waivers import Waiver

TODAY = datetime.date(2026, 3, 1)
URN = "urn:pulumi:prod::inference-platform::aws:kms/key:Key::storage-key"
IDS = [rule.id for rule in RULES]


def waiver(**changes: Any) -> Waiver:
    entry = {
        "rule": "kms-rotation",
        "urn": URN,
        "reason": "the vendor's device cannot follow a rotation",
        "owner": "platform-team",
        "expires": datetime.date(2026, 5, 30),
    }
    return Waiver(**{**entry, **changes})


def test_a_waiver_in_order_has_no_problems() -> None:
    assert list(waivers.problems(waiver(), IDS, TODAY)) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rule": "kms-rotatoin"}, "there is no rule"),
        ({"rule": "waiver-hygiene"}, "cannot be waived"),
        ({"reason": "needed, 19 letters.   "}, "fewer than 20 characters"),
        ({"urn": "*"}, "too broad"),
        ({"urn": URN.replace("prod", "*")}, "too broad"),
        ({"urn": URN.replace("inference-platform", "*")}, "too broad"),
        ({"urn": URN.replace("aws:kms/key:Key", "aws:kms/*")}, "too broad"),
        ({"urn": URN.replace("storage-key", "*ke*")}, "too broad"),
        ({"urn": URN.removeprefix("urn:pulumi:")}, "too broad"),
        ({"expires": datetime.date(2026, 2, 28)}, "it expired on 2026-02-28"),
        ({"expires": datetime.date(2026, 5, 31)}, "more than 90 days from now"),
        ({"malformed": "owner is missing"}, "owner is missing"),
    ],
)
def test_a_waiver_that_is_not_in_order_says_why(changes: Any, said: str) -> None:
    (problem,) = waivers.problems(waiver(**changes), IDS, TODAY)
    assert said in problem


@pytest.mark.parametrize(
    "changes",
    [
        {"expires": TODAY},
        {"urn": URN.replace("storage-key", "storage-*")},
        {"reason": "20 characters do it."},
        {"urn": URN.replace("storage-key", "key")},
    ],
)
def test_what_is_just_within_the_limits_is_in_order(changes: Any) -> None:
    assert list(waivers.problems(waiver(**changes), IDS, TODAY)) == []


def test_it_covers_its_rule_and_its_resources_only() -> None:
    pattern = waiver(urn=URN.replace("storage-key", "storage-*"))
    assert pattern.covers("kms-rotation", URN)
    assert not pattern.covers("kms-deletion-window", URN)
    assert not pattern.covers("kms-rotation", URN.replace("storage-key", "other-key"))


def hygiene(*given: Waiver, used: bool = False, stack: str = "prod") -> list[Finding]:
    (rule,) = (rule for rule in RULES if rule.id == "waiver-hygiene")
    assert isinstance(rule, StackRule)
    root = Resource(
        type=STACK, name=stack, urn=f"urn:pulumi:{stack}::inference-platform::{STACK}::root", source=dict
    )
    waived = given if used else []
    return list(
        rule.check(root, Stack(resources=[root], waivers=given, waived=waived, today=TODAY, rules=IDS), {})
    )


def test_a_used_waiver_in_order_is_no_violation() -> None:
    assert hygiene(waiver(), used=True) == []


def test_an_unused_waiver_is_a_violation_in_its_own_stack_only() -> None:
    (finding,) = hygiene(waiver())
    assert finding.message == f"waiver 1 (kms-rotation): nothing in this stack needs it: {URN}"
    assert hygiene(waiver(), stack="dev") == []


def test_an_expired_waiver_is_a_violation_in_every_stack() -> None:
    late = waiver(expires=datetime.date(2026, 2, 1))
    assert [finding.message for finding in hygiene(late, stack="dev")] == [
        "waiver 1 (kms-rotation): it expired on 2026-02-01"
    ]


def test_each_waiver_is_named_by_its_place_in_the_file() -> None:
    found = hygiene(
        waiver(), waiver(reason="legacy"), waiver(rule="kms-rotaton"), waiver(urn="*"), stack="zzz"
    )
    assert [finding.message.partition(":")[0] for finding in found] == [
        "waiver 2 (kms-rotation)",
        "waiver 3 (kms-rotaton)",
        "waiver 4 (kms-rotation)",
    ]


def test_the_committed_waivers_are_in_order() -> None:
    file = Path(waivers.__file__).with_name("waivers.yaml")
    for each in waivers.load(file):
        # An expiry in the past is for the plan to refuse, not for this test, which runs for years.
        assert list(waivers.problems(each, IDS, each.expires)) == []


def test_a_file_is_read_entry_by_entry(tmp_path: Path) -> None:
    file = tmp_path / "waivers.yaml"
    file.write_text(
        f"waivers:\n- {{rule: kms-rotation, urn: '{URN}', reason: a b c, owner: me, expires: 2026-03-02}}\n"
        "- {rule: kms-rotation, urn: x, owner: '', expires: soon, until: 2026-01-01}\n"
    )
    first, second = waivers.load(file)
    assert (first.expires, first.malformed) == (datetime.date(2026, 3, 2), "")
    assert second.malformed == (
        "reason is missing; owner is missing; until is not a field of a waiver; "
        "expires: soon is not a date (2026-01-31)"
    )


@pytest.mark.parametrize("content", ["", "waivers:", "waivers: [a]", "- rule: x", "waivers: {}"])
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "waivers.yaml"
    file.write_text(content)
    with pytest.raises(ValueError, match="expected a list of objects under `waivers`"):
        waivers.load(file)
