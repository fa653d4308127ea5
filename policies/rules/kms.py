"""KMS keys and the secrets that they encrypt."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from policies.documents import Statement, judge_allows
from policies.resources import STACK, Resource, Stack
from policies.rule import (
    Finding,
    Findings,
    Sample,
    Settings,
    expect,
    is_set,
    is_true,
    resource_rule,
    stack_rule,
)

KEY = "aws:kms/key:Key"
KEY_POLICY = "aws:kms/keyPolicy:KeyPolicy"
EXTERNAL_KEY = "aws:kms/externalKey:ExternalKey"
REPLICA_KEY = "aws:kms/replicaKey:ReplicaKey"
SECRET = "aws:secretsmanager/secret:Secret"  # noqa: S105 (a type token)
ROTATION = "aws:secretsmanager/secretRotation:SecretRotation"
_ROOT = "arn:aws:iam::111111111111:root"


@resource_rule(
    id="kms-rotation",
    title="Symmetric encryption keys rotate every year",
    severity="high",
    why="Key material that never changes lets whoever once got it read everything, past and future.",
    fix="set enable_key_rotation=True",
    types=[KEY],
    good={"description": "models", "enableKeyRotation": True},
    bad={"description": "models"},
    remedy=lambda key, settings: [{"enableKeyRotation": True}],
)
def rotation(key: Resource, settings: Settings) -> Findings:
    spec = key.get("customerMasterKeySpec", "SYMMETRIC_DEFAULT")
    if spec == "SYMMETRIC_DEFAULT" and key.get("keyUsage", "ENCRYPT_DECRYPT") == "ENCRYPT_DECRYPT":
        yield from expect(key, "enableKeyRotation", is_true, "true")


@resource_rule(
    id="kms-no-wildcard-principal",
    title="No key is open to every AWS account",
    severity="critical",
    why="Anyone with an AWS account could decrypt what the key protects.",
    fix="name the principals in the key policy, or add a condition on the account",
    types=[KEY, KEY_POLICY, EXTERNAL_KEY, REPLICA_KEY],
    good={"policy": {"Statement": [{"Effect": "Allow", "Principal": {"AWS": _ROOT}, "Action": "kms:*"}]}},
    bad={"policy": {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt"}]}},
)
def no_wildcard_principal(key: Resource, settings: Settings) -> Findings:
    def problems(statement: Statement) -> Iterator[str]:
        if statement.trusts_everyone() and not statement.conditions:
            yield "allows everyone, without a condition"

    yield from judge_allows(key, "policy", problems)


@resource_rule(
    id="kms-deletion-window",
    title="A deleted key can still be saved, and its owner never locks himself out",
    severity="medium",
    why="With the key, everything it encrypted is gone for good.",
    fix="set deletion_window_in_days and leave bypass_policy_lockout_safety_check out",
    types=[KEY, EXTERNAL_KEY, REPLICA_KEY],
    settings={"minDays": Annotated[int, Field(ge=7, le=30)]},
    good={"deletionWindowInDays": 30},
    bad={"deletionWindowInDays": 7},
)
def deletion_window(key: Resource, settings: Settings) -> Findings:
    """30 days is KMS's own default."""
    least = settings["minDays"]
    window = "deletionWindowInDays"
    yield from expect(key, window, lambda days: days is None or days >= least, f"{least} days or more")
    bypass = "bypassPolicyLockoutSafetyCheck"
    yield from expect(key, bypass, lambda value: value is not True, "false")


@stack_rule(
    id="kms-key-count-cap",
    title="The stack has few keys, and each says what it is for",
    severity="low",
    why="A key costs 1 USD a month, and one without a description is never dared to be deleted.",
    fix="describe the key, and let data of the same sensitivity share one",
    types=[KEY, STACK],
    settings={"maxKeys": Annotated[int, Field(ge=1)]},
    good=[Sample(type=KEY, props={"description": "models"})],
    bad=[Sample(type=KEY, props={})],
)
def key_count_cap(resource: Resource, stack: Stack, settings: Settings) -> Findings:
    if resource.type == KEY:
        yield from expect(resource, "description", is_set, "set")
    elif len(stack.of(KEY)) > settings["maxKeys"]:
        yield Finding(f"it has {len(stack.of(KEY))} keys; at most {settings['maxKeys']} are allowed")


_SECRET = Sample(type=SECRET, name="token", props={"kmsKeyId": "arn:aws:kms:us-east-1:111111111111:key/1"})


@stack_rule(
    id="secret-cmk-and-rotation",
    title="Secrets are encrypted with a customer managed key and rotate",
    severity="medium",
    why="A secret that never changes works for whoever copied it, for ever.",
    fix="set kms_key_id on the secret and add a SecretRotation",
    types=[SECRET],
    settings={"rotationRequired": bool},
    good=[_SECRET, Sample(type=ROTATION, name="rotation", props={}, refers_to={"secretId": "token"})],
    bad=[Sample(type=SECRET, name="token", props={})],
)
def secret_cmk_and_rotation(secret: Resource, stack: Stack, settings: Settings) -> Findings:
    if not secret.has("kmsKeyId"):
        yield Finding("`kmsKeyId` is not set")
    if settings["rotationRequired"] and not stack.companions(secret, ROTATION, "secretId"):
        yield Finding("it has no SecretRotation")


RULES = (rotation, no_wildcard_principal, deletion_window, key_count_cap, secret_cmk_and_rotation)
