"""The adapter: the SDK's proxies become plain values, findings become reports."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pulumi
import pulumi_policy as sdk
import pytest
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, UnknownValueError, unknown_checking_proxy
from pulumi_policy.secret import Secret, secrets_preserving_proxy

from policies.adapter import Pack, merged, plain
from policies.resources import UNKNOWN, Resource
from policies.rule import Findings, Rule, Settings, expect, is_true, resource_rule
from policies.settings import RuleConfig
from policies.waivers import Waiver

TODAY = datetime.date(2026, 3, 1)
KEY = "aws:kms/key:Key"
URN = "urn:pulumi:prod::trial::aws:kms/key:Key::"


def as_the_sdk_gives(props: Any) -> Any:
    return unknown_checking_proxy(props)


def test_proxies_become_dicts_and_lists() -> None:
    props = {"a": {"b": [1, {"c": "d"}]}, "e": None, "f": True}
    assert plain(as_the_sdk_gives(props)) == props
    assert type(plain(as_the_sdk_gives(props))["a"]) is dict


def test_whole_numbers_are_ints_again() -> None:
    result = plain(as_the_sdk_gives({"a": 3.0, "b": [0.5, 2.0]}))
    assert result == {"a": 3, "b": [0.5, 2]} and type(result["a"]) is int


def test_unknown_values_become_a_marker_wherever_they_are() -> None:
    props = {"a": UNKNOWN_STRING_VALUE, "b": [UNKNOWN_STRING_VALUE, 1], "c": {"d": UNKNOWN_STRING_VALUE}}
    assert plain(as_the_sdk_gives(props)) == {"a": UNKNOWN, "b": [UNKNOWN, 1], "c": {"d": UNKNOWN}}


def test_secrets_are_read_and_assets_are_left_alone() -> None:
    asset = pulumi.StringAsset("code")
    assert plain({"a": Secret("x"), "b": asset}) == {"a": "x", "b": asset}
    assert plain(secrets_preserving_proxy({"a": Secret("x")})) == {"a": "x"}


@resource_rule(
    id="trial",
    title="Both are true",
    severity="low",
    why="because",
    fix="do it",
    types=[KEY],
    good={},
    bad={},
    remedy=lambda key, settings: [{"inner": {"second": True}}],
)
def trial(key: Resource, settings: Settings) -> Findings:
    yield from expect(key, "first", is_true, "true")
    yield from expect(key, "inner.second", is_true, "true")


def pack(rule: Rule = trial, waivers: Sequence[Waiver] = ()) -> Pack:
    return Pack([rule], {rule.id: RuleConfig("mandatory", {})}, waivers, TODAY)


def arguments(props: Mapping[str, Any], type: str = KEY, name: str = "key") -> sdk.ResourceValidationArgs:
    options = sdk.PolicyResourceOptions(False, [], None, [], sdk.PolicyCustomTimeouts(0, 0, 0), [])
    return sdk.ResourceValidationArgs(type, as_the_sdk_gives(props), URN + name, name, options, None)


def judged(pack: Pack, *args: Any, **more: Any) -> tuple[list[str], str]:
    """Violations, and what is undecided."""
    policy: Any = pack.policies()[0]
    reports: list[str] = []
    try:
        policy.validate(arguments(*args, **more), lambda message, urn: reports.append(message))
    except UnknownValueError as undecided:
        return reports, undecided.message
    return reports, ""


def test_violations_of_one_resource_are_one_report_of_three_lines() -> None:
    reports, _ = judged(pack(), {"first": False})
    assert reports == [
        "key: `first` is false; it must be true; `inner.second` is not set; it must be true\n"
        "why: because\nfix: do it"
    ]


def test_what_is_known_is_judged_and_what_is_unknown_is_undecided() -> None:
    reports, undecided = judged(pack(), {"first": UNKNOWN_STRING_VALUE, "inner": {"second": False}})
    assert len(reports) == 1 and "inner.second" in reports[0]
    assert undecided == "key: `first` is not known yet; undecided until up"


def test_other_types_are_not_read() -> None:
    assert judged(pack(), {}, type="aws:s3/bucket:Bucket") == ([], "")


WAIVER = Waiver(
    rule="trial",
    urn=URN + "key",
    reason="a reason of twenty characters",
    owner="me",
    expires=datetime.date(2026, 3, 2),
)


def test_a_waiver_silences_its_resource_only() -> None:
    waived = pack(waivers=[WAIVER])
    assert judged(waived, {}) == ([], "")
    assert judged(waived, {"first": UNKNOWN_STRING_VALUE}) == ([], "")
    assert len(judged(waived, {}, name="other")[0]) == 1


def test_a_waiver_that_is_not_in_order_silences_nothing() -> None:
    assert len(judged(pack(waivers=[replace(WAIVER, expires=datetime.date(2026, 2, 28))]), {})[0]) == 1


def remediated(pack: Pack, props: Any) -> Any:
    policy: Any = pack.policies()[0]
    args = arguments({})
    args.props = secrets_preserving_proxy(props)
    return policy.remediate(args)


def test_a_remedy_is_merged_and_keeps_secrets_and_unknowns() -> None:
    props: dict[str, Any] = {
        "first": True,
        "other": Secret("x"),
        "inner": {"third": Secret("y")},
        "late": UNKNOWN_STRING_VALUE,
    }
    result = remediated(pack(), props)
    assert result["other"] is props["other"] and result["late"] == UNKNOWN_STRING_VALUE
    assert result["inner"]["second"] is True and result["inner"]["third"] is props["inner"]["third"]


def test_nothing_is_remedied_that_keeps_the_rule_or_is_undecided_or_waived() -> None:
    assert remediated(pack(), {"first": True, "inner": {"second": True}}) is None
    assert remediated(pack(), {"first": True, "inner": UNKNOWN_STRING_VALUE}) is None
    assert remediated(pack(waivers=[WAIVER]), {}) is None


def test_thresholds_come_from_the_engine_with_whole_numbers_as_ints() -> None:
    seen: list[Settings] = []

    def note(resource: Resource, settings: Settings) -> Findings:
        seen.append(settings)
        return iter(())

    rule = replace(trial, check=note, settings={"most": int, "names": dict[str, list[int]]}, remedy=None)
    defaults = {"trial": RuleConfig("mandatory", {"most": 1, "names": {}})}
    policy: Any = Pack([rule], defaults, [], TODAY).policies()[0]
    args = arguments({})
    config = {"most": 3.0, "names": {"a": [1.0]}, "reason": "tests"}
    given = sdk.ResourceValidationArgs(
        args.resource_type, args.props, args.urn, args.name, args.opts, None, config
    )
    policy.validate(given, pytest.fail)
    assert seen == [{"most": 3, "names": {"a": [1]}}]


def test_a_patch_reaches_into_lists_and_leaves_the_rest_as_it_came() -> None:
    key = Secret("y")
    disks: list[Any] = [{"ebs": {"size": 1, "key": key}}, UNKNOWN_STRING_VALUE]
    result = merged(secrets_preserving_proxy({"disks": disks}), {"disks": {0: {"ebs": {"encrypted": True}}}})
    assert result == {"disks": [{"ebs": {"size": 1, "key": key, "encrypted": True}}, UNKNOWN_STRING_VALUE]}
    assert "encrypted" not in disks[0]["ebs"]
