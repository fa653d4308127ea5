"""The web application firewall in front of the API."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.api_routes import STAGE
from components.tags import Tags
from naming import Names

Rule = aws.wafv2.WebAclRuleArgsDict
Statement = aws.wafv2.WebAclRuleStatementArgsDict

MODEL_INPUT_PATHS = (
    rf"^(/{STAGE})?/(v2/models/[^/]+/(infer|jobs)|v1/(chat/completions|completions|embeddings))/?$"
)
"""Paths whose body is input for a model: tensors and prompts. The stage is part of the path that WAF sees on
the API's own domain, and not on a custom one."""

_COMMON, _KNOWN_BAD_INPUTS = "AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet"

# Managed group -> its rules that look at the body, each with the label it puts on a request. Labels are
# case-sensitive and do not follow from the rule's name.
# https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-baseline.html
_BODY_RULES = {
    _COMMON: {
        "SizeRestrictions_BODY": "awswaf:managed:aws:core-rule-set:SizeRestrictions_Body",
        "EC2MetaDataSSRF_BODY": "awswaf:managed:aws:core-rule-set:EC2MetaDataSSRF_Body",
        "GenericLFI_BODY": "awswaf:managed:aws:core-rule-set:GenericLFI_Body",
        "GenericRFI_BODY": "awswaf:managed:aws:core-rule-set:GenericRFI_Body",
        "CrossSiteScripting_BODY": "awswaf:managed:aws:core-rule-set:CrossSiteScripting_Body",
    },
    _KNOWN_BAD_INPUTS: {
        "JavaDeserializationRCE_BODY": "awswaf:managed:aws:known-bad-inputs:JavaDeserializationRCE_Body",
        "Log4JRCE_BODY": "awswaf:managed:aws:known-bad-inputs:Log4JRCE_Body",
        "ReactJSRCE_BODY": "awswaf:managed:aws:known-bad-inputs:ReactJSRCE_Body",
    },
}

_CREDENTIAL_HEADERS = ("authorization", "x-api-key")
_RATE_WINDOW_S = 300
_RATE_ANSWER = "rate"


@dataclass(frozen=True, kw_only=True)
class WebAclArgs:
    """Arguments of `WebAcl`."""

    names: Names
    tags: Tags
    stage_arn: pulumi.Input[str]
    """Stage of the REST API that it protects."""
    logs_key_arn: pulumi.Input[str]
    log_retention_days: int = 30
    requests_per_ip: int = 30_000
    """Requests from one address in 5 minutes, above which it gets 429; tenants share addresses behind NAT."""


class WebAcl(pulumi.ComponentResource):
    """Blocks known bad clients, floods and attacks before they reach a function.

    The managed rules that look at the body only label a request; a rule after them blocks what is labelled,
    on every route but those whose body is a model's input. A tensor of 1 MB is over the 8 KB limit, and a
    prompt may quote HTML, a shell script or an exploit: there the gateway and the runtime bound the body.

    Managed groups follow AWS's default version: AWS moves it after a notice, and a pinned one expires.
    Blocked requests are logged, without credentials; the others are in the API's access log, and how many
    were counted is in the metrics.
    """

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: WebAclArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:web_acl:WebAcl", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        tags = args.tags.component("web-acl")
        acl = aws.wafv2.WebAcl(
            f"{name}-acl",
            name=args.names.prefix,
            description="The inference API",
            scope="REGIONAL",
            default_action={"allow": {}},
            rules=_rules(args.requests_per_ip),
            custom_response_bodies=[
                {
                    "key": _RATE_ANSWER,
                    "content_type": "APPLICATION_JSON",
                    "content": '{"error": "too many requests from this address; slow down and try again"}',
                }
            ],
            # Sampled requests in the console would show the credentials that the log leaves out.
            data_protection_config={
                "data_protections": [
                    {
                        "action": "SUBSTITUTION",
                        "field": {"field_type": "SINGLE_HEADER", "field_keys": list(_CREDENTIAL_HEADERS)},
                    }
                ]
            },
            visibility_config=_visibility("web-acl"),
            tags=tags,
            opts=child,
        )
        aws.wafv2.WebAclAssociation(
            f"{name}-association", resource_arn=args.stage_arn, web_acl_arn=acl.arn, opts=child
        )
        log_group = aws.cloudwatch.LogGroup(
            f"{name}-logs",
            name=f"aws-waf-logs-{args.names.prefix}",  # WAF writes to groups of this prefix only
            retention_in_days=args.log_retention_days,
            kms_key_id=args.logs_key_arn,
            tags=tags,
            opts=child,
        )
        aws.wafv2.WebAclLoggingConfiguration(
            f"{name}-logging",
            resource_arn=acl.arn,
            log_destination_configs=[log_group.arn],
            redacted_fields=[{"single_header": {"name": header}} for header in _CREDENTIAL_HEADERS],
            logging_filter={
                "default_behavior": "DROP",
                "filters": [
                    {
                        "behavior": "KEEP",
                        "requirement": "MEETS_ANY",
                        "conditions": [{"action_condition": {"action": "BLOCK"}}],
                    }
                ],
            },
            opts=child,
        )
        self.arn = acl.arn
        self.register_outputs({"arn": self.arn})


