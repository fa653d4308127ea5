"""What two linters say of the IAM policies in a deployment: parliament, and AWS's own table of actions.

Both are development dependencies and are imported when they are first needed.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_BOUNDARIES = "/boundaries/"
_POLICIES = ("aws:iam/rolePolicy:RolePolicy", "aws:iam/policy:Policy")


@dataclass(frozen=True, order=True)
class Remark:
    """One thing that a judge finds wrong with a resource."""

    judge: str
    check: str
    resource: str
    said: str


def role_policies(export: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name of the resource, document) of every policy that grants something; a boundary only limits."""
    for resource in export["deployment"].get("resources", []):
        if resource["type"] in _POLICIES and resource["inputs"].get("path") != _BOUNDARIES:
            yield resource["urn"].rpartition("::")[2], json.loads(resource["inputs"]["policy"])


def parliament_remarks(export: Mapping[str, Any]) -> Iterator[Remark]:
    """Unknown actions, mismatched resources and conditions, malformed documents."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # parliament still imports pkg_resources
        import parliament
    for name, document in role_policies(export):
        for finding in parliament.analyze_policy_string(json.dumps(document)).findings:
            detail = finding.detail or finding.location
            yield Remark("parliament", finding.issue, name, f"{finding.title} {detail}".strip())


def star_remarks(export: Mapping[str, Any]) -> Iterator[Remark]:
    """Actions on every resource that AWS would limit to some, or that AWS does not know."""
    from policy_sentry.querying.actions import get_action_data

    for name, document in role_policies(export):
        for statement in document["Statement"]:
            if "*" not in statement["Resource"] or statement["Effect"] == "Deny":
                continue
            for action in statement["Action"]:
                known = get_action_data(*action.split(":"))
                service = action.split(":")[0]
                formats = {entry["resource_arn_format"] for entry in known[service]} if known else set()
                if formats != {"*"}:
                    said = (
                        f"{action} can be limited to {', '.join(sorted(formats - {'*'}))}"
                        if formats
                        else f"AWS knows no {action}"
                    )
                    yield Remark("policy_sentry", "RESOURCE_STAR", name, said)
