"""Physical names as Pulumi's AWS provider gives them: `<logical name>-<7 hex digits>`.

The provider's own table (pulumi-aws `provider/resources.go`) names the property and its longest length for
each type; a type that is not listed here follows its default: property `name`, 255 characters.
"""

import hashlib
from dataclasses import dataclass

from local_aws.sdk_types import ResourceType

_DIGITS = 7


@dataclass(frozen=True)
class Naming:
    """How a type is named. `form` holds `{name}` and, where names must be unique, `{random}`."""

    property: str = "name"
    longest: int = 255
    lower: bool = False
    form: str = "{name}-{random}"


_NAMINGS = {
    "aws:apigateway/stage:Stage": None,
    "aws:cloudwatch/eventRule:EventRule": Naming(longest=64),
    "aws:cloudwatch/eventTarget:EventTarget": Naming("targetId", 64),
    "aws:cloudwatch/logGroup:LogGroup": Naming(longest=512),
    "aws:cognito/resourceServer:ResourceServer": Naming(),
    "aws:ecr/repository:Repository": Naming(longest=255, lower=True),
    "aws:eks/cluster:Cluster": Naming(longest=100),
    "aws:iam/instanceProfile:InstanceProfile": Naming(longest=128),
    "aws:iam/policy:Policy": Naming(longest=128),
    "aws:iam/role:Role": Naming(longest=64),
    "aws:kms/alias:Alias": Naming(form="alias/{name}-{random}"),
    "aws:lambda/function:Function": Naming(longest=64),
    "aws:lambda/permission:Permission": Naming("statementId", 100),
    "aws:lb/loadBalancer:LoadBalancer": Naming(longest=32),
    "aws:lb/targetGroup:TargetGroup": Naming(longest=32),
    "aws:s3/bucket:Bucket": Naming("bucket", 63, lower=True),
    "aws:s3/bucketObject:BucketObject": Naming("key", 1024, form="{name}"),
    "aws:s3/bucketObjectv2:BucketObjectv2": Naming("key", 1024, form="{name}"),
    "aws:sfn/stateMachine:StateMachine": Naming(longest=80),
    "aws:sns/topic:Topic": Naming(longest=256),
    "aws:sqs/queue:Queue": Naming(longest=80),
}


class NameTooLong(ValueError):
    """The logical name leaves no room for the random part."""


def naming(kind: ResourceType) -> Naming | None:
    """How the type is named; None where the program names it, or nothing does."""
    if kind.token in _NAMINGS:
        return _NAMINGS[kind.token]
    name = kind.inputs.get("name")
    return Naming() if name is not None and name.kind == "str" and name.optional else None


def automatic_name(rule: Naming, logical: str, seed: bytes, suffix: str = "") -> str:
    """A name for a new resource: the same one for the same seed, which the engine draws for each attempt.

    `suffix` ends the name where AWS demands one (`.fifo`).

    Raises:
        NameTooLong: with what to do.
    """
    random = hashlib.sha256(seed + logical.encode()).hexdigest()[:_DIGITS]
    name = rule.form.format(name=logical.lower() if rule.lower else logical, random=random) + suffix
    if len(name) > rule.longest:
        raise NameTooLong(
            f"the automatic name {name!r} has {len(name)} characters and at most {rule.longest} are allowed; "
            f"shorten the resource's name or set {rule.property}"
        )
    return name


def is_automatic(rule: Naming, logical: str, name: str) -> bool:
    """Whether the name is one that `automatic_name` gave: such a name stays when a program leaves it out."""
    start, _, end = rule.form.partition("{random}")
    start = start.format(name=logical.lower() if rule.lower else logical)
    middle = name.removeprefix(start).removesuffix(".fifo")
    return name.startswith(start) and (not end) and (middle == "" or _is_hex(middle))


def _is_hex(text: str) -> bool:
    return len(text) == _DIGITS and set(text) <= set("0123456789abcdef")
