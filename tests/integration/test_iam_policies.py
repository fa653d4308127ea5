"""Every IAM policy of every environment, judged by parliament and by AWS's own table of actions."""

import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from policy_sentry.querying.actions import get_action_data

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # parliament still imports pkg_resources
    import parliament

pytestmark = pytest.mark.integration

# Findings that are wrong, with the reason. Each names the action, so that nothing else hides behind it.
PARLIAMENT_EXCEPTIONS = {
    "ecr:BatchImportUpstreamImage": "newer than parliament's data: it acts on repositories",
}


def role_policies(resources: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(URN, document) of every policy that grants something to a role."""
    for resource in resources:
        if resource["type"] in ("aws:iam/rolePolicy:RolePolicy", "aws:iam/policy:Policy"):
            yield resource["urn"], json.loads(resource["inputs"]["policy"])


def test_parliament_finds_nothing(aws_resources: list[dict[str, Any]]) -> None:
    judged = 0
    for urn, document in role_policies(aws_resources):
        findings = parliament.analyze_policy_string(json.dumps(document)).findings
        unexplained = [f for f in findings if not any(action in str(f) for action in PARLIAMENT_EXCEPTIONS)]
        assert unexplained == [], urn
        judged += 1
    assert judged >= 4


def test_every_star_resource_is_one_that_aws_allows_nothing_narrower_for(
    aws_resources: list[dict[str, Any]],
) -> None:
    stars = 0
    for urn, document in role_policies(aws_resources):
        for statement in document["Statement"]:
            if "*" not in statement["Resource"]:
                continue
            for action in statement["Action"]:
                service, name = action.split(":")
                known = get_action_data(service, name)
                assert known, f"{urn}: AWS knows no action {action}"
                formats = {entry["resource_arn_format"] for entry in known[service]}
                assert formats == {"*"}, f"{urn}: {action} can be limited to {formats}"
                stars += 1
    assert stars >= 2


def test_no_policy_grants_a_whole_service_or_everything(aws_resources: list[dict[str, Any]]) -> None:
    for urn, document in role_policies(aws_resources):
        for statement in document["Statement"]:
            assert statement["Effect"] in ("Allow", "Deny")
            assert "NotAction" not in statement
            assert "NotResource" not in statement
            assert not [action for action in statement["Action"] if action.endswith("*")], urn
