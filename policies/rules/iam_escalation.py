"""IAM permissions by which a role can get more than it was given."""

import re
from collections.abc import Iterator, Sequence

from policies.documents import Statement
from policies.resources import Resource
from policies.rule import Finding, Findings, Settings, resource_rule
from policies.rules.iam import PERMISSION_POLICIES, judge, policy

# https://bishopfox.com/blog/privilege-escalation-in-aws: each set is enough by itself.
ESCALATIONS: Sequence[Sequence[str]] = (
    ["iam:CreatePolicyVersion"],
    ["iam:SetDefaultPolicyVersion"],
    ["iam:CreateAccessKey"],
    ["iam:CreateLoginProfile"],
    ["iam:UpdateLoginProfile"],
    ["iam:AttachUserPolicy"],
    ["iam:AttachGroupPolicy"],
    ["iam:AttachRolePolicy"],
    ["iam:PutUserPolicy"],
    ["iam:PutGroupPolicy"],
    ["iam:PutRolePolicy"],
    ["iam:AddUserToGroup"],
    ["iam:UpdateAssumeRolePolicy"],
    ["iam:DeleteRolePermissionsBoundary"],
    ["iam:PassRole", "ec2:RunInstances"],
    ["iam:PassRole", "lambda:CreateFunction"],
    ["iam:PassRole", "lambda:UpdateFunctionConfiguration"],
    ["iam:PassRole", "cloudformation:CreateStack"],
    ["iam:PassRole", "glue:CreateDevEndpoint"],
    ["iam:PassRole", "glue:CreateJob"],
    ["iam:PassRole", "datapipeline:CreatePipeline"],
    ["iam:PassRole", "sagemaker:CreateNotebookInstance"],
    ["iam:PassRole", "sagemaker:CreateTrainingJob"],
    ["iam:PassRole", "sagemaker:CreateProcessingJob"],
    ["iam:PassRole", "codebuild:CreateProject"],
    ["iam:PassRole", "ecs:RunTask"],
    ["iam:PassRole", "states:CreateStateMachine"],
    ["lambda:UpdateFunctionCode"],
    ["sagemaker:CreatePresignedNotebookInstanceUrl"],
)


# All of an account, or all of a kind: `arn:aws:iam::111111111111:role/*`. A path of one's own names them.
_ALL = re.compile(r"arn:[^:]*:[^:]*:[^:]*:[^:]*:(.*:)?([^/:]*/)?\*")


def _broad(statement: Statement) -> bool:
    """Whether it covers things that nobody has named: all, or all of a kind."""
    return statement.on_everything() or any(map(_ALL.fullmatch, statement.resources))


@resource_rule(
    id="iam-no-privilege-escalation",
    title="No role can give itself more than it has",
    severity="critical",
    why="With such a set of actions, any role becomes an administrator in a few calls.",
    fix="remove one action of the set, or name the roles, policies or functions that it is for",
    types=list(PERMISSION_POLICIES),
    good=policy(
        Action=["lambda:InvokeFunction"], Resource=["arn:aws:lambda:us-east-1:111111111111:function:*"]
    ),
    bad=policy(Action=["iam:PassRole", "lambda:CreateFunction"], Resource="*"),
)
def no_privilege_escalation(resource: Resource, settings: Settings) -> Findings:
    """The actions of a set may stand in different statements."""
    broad: list[Statement] = []

    def collect(statement: Statement) -> Iterator[str]:
        if _broad(statement):
            broad.append(statement)
        yield from ()

    yield from judge(resource, collect)
    for actions in ESCALATIONS:
        if all(any(statement.grants(action) for statement in broad) for action in actions):
            yield Finding(f"it allows {' with '.join(actions)} on resources that it does not name")


@resource_rule(
    id="iam-passrole-scoped",
    title="Roles are passed by name and to one service",
    severity="high",
    why="Whoever may pass any role to a service can run code as the strongest role of the account.",
    fix="name the role's ARN and add the condition iam:PassedToService",
    types=list(PERMISSION_POLICIES),
    good=policy(
        Action="iam:PassRole",
        Resource="arn:aws:iam::111111111111:role/model-fraud",
        Condition={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
    ),
    bad=policy(Action="iam:PassRole", Resource="arn:aws:iam::111111111111:role/*"),
)
def passrole_scoped(resource: Resource, settings: Settings) -> Findings:
    def problems(statement: Statement) -> Iterator[str]:
        if statement.grants("iam:PassRole"):
            if _broad(statement):
                yield "allows iam:PassRole for roles that it does not name"
            if "iam:passedtoservice" not in statement.condition_keys():
                yield "allows iam:PassRole to any service"

    yield from judge(resource, problems)


@resource_rule(
    id="iam-kms-decrypt-scoped",
    title="Decryption is allowed with named keys",
    severity="high",
    why="With all keys, a role reads the data of every other workload in the account.",
    fix="name the key's ARN",
    types=list(PERMISSION_POLICIES),
    good=policy(Action="kms:Decrypt", Resource="arn:aws:kms:us-east-1:111111111111:key/1"),
    bad=policy(Action="kms:Decrypt", Resource="arn:aws:kms:us-east-1:111111111111:key/*"),
)
def kms_decrypt_scoped(resource: Resource, settings: Settings) -> Findings:
    """A condition on the key's alias names it just as well."""

    def problems(statement: Statement) -> Iterator[str]:
        if _broad(statement) and "kms:resourcealiases" not in statement.condition_keys():
            for action in ("kms:Decrypt", "kms:ReEncryptFrom"):
                if statement.grants(action):
                    yield f"allows {action} with keys that it does not name"

    yield from judge(resource, problems)


RULES = (no_privilege_escalation, passrole_scoped, kms_decrypt_scoped)
