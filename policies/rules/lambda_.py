"""Lambda functions."""

import re

from policies.model import UNKNOWN, Finding, Findings, Resource, Settings, expect, resource_rule

FUNCTION = "aws:lambda/function:Function"
PERMISSION = "aws:lambda/permission:Permission"

_SECRET_NAME = re.compile(
    r"(^|[_.-])(secret|password|passwd|pwd|token|credentials?|(api|access|private|secret|signing|encryption)_?key)$",
    re.IGNORECASE,
)
"""A variable whose name ends so holds a secret; API_KEY_SOURCE or TOKEN_URL holds something about one."""

_REFERENCE = re.compile(r"^(arn:aws|/|\{\{resolve:|https?://(?![^/]*@))", re.IGNORECASE)
"""Values that name where a secret is: an ARN, a parameter, a URL without credentials."""

SECRET_VALUES = {
    "an AWS access key": re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a GitHub token": re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,})"),
    "a Slack token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    "an API key of a model provider": re.compile(
        r"\b(sk-(ant-|proj-)?[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{30,})"
    ),
    "a JSON web token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    "a URL with a password": re.compile(r"\b[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s:@]+@", re.IGNORECASE),
}
"""What it is -> how its text looks, wherever it stands."""


@resource_rule(
    id="lambda-no-plaintext-secrets",
    title="No function carries a secret in its environment variables",
    severity="critical",
    why="Everyone who may look at the function reads its variables, and so does every crash report.",
    fix="keep the secret in Secrets Manager or Parameter Store and pass its ARN or name; rotate the one that "
    "stood here",
    types=[FUNCTION],
    good={
        "environment": {
            "variables": {"DB_PASSWORD": "arn:aws:secretsmanager:us-east-1:111111111111:secret:db"}
        }
    },
    bad={"environment": {"variables": {"DB_PASSWORD": "correct-horse-battery"}}},
)
def no_plaintext_secrets(function: Resource, settings: Settings) -> Findings:
    """The value itself is never in the message."""
    for name, value in function.get("environment.variables", {}).items():
        if value is UNKNOWN:
            yield Finding(f"`environment.variables.{name}` is not known yet", undecided=True)
        elif kind := looks_secret(name, str(value)):
            yield Finding(f"`environment.variables.{name}` looks like {kind}")


def looks_secret(name: str, value: str) -> str:
    """What kind of secret the value looks like; empty for none."""
    for kind, pattern in SECRET_VALUES.items():
        if pattern.search(value):
            return kind
    return "a secret" if value and _SECRET_NAME.search(name) and not _REFERENCE.match(value) else ""


@resource_rule(
    id="lambda-permission-scoped",
    title="Only named callers may invoke a function",
    severity="high",
    why="A service principal without a source acts for anyone's account: a stranger's bucket or API could "
    "call the function.",
    fix="name the principal, and give a service principal source_arn or source_account",
    types=[PERMISSION],
    good={
        "principal": "apigateway.amazonaws.com",
        "sourceArn": "arn:aws:execute-api:us-east-1:111111111111:abc/*",
    },
    bad={"principal": "s3.amazonaws.com"},
)
def permission_scoped(permission: Resource, settings: Settings) -> Findings:
    yield from expect(permission, "principal", lambda principal: principal != "*", "one caller, not everyone")
    principal = permission.get("principal", "")
    scoped = permission.has("sourceArn") or permission.has("sourceAccount")
    if principal.endswith((".amazonaws.com", ".amazonaws.com.cn")) and not scoped:
        yield Finding(f"`principal` {principal} has neither `sourceArn` nor `sourceAccount`")


RULES = (no_plaintext_secrets, permission_scoped)
