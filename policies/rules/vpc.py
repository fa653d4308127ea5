"""VPCs and subnets: what enters, what is recorded."""

from typing import Any, Literal

from policies.resources import Resource, Stack
from policies.rule import Finding, Findings, Sample, Settings, expect, resource_rule, stack_rule
from policies.rules.eks_network import SUBNET
from policies.rules.security_groups import DEFAULT_GROUP

VPC = "aws:ec2/vpc:Vpc"
FLOW_LOG = "aws:ec2/flowLog:FlowLog"
EIP = "aws:ec2/eip:Eip"

_VPC = Sample(type=VPC, name="main", props={"cidrBlock": "10.0.0.0/16"})


def _in_vpc(type_: str, **props: Any) -> Sample:
    return Sample(type=type_, name="beside", props=props, refers_to={"vpcId": "main"})


@stack_rule(
    id="vpc-default-sg-closed",
    title="The VPC's default security group lets nothing through",
    severity="high",
    why="Whatever is started without a group gets the default one, which is open within itself.",
    fix="add an aws.ec2.DefaultSecurityGroup for the VPC without ingress and egress",
    types=[VPC],
    good=[_VPC, _in_vpc(DEFAULT_GROUP)],
    bad=[_VPC, _in_vpc(DEFAULT_GROUP, ingress=[{"protocol": "-1", "self": True}])],
)
def default_sg_closed(vpc: Resource, stack: Stack, settings: Settings) -> Findings:
    groups = stack.companions(vpc, DEFAULT_GROUP, "vpcId")
    if not groups:
        yield Finding("it has no DefaultSecurityGroup, so the default one keeps AWS's open rules")
    for group in groups:
        if group.items("ingress") or group.items("egress"):
            yield Finding(f"its default security group {group.name} has rules")


@stack_rule(
    id="vpc-flow-logs",
    title="The VPC records its connections",
    severity="medium",
    why="After an intrusion, flow logs tell who talked to whom.",
    fix="add an aws.ec2.FlowLog for the VPC with the environment's traffic type",
    types=[VPC],
    settings={"trafficTypes": list[Literal["ALL", "REJECT", "ACCEPT"]]},
    good=[_VPC, _in_vpc(FLOW_LOG, trafficType="ALL")],
    bad=[_VPC],
)
def flow_logs(vpc: Resource, stack: Stack, settings: Settings) -> Findings:
    """A log of rejected traffic costs a fraction of one of everything."""
    accepted = settings["trafficTypes"]
    logs = stack.companions(vpc, FLOW_LOG, "vpcId")
    if not logs:
        yield Finding("it has no FlowLog")
    for log in logs:
        yield from expect(log, "trafficType", lambda kind: kind in accepted, " or ".join(accepted))


@resource_rule(
    id="subnet-no-auto-public-ip",
    title="Subnets give no public addresses by themselves",
    severity="medium",
    why="Each public address is a way in and costs 3.65 USD a month.",
    fix="remove map_public_ip_on_launch",
    types=[SUBNET, "aws:ec2/defaultSubnet:DefaultSubnet"],
    good={"mapPublicIpOnLaunch": False},
    bad={"mapPublicIpOnLaunch": True},
)
def no_auto_public_ip(subnet: Resource, settings: Settings) -> Findings:
    yield from expect(subnet, "mapPublicIpOnLaunch", lambda value: value is not True, "false")


_EIP = Sample(type=EIP, name="nat", props={"domain": "vpc"})


@stack_rule(
    id="no-unattached-eip",
    title="Every public address is in use",
    severity="low",
    why="A public address costs 3.65 USD a month, used or not.",
    fix="attach the address to a NAT gateway or load balancer, or remove it",
    types=[EIP],
    good=[
        _EIP,
        Sample(type="aws:ec2/natGateway:NatGateway", name="a", props={}, refers_to={"allocationId": "nat"}),
    ],
    bad=[_EIP],
)
def no_unattached_eip(eip: Resource, stack: Stack, settings: Settings) -> Findings:
    if eip.has("instance") or eip.has("networkInterface"):
        return
    users = (urn for resource in stack.resources for urns in resource.references.values() for urn in urns)
    if eip.urn not in users:
        yield Finding("nothing in the stack uses it")


RULES = (default_sg_closed, flow_logs, no_auto_public_ip, no_unattached_eip)
