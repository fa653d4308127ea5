"""Who may take a role, what comes with it, and identities that outlive a session."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from policies.documents import Statement, judge_allows
from policies.resources import UNKNOWN, Resource
from policies.rule import Finding, Findings, Sample, Settings, expect, resource_rule
from policies.rules.iam import BOUNDARIES, ROLE

_GITHUB = "token.actions.githubusercontent.com"


def _trust(**statement: Any) -> dict[str, Any]:
    return {"assumeRolePolicy": {"Statement": [{"Effect": "Allow", **statement}]}}


@resource_rule(
    id="iam-trust-policy-scoped",
    title="Roles can be taken by named principals only",
    severity="critical",
    why="A trust that is too wide lets another account, another repository or anyone take the role.",
    fix="name the principal; pin :sub and :aud of an OIDC provider; give a service aws:SourceAccount",
    types=[ROLE],
    settings={"servicesWithoutSource": list[str]},
    good=_trust(
        Principal={"Service": "lambda.amazonaws.com"},
        Action="sts:AssumeRole",
        Condition={"StringEquals": {"aws:SourceAccount": "111111111111"}},
    ),
    bad=_trust(Principal={"AWS": "*"}, Action="sts:AssumeRole"),
)
def trust_policy_scoped(role: Resource, settings: Settings) -> Findings:
    """`servicesWithoutSource` never send aws:SourceAccount."""
    without = settings["servicesWithoutSource"]
    yield from judge_allows(role, "assumeRolePolicy", lambda statement: _trust_problems(statement, without))


def _trust_problems(statement: Statement, without_source: list[str]) -> Iterator[str]:
    principals = statement.principals
    keys = statement.condition_keys()
    if statement.trusts_everyone():
        yield "trusts everyone"
    if any("oidc-provider/" in name or name == _GITHUB for name in principals.get("Federated", ())):
        for claim in (":sub", ":aud"):
            values = [
                value for _, key, values in statement.conditions if key.endswith(claim) for value in values
            ]
            if not values or any(not value.strip("*?") for value in values):
                yield f"does not pin {claim} of the OIDC provider"
    services = [name for name in principals.get("Service", ()) if name not in without_source]
    if services and not keys & {"aws:sourceaccount", "aws:sourcearn", "aws:sourceorgid"}:
        yield f"trusts {', '.join(services)} on behalf of any account"


_ATTACHMENTS = {
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": "policyArn",
    ROLE: "managedPolicyArns",
    "aws:iam/policyAttachment:PolicyAttachment": "policyArn",
    "aws:iam/userPolicyAttachment:UserPolicyAttachment": "policyArn",
    "aws:iam/groupPolicyAttachment:GroupPolicyAttachment": "policyArn",
    "aws:iam/rolePolicyAttachmentsExclusive:RolePolicyAttachmentsExclusive": "policyArns",
    "aws:ssoadmin/managedPolicyAttachment:ManagedPolicyAttachment": "managedPolicyArn",
}


@resource_rule(
    id="iam-no-broad-managed-policies",
    title="AWS's own policies are attached only where a service needs exactly them",
    severity="high",
    why="They are written for every customer: AmazonS3FullAccess reads every bucket of the account.",
    fix="write a policy with the actions and resources that are needed",
    types=list(_ATTACHMENTS),
    settings={"allowed": list[str]},
    good={"policyArn": "arn:aws:iam::111111111111:policy/read-models"},
    bad={"policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
)
def no_broad_managed_policies(resource: Resource, settings: Settings) -> Findings:
    """`allowed` holds names with their path, as they follow `policy/` in the ARN."""
    path = _ATTACHMENTS[resource.type]
    for arn in resource.items(path):
        if arn is UNKNOWN:
            yield Finding(f"`{path}` is not known yet", undecided=True)
        elif ":iam::aws:policy/" in arn and arn.partition(":policy/")[2] not in settings["allowed"]:
            yield Finding(f"`{path}` attaches AWS's policy {arn.partition(':policy/')[2]}")
        elif f":policy{BOUNDARIES}" in arn:
            yield Finding(f"`{path}` attaches a permissions boundary, which is a limit and no permission")


_PERMANENT = (
    "aws:iam/user:User",
    "aws:iam/accessKey:AccessKey",
    "aws:iam/userPolicyAttachment:UserPolicyAttachment",
    "aws:iam/userPolicy:UserPolicy",
    "aws:iam/userLoginProfile:UserLoginProfile",
    "aws:iam/userGroupMembership:UserGroupMembership",
    "aws:iam/serviceSpecificCredential:ServiceSpecificCredential",
)


@resource_rule(
    id="iam-no-users-or-keys",
    title="Nobody has credentials that last",
    severity="high",
    why="A key that leaks works until somebody notices; a role's credentials end within hours.",
    fix="use a role: Identity Center for people, OIDC for pipelines, a service role for workloads",
    types=_PERMANENT,
    good=[Sample(type=ROLE, props={})],
    bad={"name": "deployer"},
)
def no_users_or_keys(resource: Resource, settings: Settings) -> Findings:
    yield Finding("IAM users and their keys are not allowed")


@resource_rule(
    id="iam-permissions-boundary",
    title="Roles have the boundary and the session length that the organisation sets",
    severity="medium",
    why="A boundary holds even where a policy is written too wide; a long session outlives its need.",
    fix="set permissions_boundary, and max_session_duration within the limit",
    types=[ROLE],
    settings={"boundaryRequired": bool, "maxSessionS": Annotated[int, Field(ge=3600, le=43200)]},
    good={"maxSessionDuration": 3600},
    bad={"maxSessionDuration": 43200},
)
def permissions_boundary(role: Resource, settings: Settings) -> Findings:
    """An hour is AWS's default. A boundary's ARN may be unknown; that there is one is not."""
    most = settings["maxSessionS"]
    yield from expect(
        role, "maxSessionDuration", lambda length: (length or 3600) <= most, f"{most} seconds at most"
    )
    if settings["boundaryRequired"] and not role.has("permissionsBoundary"):
        yield Finding("`permissionsBoundary` is not set")


RULES = (trust_policy_scoped, no_broad_managed_policies, no_users_or_keys, permissions_boundary)
