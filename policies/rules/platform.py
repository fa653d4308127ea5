"""What the platform may be made of and where, and what holds for the stack as a whole."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from policies import waivers
from policies.resources import STACK, Resource, Stack
from policies.rule import Finding, Findings, Sample, Settings, expect, resource_rule, stack_rule

Names = Annotated[list[str], Field(min_length=1)]

_SERVICES = json.loads(Path(__file__).with_name("aws_services.json").read_text())
APPROVED_MODULES = frozenset(
    module
    for group in ("approved", "account features")
    for modules in _SERVICES[group].values()
    for module in modules
)
"""Modules of pulumi-aws (`aws:<module>/...`) whose service is approved."""


@resource_rule(
    id="approved-aws-services",
    title="The stack uses approved services, through approved providers",
    severity="critical",
    why="A service that nobody has reviewed has its own ways out of the account, and its own bill.",
    fix="use an approved service, or have it reviewed and added to policies/rules/aws_services.json",
    types=["*"],
    settings={"packages": Names},
    good=[Sample(type="aws:s3/bucket:Bucket", props={})],
    bad=[Sample(type="aws:chime/voiceConnector:VoiceConnector", props={})],
)
def approved_aws_services(resource: Resource, settings: Settings) -> Findings:
    """`packages` are Pulumi packages, the project's own components among them.

    What runs commands or code of its own (`command`, dynamic providers) and `aws-native`, which the other
    rules do not look at, are left out on purpose.
    """
    package, module, *_ = resource.type.split(":")
    if (package, module) == ("pulumi", "providers"):
        package, module = resource.type.split(":")[2], ""
    if package not in settings["packages"]:
        yield Finding(f"package {package} is not approved ({resource.type})")
    elif package == "aws" and module and module.partition("/")[0] not in APPROVED_MODULES:
        yield Finding(f"AWS service `{module.partition('/')[0]}` is not approved")


PROVIDER = "pulumi:providers:aws"


@resource_rule(
    id="approved-region-and-account",
    title="Everything is in the regions and the account that the environment names",
    severity="high",
    why="With the wrong credentials a plan for dev would be applied to prod; other regions are not watched.",
    fix="set region and allowed_account_ids on an explicit aws.Provider; remove the resource's own region",
    types=[PROVIDER, "aws:*"],
    settings={"regions": Names},
    good={"region": "us-east-1", "allowedAccountIds": ["111111111111"]},
    bad={"region": "us-east-1"},
)
def approved_region_and_account(resource: Resource, settings: Settings) -> Findings:
    regions = settings["regions"]
    accepted = regions if resource.type == PROVIDER else [*regions, None]
    yield from expect(resource, "region", lambda region: region in accepted, " or ".join(regions))
    if resource.type == PROVIDER and not _listed(resource.get("allowedAccountIds")):
        yield Finding("`allowedAccountIds` is not set")


def _listed(value: Any) -> bool:
    """The engine hands a provider's lists over as JSON text."""
    return bool(json.loads(value) if isinstance(value, str) and value else value)


STATEFUL = (
    "aws:s3/bucket:Bucket",
    "aws:s3/bucketV2:BucketV2",
    "aws:cognito/userPool:UserPool",
    "aws:kms/key:Key",
    "aws:cloudtrail/trail:Trail",
    "aws:dynamodb/table:Table",
    "aws:efs/fileSystem:FileSystem",
    "aws:secretsmanager/secret:Secret",
)


@resource_rule(
    id="protect-stateful-prod",
    title="What cannot be made again refuses to be destroyed",
    severity="high",
    why="A rename in the program would otherwise delete the bucket, the pool or the key behind it.",
    fix="set protect=True in the resource's options",
    types=STATEFUL,
    good=[Sample(type=STATEFUL[0], props={}, protect=True)],
    bad=[Sample(type=STATEFUL[0], props={})],
)
def protect_stateful(resource: Resource, settings: Settings) -> Findings:
    if not resource.protect:
        yield Finding("resource option `protect` is not set")


def _waiver(**changes: str) -> Sample:
    entry = {
        "rule": "lambda-arm64",
        "urn": "urn:pulumi:prod::inference-platform::aws:lambda/function:Function::model-fraud-function",
        "reason": "its feature library has no build for arm64",
        "owner": "fraud-team",
        "expires": "2026-03-31",
    }
    return Sample(type="policies/waivers.yaml", name="entry", props={**entry, **changes})


@stack_rule(
    id="waiver-hygiene",
    title="Every waiver is in order, in use and in time",
    severity="high",
    why="A waiver that nobody needs or that never ends is a hole that nobody sees.",
    fix="correct the entry in policies/waivers.yaml, or remove it",
    types=[STACK],
    good=[_waiver()],
    bad=[_waiver(urn="*", reason="legacy")],
)
def waiver_hygiene(resource: Resource, stack: Stack, settings: Settings) -> Findings:
    """An unused waiver counts only in the stack that its URN pattern names."""
    for place, waiver in enumerate(stack.waivers):
        wrong = list(waivers.problems(waiver, stack.rules, stack.today))
        yield from (Finding(f"waiver {place + 1} ({waiver.rule or 'no rule'}): {each}") for each in wrong)
        if not wrong and waiver.stack == resource.stack and waiver not in stack.waived:
            yield Finding(f"waiver {place + 1} ({waiver.rule}): nothing in this stack needs it: {waiver.urn}")


RULES = (approved_aws_services, approved_region_and_account, protect_stateful, waiver_hygiene)
