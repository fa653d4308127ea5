"""IAM documents as JSON, and the service role that most components need."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

Statement = Mapping[str, Any]


def policy(*statements: Statement) -> str:
    """An IAM policy document (JSON) of the given statements, in a stable order of keys."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, sort_keys=True)


def allow(
    sid: str,
    actions: Sequence[str],
    resources: Sequence[str],
    condition: Mapping[str, Mapping[str, Any]] | None = None,
) -> Statement:
    """An Allow statement; `resources` are ARNs or ARN patterns."""
    statement: dict[str, Any] = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": list(resources),
    }
    return {**statement, "Condition": condition} if condition else statement


def trust(service: str, account_id: str) -> str:
    """A trust policy for one AWS service, acting for this account only (confused-deputy protection)."""
    return policy(
        {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
        }
    )


def role(
    name: str,
    *,
    trust_policy: str,
    statements: pulumi.Input[Sequence[Statement]],
    description: str,
    tags: Mapping[str, str],
    opts: pulumi.ResourceOptions,
) -> aws.iam.Role:
    """A role with one inline policy that holds exactly `statements`."""
    created = aws.iam.Role(
        f"{name}-role", assume_role_policy=trust_policy, description=description, tags=tags, opts=opts
    )
    aws.iam.RolePolicy(
        f"{name}-role-policy",
        role=created.id,
        policy=pulumi.Output.from_input(statements).apply(lambda known: policy(*known)),
        opts=opts,
    )
    return created
