"""A policy of the SDK for each rule, which looks at nothing but the type: what the SDK alone costs.

Started by the engine, for `python -m benchmarks.policies`.
"""

import sys
from functools import partial
from pathlib import Path

import pulumi_policy as sdk

sys.path[0] = str(Path(__file__).resolve().parents[2])

from policies.rule import Rule, StackRule  # noqa: E402
from policies.rules import RULES  # noqa: E402


def resource(rule: Rule, args: sdk.ResourceValidationArgs, report: sdk.ReportViolation) -> None:
    rule.judges(args.resource_type)


def stack(rule: Rule, args: sdk.StackValidationArgs, report: sdk.ReportViolation) -> None:
    for each in args.resources:
        rule.judges(each.resource_type)


def policy(rule: Rule) -> sdk.Policy:
    if isinstance(rule, StackRule):
        return sdk.StackValidationPolicy(name=rule.id, description=rule.title, validate=partial(stack, rule))
    return sdk.ResourceValidationPolicy(
        name=rule.id, description=rule.title, validate=partial(resource, rule)
    )


sdk.PolicyPack(
    name="inference-platform-sdk",
    enforcement_level=sdk.EnforcementLevel.MANDATORY,
    policies=[policy(rule) for rule in RULES],
)
