"""How a pipeline on GitHub gets into the account: by its identity, for an hour, with no key that lasts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pulumi
import pulumi_aws as aws

from components import deploy_permissions as permissions
from components import iam
from components.tags import Tags
from naming import Names

_ISSUER = "token.actions.githubusercontent.com"
_AUDIENCE = "sts.amazonaws.com"


@dataclass(frozen=True, kw_only=True)
class DeliveryAccessArgs:
    """Arguments of `DeliveryAccess`."""

    names: Names
    tags: Tags
    owner: str
    """Owner of the repository."""
    repository: str
    """Name of the repository."""
    branch: str
    """The only branch that may deploy."""
    github_environment: str
    """GitHub environment whose reviewers approve deployments."""
    oidc_provider: Literal["create", "existing"] = "create"
    """Whether to make the account's OIDC provider of GitHub."""


class DeliveryAccess(pulumi.ComponentResource):
    """A role that plans and a role that deploys, both for one repository, environment and branch.

    GitHub's `sub` claim names environment or branch, not both, unless the repository is told to name both;
    AWS reads no other claim. The record of the decision has the call that does so.
    """

    plan_role_arn: pulumi.Output[str]
    deploy_role_arn: pulumi.Output[str]
    boundary_arn: pulumi.Output[str]

    def __init__(
        self, name: str, args: DeliveryAccessArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("inference-platform:delivery_access:DeliveryAccess", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._tags = args.tags.component("delivery")
        names = args.names
        after: list[pulumi.Resource] = []
        if args.oidc_provider == "create":
            after.append(
                aws.iam.OpenIdConnectProvider(
                    f"{name}-github",
                    url=f"https://{_ISSUER}",
                    client_id_lists=[_AUDIENCE],
                    tags=self._tags,
                    opts=self._child,
                )
            )
        boundary_name = f"{names.prefix}-boundary"
        boundary_arn = f"arn:aws:iam::{names.account_id}:policy{permissions.BOUNDARIES}{boundary_name}"
        boundary = aws.iam.Policy(
            f"{name}-boundary",
            name=boundary_name,
            path=permissions.BOUNDARIES,
            description="The most that deployments, and the roles that they make, can do",
            policy=iam.policy(*permissions.boundary(names, boundary_arn)),
            tags=self._tags,
            opts=self._child,
        )
        self.boundary_arn = boundary.arn
        repository = f"repo:{args.owner}/{args.repository}"
        branch = f"ref:refs/heads/{args.branch}"
        # Pull requests plan, too, and have no environment: what they get reads only.
        self.plan_role_arn = self._role(
            "plan",
            [
                f"{repository}:environment:{args.github_environment}:{branch}",
                f"{repository}:pull_request:ref:refs/pull/*/merge",
            ],
            {group: permissions.reads(names, group) for group in permissions.POLICIES}
            | {"identity": permissions.identity_reads(names)},
            after,
        )
        self.deploy_role_arn = self._role(
            "deploy",
            [f"{repository}:environment:{args.github_environment}:{branch}"],
            {group: permissions.changes(names, group) for group in permissions.POLICIES}
            | {"identity": permissions.identity_changes(names, boundary_arn)},
            after,
            permissions_boundary=boundary.arn,
        )
        self.register_outputs({"plan": self.plan_role_arn, "deploy": self.deploy_role_arn})

    def _role(
        self,
        role: str,
        subjects: Sequence[str],
        policies: dict[str, list[iam.Statement]],
        after: Sequence[pulumi.Resource],
        **more: Any,
    ) -> pulumi.Output[str]:
        args = self._args
        path = permissions.delivery_path(args.names)
        made = aws.iam.Role(
            f"{self._name}-{role}",
            name=f"{args.names.prefix}-{role}",
            path=path,
            description=f"GitHub: {role}s {args.names.prefix}",
            max_session_duration=3600,
            assume_role_policy=github_trust(args.names, subjects),
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
            **more,
        )
        for group, statements in policies.items():
            policy = aws.iam.Policy(
                f"{self._name}-{role}-{group}",
                path=path,
                description=f"GitHub {role}s {args.names.prefix}: {group}",
                policy=iam.policy(*statements),
                tags=self._tags,
                opts=self._child,
            )
            aws.iam.RolePolicyAttachment(
                f"{self._name}-{role}-{group}", role=made.name, policy_arn=policy.arn, opts=self._child
            )
        return made.arn


def github_trust(names: Names, subjects: Sequence[str]) -> str:
    """A trust policy for jobs on GitHub whose identity token has one of the subjects.

    https://docs.github.com/en/actions/concepts/security/openid-connect
    """
    return iam.policy(
        {
            "Effect": "Allow",
            "Principal": {"Federated": f"arn:aws:iam::{names.account_id}:oidc-provider/{_ISSUER}"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {f"{_ISSUER}:aud": _AUDIENCE},
                # Where no subject has a `*`, it is StringEquals.
                "StringLike": {f"{_ISSUER}:sub": list(subjects)},
            },
        }
    )


def governed(names: Names, boundary_arn: pulumi.Input[str]) -> pulumi.ResourceTransformation:
    """Puts every role and policy below the platform's path, and every role within the boundary.

    The deploy role can make no role without it.
    """

    def transform(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        props: dict[str, Any] = {**args.props, "path": permissions.role_path(names)}
        if args.type_ == "aws:iam/role:Role":
            props["permissions_boundary"] = boundary_arn
        elif args.type_ != "aws:iam/policy:Policy":
            return None
        return pulumi.ResourceTransformationResult(props=props, opts=args.opts)

    return transform
