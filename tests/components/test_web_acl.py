"""The firewall: models' inputs pass, the same bytes elsewhere do not, and no log holds a credential."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from components.api_document import Authorizer, ModelRoute, api_document, lambda_integration
from components.api_routes import MODEL_OPERATIONS, STAGE
from components.tags import Tags
from components.web_acl import MODEL_INPUT_PATHS, WebAcl, WebAclArgs
from naming import Names
from tests.components.recorded import Recorded, deployed

NAMES = Names(platform="inference-platform", environment="dev", account_id="111111111111", region="us-east-1")
TAGS = Tags(platform="inference-platform", environment="dev", owner="team", cost_center="ml")
ACL = "aws:wafv2/webAcl:WebAcl"
Rules = Mapping[str, Mapping[str, Any]]


def web_acl(requests_per_ip: int = 30_000) -> Recorded:
    args = WebAclArgs(
        names=NAMES,
        tags=TAGS,
        stage_arn="arn:aws:apigateway:us-east-1::/restapis/abcdefghij/stages/live",
        logs_key_arn="arn:aws:kms:us-east-1:111111111111:key/logs",
        requests_per_ip=requests_per_ip,
    )
    return deployed(lambda: WebAcl("web-acl", args))


def rules_of(recorded: Recorded) -> Rules:
    rules = recorded.one(ACL).inputs["rules"]
    return {rule["name"]: rule for rule in sorted(rules, key=lambda rule: rule["priority"])}


@pytest.fixture(scope="module")
def rules() -> Rules:
    return rules_of(web_acl())


def verdict(rules: Rules, *, path: str, matches: str) -> str:
    """What the ACL does with a request that one rule of a managed group matches, as WAF evaluates it.

    A rule whose action is overridden to count puts its label on the request and lets it go on; any other
    blocks. Labels are spelled as AWS documents them, apart from the components' own table.
    """
    labels = set()
    for rule in rules.values():
        statement = rule["statement"]
        if group := statement.get("managedRuleGroupStatement"):
            if matches not in _GROUPS.get(group["name"], {}):
                continue
            counted = {override["name"] for override in group.get("ruleActionOverrides", [])}
            if matches not in counted:
                return "block"
            labels.add(_GROUPS[group["name"]][matches])
        elif both := statement.get("andStatement"):
            any_label, elsewhere = both["statements"]
            labelled = labels & {
                s["labelMatchStatement"]["key"] for s in any_label["orStatement"]["statements"]
            }
            regex = elsewhere["notStatement"]["statement"]["regexMatchStatement"]["regexString"]
            if labelled and not re.search(regex, path):
                return "block"
    return "pass"


# https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-baseline.html
_GROUPS = {
    "AWSManagedRulesCommonRuleSet": {
        "SizeRestrictions_BODY": "awswaf:managed:aws:core-rule-set:SizeRestrictions_Body",
        "EC2MetaDataSSRF_BODY": "awswaf:managed:aws:core-rule-set:EC2MetaDataSSRF_Body",
        "GenericLFI_BODY": "awswaf:managed:aws:core-rule-set:GenericLFI_Body",
        "GenericRFI_BODY": "awswaf:managed:aws:core-rule-set:GenericRFI_Body",
        "CrossSiteScripting_BODY": "awswaf:managed:aws:core-rule-set:CrossSiteScripting_Body",
        "CrossSiteScripting_QUERYARGUMENTS": (
            "awswaf:managed:aws:core-rule-set:CrossSiteScripting_QueryArguments"
        ),
        "GenericLFI_URIPATH": "awswaf:managed:aws:core-rule-set:GenericLFI_URIPath",
        "UserAgent_BadBots_HEADER": "awswaf:managed:aws:core-rule-set:BadBots_Header",
    },
    "AWSManagedRulesKnownBadInputsRuleSet": {
        "JavaDeserializationRCE_BODY": "awswaf:managed:aws:known-bad-inputs:JavaDeserializationRCE_Body",
        "Log4JRCE_BODY": "awswaf:managed:aws:known-bad-inputs:Log4JRCE_Body",
        "ReactJSRCE_BODY": "awswaf:managed:aws:known-bad-inputs:ReactJSRCE_Body",
        "Log4JRCE_HEADER": "awswaf:managed:aws:known-bad-inputs:Log4JRCE_Header",
    },
    "AWSManagedRulesAmazonIpReputationList": {
        "AWSManagedIPReputationList": ("awswaf:managed:aws:amazon-ip-list:AWSManagedIPReputationList"),
    },
}
_BODY_RULES = [rule for group in _GROUPS.values() for rule in group if rule.endswith("_BODY")]
_OTHER_RULES = [rule for group in _GROUPS.values() for rule in group if not rule.endswith("_BODY")]
_MODEL_INPUT = [
    f"/{STAGE}/v2/models/digits/infer",
    f"/{STAGE}/v2/models/digits/jobs",
    f"/{STAGE}/v1/chat/completions",
    "/v2/models/digits/infer",  # on a custom domain
    "/v1/embeddings",
]
_ELSEWHERE = [
    f"/{STAGE}/v2",
    f"/{STAGE}/v2/models",
    f"/{STAGE}/v2/jobs/123",
    f"/{STAGE}/v2/models/digits/infer/x",
    f"/{STAGE}/v2/models/a/b/infer",
    "/other/v2/models/digits/infer",
]


@pytest.mark.parametrize("path", _MODEL_INPUT)
@pytest.mark.parametrize("matched", _BODY_RULES)
def test_a_big_tensor_or_a_prompt_with_html_reaches_the_model(rules: Rules, path: str, matched: str) -> None:
    assert verdict(rules, path=path, matches=matched) == "pass"


@pytest.mark.parametrize("path", _ELSEWHERE)
@pytest.mark.parametrize("matched", _BODY_RULES)
def test_the_same_body_is_blocked_on_every_other_route(rules: Rules, path: str, matched: str) -> None:
    assert verdict(rules, path=path, matches=matched) == "block"


@pytest.mark.parametrize("matched", _OTHER_RULES)
def test_what_is_wrong_outside_the_body_is_blocked_on_model_routes_too(rules: Rules, matched: str) -> None:
    assert verdict(rules, path=_MODEL_INPUT[0], matches=matched) == "block"


def test_exactly_the_api_s_routes_with_a_body_are_model_input() -> None:
    integration = lambda_integration("arn:aws:lambda:invoke", "arn:aws:iam::111111111111:role/r")
    document = api_document(
        "api",
        [ModelRoute(model="digits", integrations=dict.fromkeys(MODEL_OPERATIONS, integration))],
        Authorizer(invoke_arn="a", credentials_arn="r", cache_s=0, api_key_source="authorizer"),
    )
    for path, operations in document["paths"].items():
        takes_body = any("requestBody" in operation for operation in operations.values())
        # An unknown model's route takes a body that nothing reads.
        takes_body |= path == "/v2/models/{model}/infer"
        assert bool(re.search(MODEL_INPUT_PATHS, f"/{STAGE}{path}")) == takes_body, path


def test_a_flood_from_one_address_is_told_to_come_back_later() -> None:
    recorded = web_acl(requests_per_ip=5_000)
    rule = rules_of(recorded)["requests-per-ip"]
    assert rule["statement"]["rateBasedStatement"] == {
        "aggregateKeyType": "IP",
        "limit": 5_000,
        "evaluationWindowSec": 300,
    }
    answer = rule["action"]["block"]["customResponse"]
    assert answer["responseCode"] == 429
    assert {"name": "Retry-After", "value": "300"} in answer["responseHeaders"]
    [body] = recorded.one(ACL).inputs["customResponseBodies"]
    assert body["key"] == answer["customResponseBodyKey"]
    assert "error" in json.loads(body["content"])


def test_priorities_differ_and_the_label_rule_comes_after_the_groups_that_label(rules: Rules) -> None:
    assert len({rule["priority"] for rule in rules.values()}) == len(rules)
    assert list(rules)[-1] == "body-outside-model-input"


def test_every_rule_and_the_acl_have_a_metric_of_their_own() -> None:
    acl = web_acl().one(ACL).inputs
    visible = [acl["visibilityConfig"], *(rule["visibilityConfig"] for rule in acl["rules"])]
    assert all(config["cloudwatchMetricsEnabled"] for config in visible)
    assert len({config["metricName"] for config in visible}) == len(visible)


def test_logs_and_samples_hold_no_credential() -> None:
    recorded = web_acl()
    logging = recorded.one("aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration").inputs
    assert {field["singleHeader"]["name"] for field in logging["redactedFields"]} == {
        "authorization",
        "x-api-key",
    }
    [protection] = recorded.one(ACL).inputs["dataProtectionConfig"]["dataProtections"]
    assert set(protection["field"]["fieldKeys"]) == {"authorization", "x-api-key"}


def test_blocked_requests_go_to_an_encrypted_group_that_waf_may_write_to() -> None:
    recorded = web_acl()
    group = recorded.one("aws:cloudwatch/logGroup:LogGroup")
    assert group.inputs["name"] == "aws-waf-logs-inference-platform-dev"
    assert group.inputs["kmsKeyId"] == "arn:aws:kms:us-east-1:111111111111:key/logs"
    logging = recorded.one("aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration").inputs
    assert logging["logDestinationConfigs"] == [f"arn:aws:mock:us-east-1:111111111111:{group.name}"]
    assert logging["loggingFilter"]["defaultBehavior"] == "DROP"


def test_it_protects_the_stage_it_is_given() -> None:
    association = web_acl().one("aws:wafv2/webAclAssociation:WebAclAssociation").inputs
    assert association["resourceArn"].endswith("/restapis/abcdefghij/stages/live")
    assert association["webAclArn"] == "arn:aws:mock:us-east-1:111111111111:web-acl-acl"
