"""IAM permission policies, wherever they are written."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from policies.documents import Statement, judge_allows
from policies.resources import Part, Resource
from policies.rule import Findings, Settings, resource_rule

POLICY = "aws:iam/policy:Policy"
ROLE = "aws:iam/role:Role"
PERMISSION_POLICIES = {
    POLICY: "policy",
    "aws:iam/rolePolicy:RolePolicy": "policy",
    "aws:iam/userPolicy:UserPolicy": "policy",
    "aws:iam/groupPolicy:GroupPolicy": "policy",
    "aws:ssoadmin/permissionSetInlinePolicy:PermissionSetInlinePolicy": "inlinePolicy",
    ROLE: "",
}
"""Type -> property that holds what it allows; a role holds any number under `inlinePolicies`."""


_FILE = Path(__file__).with_name("unscoped_actions.txt")
UNSCOPED = frozenset(
    line.lower() for line in _FILE.read_text().splitlines() if line and not line.startswith("#")
)
"""Actions that AWS knows no resource for (lower case)."""


BOUNDARIES = "/boundaries/"
"""IAM path of permissions boundaries: limits, which allow nothing. No rule lets them be attached."""


def documents(resource: Resource) -> Iterator[tuple[Part, str]]:
    """(object, property) of each permission policy that the resource holds."""
    if resource.type == POLICY and resource.get("path") == BOUNDARIES:
        return
    if resource.type == ROLE:
        yield from ((part, "policy") for part in resource.parts("inlinePolicies"))
    else:
        yield resource.part, PERMISSION_POLICIES[resource.type]


def judge(resource: Resource, problems: Callable[[Statement], Iterable[str]]) -> Findings:
    """A finding for each problem of each Allow statement of the resource's policies."""
    for part, path in documents(resource):
        yield from judge_allows(part, path, problems)


def policy(**statement: Any) -> dict[str, Any]:
    """An example: a policy with one Allow statement."""
    return {"policy": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}}


@resource_rule(
    id="iam-no-admin-star",
    title="No policy allows every action on every resource",
    severity="critical",
    why="Whoever gets hold of such a role owns the whole account.",
    fix="name the actions and the resources that are needed",
    types=list(PERMISSION_POLICIES),
    good=policy(Action=["s3:GetObject"], Resource=["arn:aws:s3:::models/models/digits/*"]),
    bad=policy(Action="*", Resource="*"),
)
def no_admin_star(resource: Resource, settings: Settings) -> Findings:
    def problems(statement: Statement) -> Iterator[str]:
        if statement.on_everything() and statement.not_actions:
            yield "allows all actions but some on all resources"
        elif statement.on_everything() and {"*", "*:*"} & set(statement.actions):
            yield "allows all actions on all resources"

    yield from judge(resource, problems)


@resource_rule(
    id="iam-no-service-wildcard",
    title="No policy allows all actions of a service",
    severity="high",
    why="It grows with the service: whatever AWS adds is allowed on that day.",
    fix="name the actions that are needed",
    types=list(PERMISSION_POLICIES),
    good=policy(Action=["s3:GetObject"], Resource=["arn:aws:s3:::models/*"]),
    bad=policy(Action=["s3:*"], Resource=["arn:aws:s3:::models/*"]),
)
def no_service_wildcard(resource: Resource, settings: Settings) -> Findings:
    def problems(statement: Statement) -> Iterator[str]:
        for action in statement.actions:
            if not action.partition(":")[2].strip("*"):
                yield f"allows {action}"

    yield from judge(resource, problems)


@resource_rule(
    id="iam-resource-star-justified",
    title="Policies name resources wherever AWS lets them",
    severity="high",
    why="`*` reaches the other stacks and tenants of the account too.",
    fix="name the resources; only actions that take no resource may stand with `*`, each by its full name",
    types=list(PERMISSION_POLICIES),
    good=policy(Action=["xray:PutTraceSegments"], Resource="*"),
    bad=policy(Action=["s3:GetObject"], Resource="*"),
)
def resource_star_justified(resource: Resource, settings: Settings) -> Findings:
    """A condition on the resource's tags or account narrows `*` as names would."""

    def problems(statement: Statement) -> Iterator[str]:
        scoped = [action for action in statement.actions if action.lower() not in UNSCOPED]
        narrowed = any(map(_names_resource, statement.condition_keys()))
        if scoped and statement.on_everything() and not narrowed:
            yield f"allows {', '.join(scoped)} on all resources"

    yield from judge(resource, problems)


def _names_resource(key: str) -> bool:
    return "resourcetag/" in key or key in ("aws:resourceaccount", "kms:resourcealiases", "kms:viaservice")


RULES = (no_admin_star, no_service_wildcard, resource_star_justified)