def _rules(requests_per_ip: int) -> Sequence[Rule]:
    """All rules in the order of their evaluation: the cheapest and surest first.

    1,000 capacity units of the 1,500 that cost nothing extra: 25 + 2 + 700 + 200, and some 20 for the last.
    """
    rules: list[Rule] = [
        _managed_group("AWSManagedRulesAmazonIpReputationList"),
        _rate_rule(requests_per_ip),
        _managed_group(_COMMON),
        _managed_group(_KNOWN_BAD_INPUTS),
        _labelled_body_rule(),
    ]
    return [{**rule, "priority": priority} for priority, rule in enumerate(rules)]


def _managed_group(group: str) -> Rule:
    """AWS's rule group; its rules that look at the body count, so that they label and do not block."""
    return {
        "name": group,
        "priority": 0,
        "override_action": {"none": {}},
        "statement": {
            "managed_rule_group_statement": {
                "vendor_name": "AWS",
                "name": group,
                "rule_action_overrides": [
                    {"name": rule, "action_to_use": {"count": {}}} for rule in _BODY_RULES.get(group, ())
                ],
            }
        },
        "visibility_config": _visibility(group),
    }


def _rate_rule(requests_per_ip: int) -> Rule:
    return {
        "name": "requests-per-ip",
        "priority": 0,
        "action": {
            "block": {
                "custom_response": {
                    "response_code": 429,
                    "custom_response_body_key": _RATE_ANSWER,
                    "response_headers": [{"name": "Retry-After", "value": str(_RATE_WINDOW_S)}],
                }
            }
        },
        "statement": {
            "rate_based_statement": {
                "aggregate_key_type": "IP",
                "limit": requests_per_ip,
                "evaluation_window_sec": _RATE_WINDOW_S,
            }
        },
        "visibility_config": _visibility("requests-per-ip"),
    }


def _labelled_body_rule() -> Rule:
    """Blocks what the body rules have labelled, except where the body is a model's input."""
    labels: list[Statement] = [
        {"label_match_statement": {"scope": "LABEL", "key": label}}
        for rules in _BODY_RULES.values()
        for label in rules.values()
    ]
    model_input: Statement = {
        "regex_match_statement": {
            "regex_string": MODEL_INPUT_PATHS,
            "field_to_match": {"uri_path": {}},
            "text_transformations": [{"priority": 0, "type": "NONE"}],
        }
    }
    labelled: Statement = {"or_statement": {"statements": labels}}
    elsewhere: Statement = {"not_statement": {"statement": model_input}}
    return {
        "name": "body-outside-model-input",
        "priority": 0,
        "action": {"block": {}},
        "statement": {"and_statement": {"statements": [labelled, elsewhere]}},
        "visibility_config": _visibility("body-outside-model-input"),
    }


def _visibility(metric: str) -> aws.wafv2.WebAclVisibilityConfigArgsDict:
    return {"cloudwatch_metrics_enabled": True, "metric_name": metric, "sampled_requests_enabled": True}
