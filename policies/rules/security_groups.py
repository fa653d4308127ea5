"""Security groups, whose rules stand in resources of their own or inline, in three different forms."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from policies.resources import UNKNOWN, Part, Resource, Undecided
from policies.rule import Finding, Findings, Settings, is_set, resource_rule

GROUP = "aws:ec2/securityGroup:SecurityGroup"
GROUP_RULE = "aws:ec2/securityGroupRule:SecurityGroupRule"
INGRESS_RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS_RULE = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
DEFAULT_GROUP = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"

_EVERYWHERE = ("0.0.0.0/0", "::/0")
_STANDALONE = (INGRESS_RULE, EGRESS_RULE)


@dataclass(frozen=True)
class Traffic:
    """A rule in whichever form it stands."""

    part: Part
    networks: Sequence[Any]
    protocol: Any
    ports: tuple[Any, Any]

    def everywhere(self) -> bool:
        return any(network in _EVERYWHERE for network in self.networks)

    def unknown(self) -> bool:
        return UNKNOWN in self.networks


def traffic(resource: Resource, direction: str) -> Iterator[Traffic]:
    """The rules of one direction (`ingress` or `egress`) that the resource holds."""
    standalone = resource.type in _STANDALONE
    cidrs = ("cidrIpv4", "cidrIpv6") if standalone else ("cidrBlocks", "ipv6CidrBlocks")
    for part in _rules(resource, direction):
        yield Traffic(
            part,
            _networks(part, cidrs),
            part.get("ipProtocol" if standalone else "protocol"),
            (part.get("fromPort", "all"), part.get("toPort", "all")),
        )


def _networks(part: Part, names: Sequence[str]) -> Sequence[Any]:
    """One that is unknown must not hide the next rule."""
    try:
        return [cidr for name in names for cidr in part.items(name)]
    except Undecided:
        return [UNKNOWN]


def _rules(resource: Resource, direction: str) -> Iterator[Part]:
    if resource.type in (GROUP, DEFAULT_GROUP):
        yield from resource.parts(direction)
    elif resource.type == GROUP_RULE:
        if resource.get("type") == direction:
            yield resource.part
    elif resource.type == (INGRESS_RULE if direction == "ingress" else EGRESS_RULE):
        yield resource.part


@resource_rule(
    id="sg-no-world-ingress",
    title="No port is open to the whole internet, but HTTPS where the platform's edge is",
    severity="critical",
    why="Every open port is found by scanners within minutes.",
    fix="name the networks or the security groups that may connect",
    types=[INGRESS_RULE, GROUP_RULE, GROUP, DEFAULT_GROUP],
    good={"cidrIpv4": "10.0.0.0/16", "ipProtocol": "tcp", "fromPort": 8080, "toPort": 8080},
    bad={"cidrIpv4": "0.0.0.0/0", "ipProtocol": "tcp", "fromPort": 22, "toPort": 22},
)
def no_world_ingress(resource: Resource, settings: Settings) -> Findings:
    """The edge says so itself: tag `exposure` = `edge` on the group, or on the rule that stands alone."""
    edge = resource.type != GROUP_RULE and resource.get("tags.exposure") == "edge"
    for rule in traffic(resource, "ingress"):
        if rule.everywhere() and not (edge and rule.ports == (443, 443)):
            first, last = rule.ports
            yield Finding(f"{rule.part.path or 'the rule'} opens ports {first} to {last} to everyone")
        elif rule.unknown():
            yield Finding("the rule's networks are not known yet", undecided=True)


@resource_rule(
    id="sg-restricted-egress",
    title="Workloads reach what they need and not everything",
    severity="medium",
    why="Whoever breaks into a model server can send weights and inputs anywhere.",
    fix="allow the ports and networks, prefix lists or security groups that are needed",
    types=[EGRESS_RULE, GROUP_RULE, GROUP, DEFAULT_GROUP],
    good={"cidrIpv4": "10.0.0.0/16", "ipProtocol": "tcp", "fromPort": 443, "toPort": 443},
    bad={"cidrIpv4": "0.0.0.0/0", "ipProtocol": "-1"},
)
def restricted_egress(resource: Resource, settings: Settings) -> Findings:
    for rule in traffic(resource, "egress"):
        if rule.protocol in ("-1", -1, "all") and rule.everywhere():
            yield Finding("every protocol to everywhere is allowed")
        elif rule.unknown():
            yield Finding("the rule's networks are not known yet", undecided=True)


@resource_rule(
    id="sg-described",
    title="Security groups and their rules say what they are for",
    severity="low",
    why="A rule that nobody can explain is never removed.",
    fix="set a description on the group and on every rule",
    types=[INGRESS_RULE, EGRESS_RULE, GROUP_RULE, GROUP],
    good={"description": "router to model servers"},
    bad={},
)
def described(resource: Resource, settings: Settings) -> Findings:
    default = "Managed by Pulumi"  # what the provider writes where nothing is said
    parts = [resource.part]
    if resource.type == GROUP:
        parts += [*_rules(resource, "ingress"), *_rules(resource, "egress")]
    for part in parts:
        if not is_set(text := part.get("description")) or text == default:
            yield Finding(f"`{part.where('description')}` is not set")


RULES = (no_world_ingress, restricted_egress, described)
