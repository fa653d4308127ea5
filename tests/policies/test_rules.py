"""What holds for every rule, whatever it is about."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from policies.model import UNKNOWN, ResourceRule, Rule, Sample
from policies.rules import RULES

IDS = """
apigw-authorizer-required
apigw-throttling
iam-no-admin-star
kms-rotation
lambda-no-plaintext-secrets
lambda-permission-scoped
log-retention-bounded
required-tags
s3-public-access-block
s3-tls-only-policy
waiver-hygiene
"""

# Its examples are entries of the waiver file, not resources; tests/policies/test_waivers.py has them.
WITH_EXAMPLES = [rule for rule in RULES if rule.id != "waiver-hygiene"]


def named(rule: Rule) -> str:
    return rule.id


def test_the_set_of_rules_is_pinned() -> None:
    assert sorted(rule.id for rule in RULES) == IDS.split()


@pytest.mark.parametrize("rule", RULES, ids=named)
def test_metadata_says_what_why_and_how(rule: Rule) -> None:
    assert 10 <= len(rule.title) <= 110 and not rule.title.endswith(".")
    assert len(rule.why) >= 30 and rule.why.endswith(".")
    assert len(rule.fix) >= 15 and not rule.fix.endswith(".")
    assert rule.types and rule.good and rule.bad


@pytest.mark.parametrize("rule", WITH_EXAMPLES, ids=named)
def test_the_good_example_is_kept_and_the_bad_one_refused(rule: Rule, check: Any) -> None:
    assert check(rule.id, rule.good) == []
    found = check(rule.id, rule.bad)
    assert found and not any(finding.undecided for finding in found)


@pytest.mark.parametrize("rule", WITH_EXAMPLES, ids=named)
def test_a_resource_of_another_type_is_not_judged(rule: Rule, check: Any) -> None:
    other = Sample(type="random:index/randomId:RandomId", props=rule.bad[0].props)
    assert check(rule.id, [other]) == []


@pytest.mark.parametrize("rule", WITH_EXAMPLES, ids=named)
def test_an_unknown_value_never_makes_a_violation_pass(rule: Rule, check: Any) -> None:
    """Each property of the bad example in turn is unknown: the rule still says something."""
    for samples in with_one_unknown(rule.bad):
        assert check(rule.id, samples), samples


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if isinstance(rule, ResourceRule) and rule.remedy], ids=named
)
def test_a_remedy_makes_the_bad_example_good(
    rule: ResourceRule, check: Any, configs: Any, as_resource: Any
) -> None:
    (bad,) = rule.bad
    assert rule.remedy is not None
    patch = rule.remedy(as_resource(bad), configs[rule.id].settings)
    assert check(rule.id, [replace(bad, props={**bad.props, **patch})]) == []


def with_one_unknown(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    for place, sample in enumerate(samples):
        for props in unknown_in(sample.props):
            yield [*samples[:place], replace(sample, props=props), *samples[place + 1 :]]


def unknown_in(value: Any) -> Iterator[Any]:
    """The value once for each property within it, with that property unknown."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {**value, key: UNKNOWN}
            yield from ({**value, key: changed} for changed in unknown_in(inner))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from ([*value[:index], changed, *value[index + 1 :]] for changed in unknown_in(inner))
