"""IAM permission policies, wherever they are written."""

from collections.abc import Iterator

from policies.documents import NotADocument, Statement, statements
from policies.model import Finding, Findings, Part, Resource, Settings, Undecided, resource_rule, unknown

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


def allowed(resource: Resource) -> Iterator[Statement | Finding]:
    """Every Allow statement of the resource, and a finding for each document that cannot be read."""
    path = PERMISSION_POLICIES[resource.type]
    places = [(resource.part, path)] if path else [(part, "policy") for part in _inline_policies(resource)]
    for part, where in places:
        try:
            yield from (statement for statement in statements(part, where) if statement.allows)
        except NotADocument as error:
            yield Finding(str(error))
        except Undecided as undecided:
            yield unknown(undecided)


def _inline_policies(role: Resource) -> Iterator[Part]:
    yield from role.parts("inlinePolicies")


def _policy(**statement: object) -> dict[str, object]:
    return {"policy": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}}


@resource_rule(
    id="iam-no-admin-star",
    title="No policy allows every action on every resource",
    severity="critical",
    why="Whoever gets hold of such a role owns the whole account.",
    fix="name the actions and the resources that are needed",
    types=list(PERMISSION_POLICIES),
    good=_policy(Action=["s3:GetObject"], Resource=["arn:aws:s3:::models/models/digits/*"]),
    bad=_policy(Action="*", Resource="*"),
)
def no_admin_star(resource: Resource, settings: Settings) -> Findings:
    for statement in allowed(resource):
        if isinstance(statement, Finding):
            yield statement
        elif statement.on_everything() and ({"*", "*:*"} & set(statement.actions) or statement.not_actions):
            action = "all actions but some" if statement.not_actions else "all actions"
            yield Finding(f"statement {statement.sid} allows {action} on all resources")


RULES = (no_admin_star,)
