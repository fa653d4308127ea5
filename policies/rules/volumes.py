"""EBS volumes, on their own and as they are described for instances."""

import math
import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from policies.capacity import INSTANCE, LAUNCH_TEMPLATE, NODE_CLASS
from policies.resources import STACK, Part, Resource, Stack
from policies.rule import Finding, Findings, Sample, Settings, expect, resource_rule, stack_rule
from policies.rules.nodes import LAUNCH_CONFIGURATION, SPOT_REQUEST

VOLUME = "aws:ebs/volume:Volume"
ENCRYPTION_BY_DEFAULT = "aws:ebs/encryptionByDefault:EncryptionByDefault"
DESCRIBED = (VOLUME, LAUNCH_TEMPLATE, INSTANCE, SPOT_REQUEST, LAUNCH_CONFIGURATION, NODE_CLASS)

# Resource type -> lists of volumes. Launch templates and node classes have a volume's settings under `ebs`.
_LISTS = {
    LAUNCH_TEMPLATE: ("blockDeviceMappings",),
    NODE_CLASS: ("spec.blockDeviceMappings",),
    INSTANCE: ("rootBlockDevice", "ebsBlockDevices"),
    SPOT_REQUEST: ("rootBlockDevice", "ebsBlockDevices"),
    LAUNCH_CONFIGURATION: ("rootBlockDevice", "ebsBlockDevices"),
}


def volumes(resource: Resource) -> Iterator[Part]:
    """The volumes that a resource describes."""
    if resource.type == VOLUME:
        yield resource.part
    for path in _LISTS.get(resource.type, ()):
        for part in resource.parts(path):
            if resource.type not in (LAUNCH_TEMPLATE, NODE_CLASS):
                yield part
            elif part.has("ebs"):
                yield part.child("ebs")


def _true(value: Any) -> bool:
    return str(value).lower() == "true"  # a launch template has text here


@resource_rule(
    id="ebs-encrypted",
    title="Every volume is encrypted",
    severity="high",
    why="A snapshot of an unencrypted volume can be shared, copied and read.",
    fix="set encrypted=True",
    types=DESCRIBED,
    good={"size": 100, "type": "gp3", "encrypted": True},
    bad={"size": 100, "type": "gp3"},
    remedy=lambda resource, settings: [
        volume.patch({"encrypted": "true" if resource.type == LAUNCH_TEMPLATE else True})
        for volume in volumes(resource)
    ],
)
def encrypted(resource: Resource, settings: Settings) -> Findings:
    for volume in volumes(resource):
        yield from expect(volume, "encrypted", _true, "true")


@stack_rule(
    id="ebs-encryption-by-default",
    title="The account encrypts new volumes unless told otherwise",
    severity="medium",
    why="It covers the volumes that no template describes, such as an image's own.",
    fix="create one aws.ebs.EncryptionByDefault in the stack that owns the account's baseline",
    types=[STACK],
    good=[
        Sample(type=INSTANCE, props={}),
        Sample(type=ENCRYPTION_BY_DEFAULT, props={"enabled": True}, name="default"),
    ],
    bad=[Sample(type=STACK, props={}, name="stack"), Sample(type=INSTANCE, props={})],
)
def encryption_by_default(resource: Resource, stack: Stack, settings: Settings) -> Findings:
    """A stack without instances has no volumes to encrypt."""
    defaults = stack.of(ENCRYPTION_BY_DEFAULT)
    if not defaults and stack.of(*DESCRIBED):
        yield Finding("it has instances or volumes and no EncryptionByDefault")
    if len(defaults) > 1:
        yield Finding(f"{len(defaults)} EncryptionByDefault set one account's switch")
    for default in defaults:
        yield from expect(default, "enabled", lambda value: value is not False, "true")


_OLD = ("gp2", "io1", "standard")


def _type_name(resource: Resource) -> str:
    return "type" if resource.type == VOLUME else "volumeType"


@resource_rule(
    id="gp3-over-gp2",
    title="Volumes are of the current generation",
    severity="low",
    why="gp3 costs 20 % less than gp2 and is faster.",
    fix='set the volume type to "gp3"',
    types=DESCRIBED,
    good={"size": 100, "type": "gp3"},
    bad={"size": 100},
    remedy=lambda resource, settings: [
        volume.patch({_type_name(resource): "gp3"}) for volume in volumes(resource)
    ],
)
def gp3_over_gp2(resource: Resource, settings: Settings) -> Findings:
    """A volume on its own is gp2 unless told otherwise; where it belongs to an image, the image says."""
    old = (*_OLD, None) if resource.type == VOLUME else _OLD
    for volume in volumes(resource):
        yield from expect(volume, _type_name(resource), lambda kind: kind not in old, "gp3")


@resource_rule(
    id="ebs-size-cap",
    title="No volume is larger than the environment allows",
    severity="low",
    why="Each 100 GiB costs 8 USD a month on every node, used or not.",
    fix="make the volume smaller, or keep large model files on the instance store",
    types=DESCRIBED,
    settings={"maxGib": Annotated[int, Field(ge=1)]},
    good={"size": 100},
    bad={"size": 16000},
)
def size_cap(resource: Resource, settings: Settings) -> Findings:
    name, most = "size" if resource.type == VOLUME else "volumeSize", settings["maxGib"]
    for volume in volumes(resource):
        yield from expect(volume, name, lambda size: _gib(size) <= most, f"{most} GiB at most")


_UNITS = {"M": 1 / 1024, "G": 1, "T": 1024, "": 1}


def _gib(size: Any) -> float:
    """A number of GiB, or a quantity such as 100Gi in a node class. No size is the image's own."""
    quantity = re.fullmatch(r"([\d.]+)([MGT]?)i?", str(size or 0))
    return float(quantity[1]) * _UNITS[quantity[2]] if quantity else math.inf


RULES = (encrypted, encryption_by_default, gp3_over_gp2, size_cap)
