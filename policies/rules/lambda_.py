"""Lambda functions."""

import re
from typing import Annotated

from pydantic import Field

from policies.resources import UNKNOWN, Resource, Undecided
from policies.rule import Finding, Findings, Settings, expect, resource_rule, unknown
from policies.secret_text import kind_of

FUNCTION = "aws:lambda/function:Function"
PERMISSION = "aws:lambda/permission:Permission"
URL = "aws:lambda/functionUrl:FunctionUrl"


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
            yield unknown(Undecided(f"environment.variables.{name}"))
        elif kind := kind_of(name, str(value)):
            yield Finding(f"`environment.variables.{name}` looks like {kind}")


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


@resource_rule(
    id="lambda-runtime-supported",
    title="Functions run on a runtime in support",
    severity="medium",
    why="A runtime past its support gets no security fixes, and one day the function cannot be updated.",
    fix="set runtime to one of the environment's runtimes",
    types=[FUNCTION],
    settings={"runtimes": Annotated[list[str], Field(min_length=1)]},
    good={"runtime": "python3.13"},
    bad={"runtime": "python3.8"},
)
def runtime_supported(function: Resource, settings: Settings) -> Findings:
    """A container image brings its own runtime."""
    if function.get("packageType") != "Image":
        runtimes = settings["runtimes"]
        yield from expect(function, "runtime", lambda runtime: runtime in runtimes, " or ".join(runtimes))


@resource_rule(
    id="lambda-tracing-active",
    title="Functions trace their requests",
    severity="low",
    why="Without traces, a slow request cannot be followed through gateway, function and S3.",
    fix='set tracing_config mode="Active"',
    types=[FUNCTION],
    good={"tracingConfig": {"mode": "Active"}},
    bad={"tracingConfig": {"mode": "PassThrough"}},
)
def tracing_active(function: Resource, settings: Settings) -> Findings:
    yield from expect(function, "tracingConfig.mode", lambda mode: mode == "Active", "Active")


_PRIVATE_ENDPOINT = re.compile(
    r"\bvpce-|\binternal-[\w-]+\.[\w-]+\.elb\.|\.(internal|local)\b|\.(rds|cache|es)\.amazonaws\.com"
    r"|\b(10\.\d+|192\.168|172\.(1[6-9]|2\d|3[01]))\.\d+\.\d+",
    re.IGNORECASE,
)


@resource_rule(
    id="lambda-in-vpc",
    title="Functions that call private endpoints are in the VPC, in two subnets or more",
    severity="medium",
    why="Outside the VPC they cannot reach the endpoint; in one subnet they stop with its zone.",
    fix="set vpc_config with subnets of two availability zones",
    types=[FUNCTION],
    good={"vpcConfig": {"subnetIds": ["subnet-1", "subnet-2"], "securityGroupIds": ["sg-1"]}},
    bad={"environment": {"variables": {"ROUTER_URL": "http://router.platform.internal:8080"}}},
)
def in_vpc(function: Resource, settings: Settings) -> Findings:
    """A function that calls public AWS endpoints only stays outside: the VPC would add cost, not safety."""
    if function.has("vpcConfig"):
        subnets = "vpcConfig.subnetIds"
        yield from expect(function, subnets, lambda each: len(each or ()) >= 2, "two subnets or more")
        return
    for name, value in function.get("environment.variables", {}).items():
        if value is UNKNOWN:
            yield unknown(Undecided(f"environment.variables.{name}"))
        elif _PRIVATE_ENDPOINT.search(str(value)):
            yield Finding(
                f"`environment.variables.{name}` names a private endpoint and there is no `vpcConfig`"
            )


@resource_rule(
    id="lambda-env-kms",
    title="Environment variables are encrypted with a customer managed key",
    severity="medium",
    why="Then reading them takes the key's permission as well.",
    fix="set kms_key_arn",
    types=[FUNCTION],
    good={
        "environment": {"variables": {"LOG_LEVEL": "INFO"}},
        "kmsKeyArn": "arn:aws:kms:us-east-1:111111111111:key/1",
    },
    bad={"environment": {"variables": {"LOG_LEVEL": "INFO"}}},
)
def env_kms(function: Resource, settings: Settings) -> Findings:
    if function.has("environment.variables") and not function.has("kmsKeyArn"):
        yield Finding("`environment.variables` are set and `kmsKeyArn` is not")


@resource_rule(
    id="lambda-url-auth",
    title="No function URL is open to everyone",
    severity="critical",
    why="A function URL without IAM passes by the gateway: no token, no tenant, no rate limit.",
    fix="remove the URL, or set authorization_type=AWS_IAM",
    types=[URL, PERMISSION],
    good={"authorizationType": "AWS_IAM"},
    bad={"authorizationType": "NONE"},
)
def url_auth(resource: Resource, settings: Settings) -> Findings:
    if resource.type == URL:
        yield from expect(resource, "authorizationType", lambda kind: kind == "AWS_IAM", "AWS_IAM")
    else:
        yield from expect(resource, "functionUrlAuthType", lambda kind: kind != "NONE", "AWS_IAM")


RULES = (
    no_plaintext_secrets,
    permission_scoped,
    runtime_supported,
    tracing_active,
    in_vpc,
    env_kms,
    url_auth,
)
