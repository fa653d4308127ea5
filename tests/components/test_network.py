"""The VPC: what can reach what, per NAT strategy, and what is recorded of it."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from components.address_plan import AddressPlanInvalid
from components.network import NatStrategy, Network, NetworkArgs
from components.tags import Tags
from naming import Names
from tests.components.recorded import Recorded, deployed

NAMES = Names(platform="inference-platform", environment="dev", account_id="111111111111", region="eu-west-1")
TAGS = Tags(platform="inference-platform", environment="dev", owner="team", cost_center="ml")
SUBNET, ROUTE, ROUTE_TABLE = (
    "aws:ec2/subnet:Subnet",
    "aws:ec2/route:Route",
    "aws:ec2/routeTable:RouteTable",
)
NAT_GATEWAY, ENDPOINT = "aws:ec2/natGateway:NatGateway", "aws:ec2/vpcEndpoint:VpcEndpoint"


def network(**more: Any) -> Recorded:
    args = {
        "names": NAMES,
        "tags": TAGS,
        "cluster_name": "inference-platform-dev",
        "logs_key_arn": "arn:aws:kms:eu-west-1:111111111111:key/logs",
        "cidr": "10.20.0.0/16",
        "zones": ("a", "b", "c"),
        **more,
    }
    return deployed(lambda: Network("network", NetworkArgs(**args)))


def subnets_of_tier(recorded: Recorded, tier: str) -> list[str]:
    """Ids, zone by zone."""
    return sorted(f"{s.name}-id" for s in recorded.all(SUBNET) if s.name.startswith(f"network-{tier}-"))


def routes_of(recorded: Recorded, subnet_id: str) -> dict[str, str]:
    """Destination -> target of the routes that hold for a subnet, beside the local one."""
    [table] = [
        a.inputs["routeTableId"]
        for a in recorded.all("aws:ec2/routeTableAssociation:RouteTableAssociation")
        if a.inputs["subnetId"] == subnet_id
    ]
    return {
        route.inputs["destinationCidrBlock"]: route.inputs.get("gatewayId") or route.inputs["natGatewayId"]
        for route in recorded.all(ROUTE)
        if route.inputs["routeTableId"] == table
    }


def test_subnets_stand_in_the_named_zones_and_give_out_no_public_address() -> None:
    recorded = network(zones=("b", "d"))
    subnets = recorded.all(SUBNET)
    assert len(subnets) == 6
    assert {s.inputs["availabilityZone"] for s in subnets} == {"eu-west-1b", "eu-west-1d"}
    assert not any(s.inputs["mapPublicIpOnLaunch"] for s in subnets)


def test_controllers_find_their_subnets_by_tag() -> None:
    tags = {s.name: s.inputs["tags"] for s in network().all(SUBNET)}
    assert all(
        ("karpenter.sh/discovery" in found) == name.startswith("network-private-")
        and ("kubernetes.io/role/internal-elb" in found) == name.startswith("network-intra-")
        and ("kubernetes.io/role/elb" in found) == name.startswith("network-public-")
        for name, found in tags.items()
    )
    assert tags["network-private-a"]["karpenter.sh/discovery"] == "inference-platform-dev"


@pytest.mark.parametrize(
    ("nat", "gateways", "targets"),
    [
        (NatStrategy.NONE, [], [{}, {}, {}]),
        (NatStrategy.SINGLE, ["a"], [{"0.0.0.0/0": "network-nat-a-id"}] * 3),
        (
            NatStrategy.ONE_PER_AZ,
            ["a", "b", "c"],
            [{"0.0.0.0/0": f"network-nat-{zone}-id"} for zone in "abc"],
        ),
    ],
)
def test_private_subnets_leave_through_the_gateways_of_the_strategy(
    nat: NatStrategy, gateways: Sequence[str], targets: Sequence[dict[str, str]]
) -> None:
    recorded = network(nat=nat)
    assert sorted(g.inputs["subnetId"] for g in recorded.all(NAT_GATEWAY)) == [
        f"network-public-{zone}-id" for zone in gateways
    ]
    assert len(recorded.all("aws:ec2/eip:Eip")) == len(gateways)
    assert [routes_of(recorded, subnet) for subnet in subnets_of_tier(recorded, "private")] == targets


def test_intra_subnets_have_no_way_out_and_public_ones_the_internet_gateway() -> None:
    recorded = network(nat=NatStrategy.ONE_PER_AZ)
    assert [routes_of(recorded, subnet) for subnet in subnets_of_tier(recorded, "intra")] == [{}] * 3
    assert [routes_of(recorded, subnet) for subnet in subnets_of_tier(recorded, "public")] == [
        {"0.0.0.0/0": "network-internet-gateway-id"}
    ] * 3


@pytest.mark.parametrize("nat", NatStrategy)
def test_gateway_endpoints_are_on_every_table_but_the_public_one(nat: NatStrategy) -> None:
    recorded = network(nat=nat)
    tables = {f"{t.name}-id" for t in recorded.all(ROUTE_TABLE)} - {"network-public-routes-id"}
    assert len(tables) == 4
    gateways = {
        e.inputs["serviceName"]: set(e.inputs["routeTableIds"])
        for e in recorded.all(ENDPOINT)
        if e.inputs["vpcEndpointType"] == "Gateway"
    }
    assert gateways == {"com.amazonaws.eu-west-1.s3": tables, "com.amazonaws.eu-west-1.dynamodb": tables}


def test_gateway_endpoints_lead_to_this_account_and_to_image_layers_only() -> None:
    policies = {
        e.inputs["serviceName"].rsplit(".", 1)[-1]: json.loads(e.inputs["policy"])["Statement"]
        for e in network().all(ENDPOINT)
    }
    own = {"StringEquals": {"aws:PrincipalAccount": "111111111111", "aws:ResourceAccount": "111111111111"}}
    open_statements = [
        statement
        for statements in policies.values()
        for statement in statements
        if statement.get("Condition") != own
    ]
    [layers] = open_statements
    assert layers["Action"] == ["s3:GetObject"]
    assert layers["Resource"] == ["arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/*"]


def test_interface_endpoints_stand_in_as_many_zones_as_asked_and_answer_the_vpc_only() -> None:
    recorded = network(interface_endpoints=("ecr.api", "sts"), interface_endpoint_zones=2)
    interfaces = [e for e in recorded.all(ENDPOINT) if e.inputs["vpcEndpointType"] == "Interface"]
    assert {e.inputs["serviceName"] for e in interfaces} == {
        "com.amazonaws.eu-west-1.ecr.api",
        "com.amazonaws.eu-west-1.sts",
    }
    for endpoint in interfaces:
        assert endpoint.inputs["privateDnsEnabled"] is True
        assert endpoint.inputs["subnetIds"] == ["network-intra-a-id", "network-intra-b-id"]
        assert endpoint.inputs["securityGroupIds"] == ["network-endpoints-security-group-id"]
    rule = recorded.one("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule").inputs
    assert (rule["cidrIpv4"], rule["ipProtocol"], rule["fromPort"], rule["toPort"]) == (
        "10.20.0.0/16",
        "tcp",
        443,
        443,
    )
    assert not recorded.all("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")


def test_without_interface_endpoints_there_is_no_security_group_for_them() -> None:
    assert not network().all("aws:ec2/securityGroup:SecurityGroup")


def test_the_default_security_group_is_closed() -> None:
    group = network().one("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup").inputs
    assert group["vpcId"] == "network-vpc-id"
    assert not group.get("ingress")
    assert not group.get("egress")


@pytest.mark.parametrize("kept", ["ALL", "REJECT"])
def test_the_flow_log_writes_what_is_asked_to_its_own_encrypted_group(kept: str) -> None:
    recorded = network(flow_logs=kept, log_retention_days=90)
    group = recorded.one("aws:cloudwatch/logGroup:LogGroup").inputs
    assert group["name"] == "/aws/vpc/inference-platform-dev/flow-logs"
    assert group["kmsKeyId"] == "arn:aws:kms:eu-west-1:111111111111:key/logs"
    assert group["retentionInDays"] == 90
    log = recorded.one("aws:ec2/flowLog:FlowLog").inputs
    assert (log["vpcId"], log["trafficType"]) == ("network-vpc-id", kept)
    policy = json.loads(recorded.one("aws:iam/rolePolicy:RolePolicy").inputs["policy"])
    arn = "arn:aws:logs:eu-west-1:111111111111:log-group:/aws/vpc/inference-platform-dev/flow-logs"
    writes = [s for s in policy["Statement"] if "logs:PutLogEvents" in s["Action"]]
    assert [s["Resource"] for s in writes] == [[arn, f"{arn}:*"]]


def test_a_range_that_does_not_fit_is_refused_before_anything_is_made() -> None:
    with pytest.raises(AddressPlanInvalid, match=r"10\.20\.0\.0/24 does not fit"):
        network(cidr="10.20.0.0/24")
