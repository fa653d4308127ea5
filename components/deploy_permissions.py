"""What the roles of a pipeline may do: read to plan, change to deploy, and never more than the boundary.

`deploy_actions.json` says of each AWS service what a deployment needs. Actions that AWS limits to no resource
stand apart there, so that no other action ever stands with `*`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components import iam
from naming import Names

_SERVICES: Mapping[str, Mapping[str, Any]] = json.loads(
    Path(__file__).with_name("deploy_actions.json").read_text(encoding="utf-8")
)
POLICIES = sorted({str(service["policy"]) for service in _SERVICES.values()})
"""Managed policies that the permissions are spread over: each takes 6,144 characters."""

BOUNDARIES = "/boundaries/"
"""IAM path of permissions boundaries. They are limits: nothing may attach them as permissions."""

# Services whose resources the platform's roles work for.
_PASSED_TO = (
    "apigateway",
    "budgets",
    "cloudtrail",
    "codebuild",
    "ec2",
    "ecr",
    "eks",
    "events",
    "firehose",
    "glue",
    "lambda",
    "pods.eks",
    "sagemaker",
    "scheduler",
    "states",
    "vpc-flow-logs",
)


def role_path(names: Names) -> str:
    """IAM path of the platform's own roles and policies, which the deploy role may manage."""
    return f"/{names.platform}/{names.environment}/"


def reads(names: Names, policy: str) -> list[iam.Statement]:
    """What a plan needs of the services of one policy."""
    return _statements(names, policy, ["reads"])


def changes(names: Names, policy: str) -> list[iam.Statement]:
    """What a deployment needs of the services of one policy."""
    return _statements(names, policy, ["reads", "writes"])


def identity_reads(names: Names) -> list[iam.Statement]:
    """Roles and policies of the platform, to compare them with the program."""
    roles, policies = _own(names)
    return [
        iam.allow(
            "ReadRoles",
            ["iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"],
            [roles],
        ),
        iam.allow(
            "ReadPolicies", ["iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListPolicyVersions"], [policies]
        ),
    ]


def identity_changes(names: Names, boundary_arn: str) -> list[iam.Statement]:
    """Roles and policies below the platform's path, each role within the boundary.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
    """
    roles, policies = _own(names)
    return [
        *identity_reads(names),
        iam.allow(
            "BoundedRoles",
            [
                "iam:AttachRolePolicy",
                "iam:CreateRole",
                "iam:DeleteRolePolicy",
                "iam:DetachRolePolicy",
                "iam:PutRolePolicy",
            ],
            [roles],
            {"ArnEquals": {"iam:PermissionsBoundary": boundary_arn}},
        ),
        iam.allow(
            "Roles",
            [
                "iam:DeleteRole",
                "iam:TagRole",
                "iam:UntagRole",
                "iam:UpdateAssumeRolePolicy",
                "iam:UpdateRole",
            ],
            [roles],
        ),
        iam.allow(
            "Policies",
            [
                "iam:CreatePolicy",
                "iam:CreatePolicyVersion",
                "iam:DeletePolicy",
                "iam:DeletePolicyVersion",
                "iam:TagPolicy",
                "iam:UntagPolicy",
            ],
            [policies],
        ),
        iam.allow(
            "PassRoles",
            ["iam:PassRole"],
            [roles],
            {"StringEquals": {"iam:PassedToService": [f"{name}.amazonaws.com" for name in _PASSED_TO]}},
        ),
        iam.allow(
            "ServiceRoles",
            ["iam:CreateServiceLinkedRole"],
            [f"arn:aws:iam::{names.account_id}:role/aws-service-role/*"],
        ),
    ]


def boundary(names: Names, boundary_arn: str) -> list[iam.Statement]:
    """The most that the deploy role, and any role that it makes, can ever do.

    A boundary allows nothing by itself, so it names what must not be: ways out of it, lasting credentials,
    and the end of the records.
    """
    account = f"arn:aws:iam::{names.account_id}"

    def deny(sid: str, actions: Sequence[str], resources: Sequence[str]) -> dict[str, Any]:
        return {"Sid": sid, "Effect": "Deny", "Action": list(actions), "Resource": list(resources)}

    return [
        {"Sid": "UpToHere", "Effect": "Allow", "Action": "*", "Resource": "*"},
        {
            **deny("RolesKeepTheBoundary", ["iam:CreateRole", "iam:PutRolePermissionsBoundary"], ["*"]),
            "Condition": {"ArnNotEquals": {"iam:PermissionsBoundary": boundary_arn}},
        },
        deny("NoWayOut", ["iam:DeleteRolePermissionsBoundary"], ["*"]),
        deny(
            "DeliveryStaysAsItIs",
            ["iam:*"],
            [
                f"{account}:policy{BOUNDARIES}*",
                f"{account}:role{delivery_path(names)}*",
                f"{account}:policy{delivery_path(names)}*",
                f"{account}:oidc-provider/*",
            ],
        ),
        deny(
            "NobodyWithLastingCredentials",
            ["iam:CreateAccessKey", "iam:CreateLoginProfile", "iam:CreateUser", "iam:UpdateLoginProfile"],
            ["*"],
        ),
        deny("AccountStaysAsItIs", ["account:*", "organizations:*"], ["*"]),
        deny(
            "RecordsGoOn",
            [
                "cloudtrail:DeleteTrail",
                "cloudtrail:StopLogging",
                "config:DeleteConfigurationRecorder",
                "config:StopConfigurationRecorder",
                "guardduty:DeleteDetector",
                "kms:DisableKey",
                "kms:ScheduleKeyDeletion",
            ],
            ["*"],
        ),
    ]


def delivery_path(names: Names) -> str:
    """IAM path of the pipeline's own roles: outside of what they may manage."""
    return f"/{names.platform}-delivery/{names.environment}/"


def _own(names: Names) -> tuple[str, str]:
    account, path = f"arn:aws:iam::{names.account_id}", role_path(names)
    return f"{account}:role{path}*", f"{account}:policy{path}*"


def _statements(names: Names, policy: str, kinds: Sequence[str]) -> list[iam.Statement]:
    """One statement a service, on the platform's resources, and one for what AWS limits to none."""
    place = {
        "platform": names.platform,
        "environment": names.environment,
        "prefix": names.prefix,
        "database": names.prefix.replace("-", "_"),
        "region": names.region,
        "account": names.account_id,
    }
    found: list[iam.Statement] = []
    unscoped: list[str] = []
    for service, access in _SERVICES.items():
        if access["policy"] == policy:
            scoped = [f"{service}:{action}" for kind in kinds for action in access.get(kind, ())]
            if scoped:
                sid = "".join(part.capitalize() for part in service.split("-"))
                found.append(iam.allow(sid, scoped, [arn.format(**place) for arn in access["resources"]]))
            unscoped += [f"{service}:{a}" for kind in kinds for a in access.get(f"unscoped_{kind}", ())]
    return [*found, *([iam.allow("Unscoped", unscoped, ["*"])] if unscoped else ())]
