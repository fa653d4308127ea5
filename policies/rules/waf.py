"""WAF in front of the API: that it is there, what it does, and what it records."""

from typing import Any

from policies.resources import Resource, Stack
from policies.rule import Finding, Findings, Sample, Settings, expect, is_true, resource_rule, stack_rule
from policies.rules.gateway import HTTP_STAGE, STAGE

ACL = "aws:wafv2/webAcl:WebAcl"
ASSOCIATION = "aws:wafv2/webAclAssociation:WebAclAssociation"
LOGGING = "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration"
DISTRIBUTION = "aws:cloudfront/distribution:Distribution"

_STAGE = Sample(type=STAGE, name="live", props={"stageName": "live"})


@stack_rule(
    id="apigw-waf-associated",
    title="Every API is behind a web application firewall",
    severity="high",
    why="Floods and known exploits would reach the authorizer and be billed.",
    fix="associate an aws.wafv2.WebAcl with the stage; put CloudFront with one in front of an HTTP API",
    types=[STAGE, HTTP_STAGE],
    good=[_STAGE, Sample(type=ASSOCIATION, name="waf", props={}, refers_to={"resourceArn": "live"})],
    bad=[_STAGE],
)
def waf_associated(stage: Resource, stack: Stack, settings: Settings) -> Findings:
    if stage.type == STAGE:
        if not stack.companions(stage, ASSOCIATION, "resourceArn"):
            yield Finding("no WebAclAssociation names it")
    # An HTTP API takes no WAF of its own.
    elif not any(distribution.has("webAclId") for distribution in stack.of(DISTRIBUTION)):
        yield Finding("no CloudFront distribution with a web ACL stands in front of it")


MANAGED = ("AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet")
_METRICS = {"cloudwatchMetricsEnabled": True}


def _acl(*statements: dict[str, Any], **visibility: bool) -> dict[str, Any]:
    rules = [{"statement": each, "visibilityConfig": {**_METRICS, **visibility}} for each in statements]
    return {"rules": rules, "visibilityConfig": {**_METRICS, **visibility}}


_MANAGED_STATEMENTS = [{"managedRuleGroupStatement": {"vendorName": "AWS", "name": name}} for name in MANAGED]


@resource_rule(
    id="waf-has-rules-and-default",
    title="The firewall limits rates and blocks known attacks",
    severity="high",
    why="A web ACL without rules lets everything through and looks like protection.",
    fix=f"add a rate-based rule and the managed groups {' and '.join(MANAGED)}",
    types=[ACL],
    good=_acl({"rateBasedStatement": {"limit": 2000}}, *_MANAGED_STATEMENTS),
    bad=_acl({"rateBasedStatement": {"limit": 2000}}),
)
def has_rules(acl: Resource, settings: Settings) -> Findings:
    groups, limits_rates = set(), False
    for rule in acl.parts("rules"):
        limits_rates |= rule.has("statement.rateBasedStatement")
        groups.add(rule.get("statement.managedRuleGroupStatement.name"))
    if not limits_rates:
        yield Finding("`rules` has no rate-based rule")
    for name in MANAGED:
        if name not in groups:
            yield Finding(f"`rules` lacks the managed group {name}")


_ACL = Sample(type=ACL, name="api", props=_acl({"rateBasedStatement": {}}))
_LOGGED = Sample(type=LOGGING, name="logs", props={}, refers_to={"resourceArn": "api"})


@stack_rule(
    id="waf-metrics-and-logging",
    title="What the firewall does is counted and recorded",
    severity="medium",
    why="A rule that blocks real clients, or an attack that it stops, would go unseen.",
    fix="enable CloudWatch metrics on the ACL and each rule, and add a WebAclLoggingConfiguration",
    types=[ACL],
    good=[_ACL, _LOGGED],
    bad=[Sample(type=ACL, name="api", props=_acl({}, cloudwatchMetricsEnabled=False)), _LOGGED],
)
def metrics_and_logging(acl: Resource, stack: Stack, settings: Settings) -> Findings:
    for part in (acl.part, *acl.parts("rules")):
        yield from expect(part, "visibilityConfig.cloudwatchMetricsEnabled", is_true, "true")
    if not stack.companions(acl, LOGGING, "resourceArn"):
        yield Finding("no WebAclLoggingConfiguration names it")


RULES = (waf_associated, has_rules, metrics_and_logging)
