"""How traffic leaves the VPC: NAT gateways and endpoints, most of what a quiet network costs."""

from typing import Annotated

from pydantic import Field

from policies.resources import STACK, Resource, Stack
from policies.rule import Finding, Findings, Sample, Settings, stack_rule
from policies.rules.eks_network import ROUTE, ROUTE_TABLE, SUBNET
from policies.rules.vpc import VPC

NAT = "aws:ec2/natGateway:NatGateway"
ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
TABLE = "aws:dynamodb/table:Table"
Count = Annotated[int, Field(ge=0)]

_STACK = Sample(type=STACK, name="stack", props={})
_VPC = Sample(type=VPC, name="main", props={"cidrBlock": "10.0.0.0/16"})
_TABLE = Sample(type=ROUTE_TABLE, name="private", props={}, refers_to={"vpcId": "main"})


def _nat(name: str = "nat") -> Sample:
    return Sample(type=NAT, name=name, props={"connectivityType": "public"})


def _gateway(**refers_to: str) -> Sample:
    props = {"serviceName": "com.amazonaws.us-east-1.s3", "vpcEndpointType": "Gateway"}
    return Sample(type=ENDPOINT, name="s3", props=props, refers_to={"vpcId": "main", **refers_to})


def zones(stack: Stack) -> int:
    """Availability zones that the stack's subnets are in."""
    found = {
        subnet.get("availabilityZone") or subnet.get("availabilityZoneId") for subnet in stack.of(SUBNET)
    }
    return len(found - {None})


@stack_rule(
    id="nat-gateway-count",
    title="The number of NAT gateways is the one that the environment pays for",
    severity="high",
    why="A NAT gateway costs 32.85 USD a month and 0.045 USD per GB; one for all zones falls with its zone.",
    fix="have one for each zone in production, at most one elsewhere, or none with endpoints",
    types=[STACK],
    settings={"maxPerStack": Count, "onePerZone": bool},
    good=[_STACK, _nat()],
    bad=[_STACK, *[_nat(f"nat-{number}") for number in range(9)]],
)
def nat_gateway_count(stack_resource: Resource, stack: Stack, settings: Settings) -> Findings:
    """A regional gateway counts, and is billed, once for each zone. A VPC without NAT needs none."""
    gateways = stack.of(NAT)
    regional = [each for each in gateways if each.get("availabilityMode") == "regional"]
    count = len(gateways) - len(regional) + len(regional) * max(zones(stack), 1)
    if count > settings["maxPerStack"]:
        yield Finding(f"it has {count} NAT gateways; the environment allows {settings['maxPerStack']}")
    elif settings["onePerZone"] and gateways and count < zones(stack):
        yield Finding(f"it has {count} NAT gateways for {zones(stack)} zones")


@stack_rule(
    id="gateway-endpoints-s3-ddb",
    title="Traffic to S3 and DynamoDB does not go through a NAT gateway",
    severity="high",
    why="Model weights come from S3: a gigabyte costs 0.045 USD through NAT, nothing through the endpoint.",
    fix="add a Gateway VpcEndpoint for the service with the private route tables",
    types=[VPC],
    good=[_VPC, _nat(), _TABLE, _gateway(routeTableIds="private")],
    bad=[_VPC, _nat(), _TABLE],
)
def gateway_endpoints(vpc: Resource, stack: Stack, settings: Settings) -> Findings:
    if not stack.of(NAT):
        return
    endpoints = [each for each in stack.companions(vpc, ENDPOINT, "vpcId") if _is_gateway(each)]
    for service in ("s3", "dynamodb") if stack.of(TABLE) else ("s3",):
        serving = [each for each in endpoints if _serves(each, service)]
        if not serving:
            yield Finding(f"it has a NAT gateway and no gateway endpoint for {service}")
        for endpoint in serving:
            for table in stack.companions(vpc, ROUTE_TABLE, "vpcId"):
                if _through_nat(table, stack) and not endpoint.refers("routeTableIds", table):
                    yield Finding(f"its endpoint for {service} is not in route table {table.name}")


def _through_nat(table: Resource, stack: Stack) -> bool:
    routes = stack.companions(table, ROUTE, "routeTableId")
    return any(
        table.refers("routes", nat) or any(route.refers("natGatewayId", nat) for route in routes)
        for nat in stack.of(NAT)
    )


def _is_gateway(endpoint: Resource) -> bool:
    return bool(endpoint.get("vpcEndpointType", "Gateway") == "Gateway")


def _serves(endpoint: Resource, service: str) -> bool:
    return str(endpoint.get("serviceName", "")).endswith(f".{service}")


def _interface(service: str, subnets: int = 1) -> Sample:
    props = {
        "serviceName": f"com.amazonaws.us-east-1.{service}",
        "vpcEndpointType": "Interface",
        "subnetIds": [f"subnet-{number}" for number in range(subnets)],
    }
    return Sample(type=ENDPOINT, name=service, props=props, refers_to={"vpcId": "main"})


@stack_rule(
    id="interface-endpoint-budget",
    title="Interface endpoints stay within the environment's number",
    severity="medium",
    why="An interface endpoint costs 7.30 USD a month in each zone, used or not.",
    fix="remove endpoints that the workloads do not call, or use fewer zones",
    types=[STACK],
    settings={"maxEndpointZones": Count},
    good=[_STACK, _VPC, _interface("ecr.api", 3)],
    bad=[_STACK, _VPC, *[_interface(f"service-{number}", 3) for number in range(40)]],
)
def interface_endpoint_budget(stack_resource: Resource, stack: Stack, settings: Settings) -> Findings:
    """Endpoints times zones. A list of subnets that is unknown still has as many as it refers to."""
    total = 0
    for endpoint in stack.of(ENDPOINT):
        if not _is_gateway(endpoint):
            referred = len(endpoint.references.get("subnetIds", ()))
            total += referred or len(endpoint.items("subnetIds"))
    if total > settings["maxEndpointZones"]:
        most = settings["maxEndpointZones"]
        yield Finding(f"its interface endpoints are in {total} subnets together; at most {most} are allowed")


@stack_rule(
    id="private-endpoints-prod",
    title="The services that workloads call are reached without the internet",
    severity="medium",
    why="Images, tokens and logs would leave the VPC, and a NAT outage would stop every start of a pod.",
    fix="add an Interface VpcEndpoint for each missing service",
    types=[VPC],
    settings={"services": list[str]},
    good=[_VPC, *map(_interface, ("ecr.api", "ecr.dkr", "sts", "logs", "sagemaker.runtime"))],
    bad=[_VPC, _interface("ecr.api")],
)
def private_endpoints(vpc: Resource, stack: Stack, settings: Settings) -> Findings:
    endpoints = stack.companions(vpc, ENDPOINT, "vpcId")
    missing = [
        service for service in settings["services"] if not any(_serves(each, service) for each in endpoints)
    ]
    if missing:
        yield Finding(f"it has no endpoint for {', '.join(missing)}")


RULES = (nat_gateway_count, gateway_endpoints, interface_endpoint_budget, private_endpoints)
