"""The analyzer service, called as the engine calls it but in this process."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import analyzer_pb2 as pb
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE as LATER

from policies.resources import STACK, Resource, Stack
from policies.rule import Findings, Rule, Settings, expect, is_true, resource_rule, stack_rule
from policies.server import Analyzer
from policies.settings import RuleConfig
from policies.waivers import Waiver

TODAY = datetime.date(2026, 3, 1)
KEY = "aws:kms/key:Key"
URN = "urn:pulumi:prod::trial::aws:kms/key:Key::"


@resource_rule(
    id="trial",
    title="Both are true",
    severity="high",
    why="because",
    fix="do it",
    types=[KEY],
    settings={"most": int},
    good={},
    bad={},
    remedy=lambda key, settings: [{"inner": {"second": True}}],
)
def trial(key: Resource, settings: Settings) -> Findings:
    yield from expect(key, "first", is_true, "true")
    yield from expect(key, "inner.second", is_true, "true")


@stack_rule(
    id="whole",
    title="A stack has keys that are used",
    severity="low",
    why="because",
    fix="do it",
    types=[KEY],
    good=[],
    bad=[],
)
def whole(key: Resource, stack: Stack, settings: Settings) -> Findings:
    users = stack.companions(key, "aws:kms/alias:Alias", "targetKeyId")
    for user in users:
        yield from expect(user, "name", lambda name: name is None, f"absent in {key.parent}")


class Aborted(Exception):
    pass


class Context:
    def abort(self, code: Any, details: str) -> None:
        raise Aborted(code, details)


def analyzer(*rules: Rule, level: str = "mandatory", waivers: Sequence[Waiver] = ()) -> Analyzer:
    given = rules or (trial,)
    configs = {rule.id: RuleConfig(level, dict.fromkeys(rule.settings, 1)) for rule in given}
    return Analyzer(given, configs, waivers, TODAY)


def request(props: Mapping[str, Any], type: str = KEY, name: str = "key") -> Any:
    sent = pb.AnalyzeRequest(type=type, name=name, urn=URN + name)
    sent.properties.update(props)
    return sent


def analyzed(service: Analyzer, *args: Any, **more: Any) -> list[tuple[str, str]]:
    """(level, message) of each diagnostic."""
    response = service.Analyze(request(*args, **more), Context())
    return [(pb.EnforcementLevel.Name(each.enforcementLevel), each.message) for each in response.diagnostics]


def test_violations_of_one_resource_are_one_diagnostic_with_reason_and_fix() -> None:
    (diagnostic,) = analyzer().Analyze(request({"first": False}), Context()).diagnostics
    assert diagnostic.message == (
        "Both are true\n"
        "key: `first` is false; it must be true; `inner.second` is not set; it must be true\n"
        "why: because\nfix: do it"
    )
    assert diagnostic.policyName == "trial" and diagnostic.urn == URN + "key"
    assert diagnostic.enforcementLevel == pb.MANDATORY
    assert diagnostic.severity == pb.POLICY_SEVERITY_HIGH


def test_what_is_known_is_judged_and_what_is_unknown_is_an_advisory() -> None:
    (violation, undecided) = analyzed(analyzer(), {"first": LATER, "inner": {"second": False}})
    assert violation[0] == "MANDATORY" and "inner.second" in violation[1] and "first" not in violation[1]
    assert undecided == (
        "ADVISORY",
        "Both are true\nkey: `first` is not known yet; undecided until up",
    )


@pytest.mark.parametrize(
    ("level", "reported"), [("mandatory", "MANDATORY"), ("advisory", "ADVISORY"), ("remediate", "MANDATORY")]
)
def test_a_violation_has_the_level_of_the_environment(level: str, reported: str) -> None:
    assert [each for each, _ in analyzed(analyzer(level=level), {})] == [reported]


def test_disabled_rules_and_other_types_are_not_judged() -> None:
    assert analyzed(analyzer(level="disabled"), {}) == []
    assert analyzed(analyzer(), {}, type="aws:s3/bucket:Bucket") == []


WAIVER = Waiver(
    rule="trial",
    urn=URN + "key",
    reason="a reason of twenty characters",
    owner="me",
    expires=datetime.date(2026, 3, 2),
)


def test_a_waived_violation_is_shown_and_refuses_nothing() -> None:
    waived = analyzer(waivers=[WAIVER])
    ((level, message),) = analyzed(waived, {"first": True})
    assert level == "ADVISORY"
    assert message.endswith("\nwaived until 2026-03-02 by me: a reason of twenty characters")
    assert analyzed(waived, {"first": True, "inner": {"second": True}}) == []
    assert [each for each, _ in analyzed(waived, {}, name="other")] == ["MANDATORY"]


def test_a_waiver_that_is_not_in_order_waives_nothing() -> None:
    late = analyzer(waivers=[replace(WAIVER, expires=datetime.date(2026, 2, 28))])
    assert [each for each, _ in analyzed(late, {})] == ["MANDATORY"]


def stack_request(*resources: Any) -> Any:
    return pb.AnalyzeStackRequest(resources=resources)


def member(type: str, name: str, props: Mapping[str, Any], refers: Mapping[str, str] | None = None) -> Any:
    sent = pb.AnalyzerResource(type=type, name=name, urn=URN + name, parent="above")
    sent.properties.update(props)
    for prop, target in (refers or {}).items():
        sent.propertyDependencies[prop].urns.append(URN + target)
    return sent


def test_a_stack_rule_judges_each_resource_on_its_own() -> None:
    alias = "aws:kms/alias:Alias"
    response = analyzer(whole).AnalyzeStack(
        stack_request(
            member(KEY, "a", {}),
            member(KEY, "b", {}),
            member(alias, "x", {"name": LATER}, {"targetKeyId": "a"}),
            member(alias, "y", {"name": "bad"}, {"targetKeyId": "b"}),
        ),
        Context(),
    )
    assert [(each.urn, each.enforcementLevel) for each in response.diagnostics] == [
        (URN + "a", pb.ADVISORY),
        (URN + "b", pb.MANDATORY),
    ]
    assert "absent in above" in response.diagnostics[1].message


def test_waivers_are_judged_after_everything_that_may_use_them() -> None:
    seen: list[Any] = []

    def note(resource: Resource, stack: Stack, settings: Settings) -> Findings:
        seen.append(list(stack.waived))
        return iter(())

    def always(key: Resource, stack: Stack, settings: Settings) -> Findings:
        yield from expect(key, "first", is_true, "true")

    service = analyzer(
        replace(whole, id="waiver-hygiene", types=[STACK], check=note),
        replace(whole, id="trial", check=always),
        waivers=[WAIVER],
    )
    service.AnalyzeStack(stack_request(member(STACK, "stack", {}), member(KEY, "key", {})), Context())
    assert seen == [[WAIVER]]


def remediated(service: Analyzer, props: Mapping[str, Any]) -> Any:
    return service.Remediate(request(props), Context()).remediations


def test_a_remedy_is_applied_where_the_environment_says_so() -> None:
    (remediation,) = remediated(analyzer(level="remediate"), {"first": True, "inner": {"x": LATER}})
    assert remediation.policyName == "trial"
    assert (
        remediation.properties == request({"first": True, "inner": {"x": LATER, "second": True}}).properties
    )
    assert not remediated(analyzer(level="mandatory"), {})


def test_each_remedy_sees_what_the_ones_before_have_set() -> None:
    copy = replace(trial, id="copy", remedy=lambda key, settings: [{"first": key.get("inner.second")}])
    last = replace(trial, id="last")
    remediations = remediated(analyzer(trial, copy, last, level="remediate"), {"first": False})
    assert [each.policyName for each in remediations] == ["trial", "copy"]
    assert remediations[1].properties == request({"first": True, "inner": {"second": True}}).properties


def test_nothing_is_remedied_that_keeps_the_rule_or_is_undecided_or_waived() -> None:
    assert not remediated(analyzer(level="remediate"), {"first": True, "inner": {"second": True}})
    assert not remediated(analyzer(level="remediate"), {"first": True, "inner": LATER})
    assert not remediated(analyzer(level="remediate", waivers=[WAIVER]), {})


def configure(**policies: tuple[int, Mapping[str, Any]]) -> Any:
    sent = pb.ConfigureAnalyzerRequest()
    for name, (level, properties) in policies.items():
        entry = sent.policyConfig[name.replace("_", "-")]
        entry.enforcementLevel = level
        entry.properties.update(properties)
    return sent


def test_the_engine_sets_levels_and_thresholds() -> None:
    seen: list[Settings] = []

    def note(resource: Resource, settings: Settings) -> Findings:
        seen.append(settings)
        yield from expect(resource, "first", is_true, "true")

    service = analyzer(replace(trial, check=note))
    service.Configure(
        configure(trial=(pb.ADVISORY, {"most": 3, "reason": ""}), all=(pb.DISABLED, {})), Context()
    )
    assert [level for level, _ in analyzed(service, {})] == ["ADVISORY"]
    assert seen == [{"most": 3}]


def test_a_config_is_refused_with_every_mistake_by_name() -> None:
    wrong = configure(
        trail=(pb.ADVISORY, {}), trial=(pb.MANDATORY, {"most": "many", "least": 1}), rest=(pb.DISABLED, {})
    )
    with pytest.raises(Aborted) as refused:
        analyzer().Configure(wrong, Context())
    code, details = refused.value.args
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert details.splitlines() == [
        "rest: there is no such rule",
        "trail: there is no such rule",
        'trial.most: Input should be a valid integer, not "many"',
        "trial.least: there is no such threshold",
    ]


def test_the_engine_learns_of_every_rule_its_level_and_its_thresholds() -> None:
    info = analyzer(trial, whole).GetAnalyzerInfo(None, Context())
    assert info.supportsConfig and info.name == "inference-platform"
    first, second = info.policies
    assert (first.name, first.description, first.remediation_steps) == ("trial", "Both are true", "do it")
    assert first.enforcementLevel == pb.MANDATORY and first.severity == pb.POLICY_SEVERITY_HIGH
    assert (first.policy_type, second.policy_type) == (pb.POLICY_TYPE_RESOURCE, pb.POLICY_TYPE_STACK)
    assert first.configSchema.properties["most"]["type"] == "integer"
    assert first.configSchema.properties["most"]["default"] == 1
