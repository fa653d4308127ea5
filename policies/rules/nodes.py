"""Instances and their disks, wherever they are described: launch templates, instances, node classes."""

import base64
import binascii
from typing import Any

from policies.capacity import INSTANCE, LAUNCH_TEMPLATE, NODE_CLASS
from policies.resources import Part, Resource
from policies.rule import Finding, Findings, Settings, expect, resource_rule
from policies.secret_text import kind_in_script

LAUNCH_CONFIGURATION = "aws:ec2/launchConfiguration:LaunchConfiguration"
SPOT_REQUEST = "aws:ec2/spotInstanceRequest:SpotInstanceRequest"
MACHINES = (LAUNCH_TEMPLATE, INSTANCE, SPOT_REQUEST, LAUNCH_CONFIGURATION, NODE_CLASS)


def _spec(resource: Resource) -> Part:
    """Where the machine is described: a node class has it under `spec`."""
    return resource.child("spec") if resource.type == NODE_CLASS else resource.part


@resource_rule(
    id="nodes-imdsv2-required",
    title="Instances hand out their credentials to token requests only",
    severity="high",
    why="With version 1 of the metadata service, one forged request gives the role's credentials away.",
    fix='set metadata_options http_tokens="required"',
    types=MACHINES,
    good={"metadataOptions": {"httpTokens": "required"}},
    bad={"metadataOptions": {"httpTokens": "optional"}},
    remedy=lambda machine, settings: [_spec(machine).patch({"metadataOptions": {"httpTokens": "required"}})],
)
def imdsv2_required(machine: Resource, settings: Settings) -> Findings:
    """Karpenter requires tokens unless told otherwise."""
    accepted = ("required", None) if machine.type == NODE_CLASS else ("required",)
    yield from expect(
        _spec(machine), "metadataOptions.httpTokens", lambda tokens: tokens in accepted, "required"
    )


@resource_rule(
    id="nodes-imds-hop-limit",
    title="Instance credentials stay on the instance",
    severity="medium",
    why="With a second hop, any pod on the node can take the node's role.",
    fix="set metadata_options http_put_response_hop_limit=1 and give pods their own roles",
    types=[LAUNCH_TEMPLATE, INSTANCE, SPOT_REQUEST, NODE_CLASS],
    good={"metadataOptions": {"httpPutResponseHopLimit": 1}},
    bad={"metadataOptions": {"httpPutResponseHopLimit": 2}},
)
def imds_hop_limit(machine: Resource, settings: Settings) -> Findings:
    """1 is the default everywhere."""
    path = "metadataOptions.httpPutResponseHopLimit"
    yield from expect(_spec(machine), path, lambda hops: hops in (None, 1), "1")


@resource_rule(
    id="node-no-public-ip",
    title="No instance gets a public address",
    severity="high",
    why="A public address puts the node on the internet and costs 3.65 USD a month.",
    fix="remove the public address; clients come through the API, operators through Session Manager",
    types=MACHINES,
    good={"networkInterfaces": [{"associatePublicIpAddress": "false"}]},
    bad={"networkInterfaces": [{"associatePublicIpAddress": "true"}]},
)
def no_public_ip(machine: Resource, settings: Settings) -> Findings:
    def private(value: Any) -> bool:
        return str(value).lower() != "true"

    if machine.type == LAUNCH_TEMPLATE:
        for interface in machine.parts("networkInterfaces"):
            yield from expect(interface, "associatePublicIpAddress", private, "false")
    else:
        name = "associatePublicIPAddress" if machine.type == NODE_CLASS else "associatePublicIpAddress"
        yield from expect(_spec(machine), name, private, "false")


@resource_rule(
    id="no-secrets-in-user-data",
    title="No instance carries a secret in its user data",
    severity="critical",
    why="User data can be read by everyone who may describe the instance and by every process on it.",
    fix="read the secret from Secrets Manager at boot, as the instance's role; rotate the one that was here",
    types=MACHINES,
    good={"userData": "#!/bin/sh\necho starting"},
    bad={"userData": "#!/bin/sh\nexport DB_PASSWORD=correct-horse-battery"},
)
def no_secrets_in_user_data(machine: Resource, settings: Settings) -> Findings:
    """The text itself is never in the message."""
    spec = _spec(machine)
    encoded = machine.type in (INSTANCE, SPOT_REQUEST, LAUNCH_CONFIGURATION)
    for name in ("userData", "userDataBase64") if encoded else ("userData",):
        text = spec.get(name, "")
        if kind := kind_in_script(text) or kind_in_script(_decoded(text)):
            yield Finding(f"`{spec.where(name)}` looks like it holds {kind}")


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except (binascii.Error, ValueError):
        return ""


RULES = (imdsv2_required, imds_hop_limit, no_public_ip, no_secrets_in_user_data)
