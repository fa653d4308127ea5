"""Prices of the network: gateways, addresses, endpoints, load balancers."""

from collections.abc import Iterator, Mapping

from cost.lines import Line, Plan, Pricer
from cost.resources import Resource


def _nat(resource: Resource, plan: Plan) -> Iterator[Line]:
    fix = "network.nat: single is one gateway, none is none (with endpoints and the image cache)"
    yield plan.hours(resource, "nat.hour", "NAT gateway", fix=fix)
    gigabytes = plan.part(plan.load.nat_gb, resource)
    yield plan.usage(resource, "nat.gb", "NAT data", gigabytes, "load.nat_gb over all gateways")


def _address(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield plan.hours(resource, "ipv4.hour", "public IPv4 address", fix="it goes with its NAT gateway")


def _endpoint(resource: Resource, plan: Plan) -> Iterator[Line]:
    if resource.get("vpcEndpointType", "Gateway") == "Gateway":
        return  # no charge: https://docs.aws.amazon.com/vpc/latest/privatelink/gateway-endpoints.html
    zones = max(len(resource.items("subnetIds")), len(resource.items("subnetConfigurations")), 1)
    fix = "fewer of network.interface_endpoints, or network.interface_endpoint_zones: 1"
    yield plan.hours(resource, "endpoint.hour", "interface endpoint by zone", zones, fix)
    paid = [each for each in plan.of(resource.type) if each.get("vpcEndpointType", "Gateway") != "Gateway"]
    why = "load.endpoint_gb over all interface endpoints"
    yield plan.usage(resource, "endpoint.gb", "endpoint data", plan.load.endpoint_gb / len(paid), why)


def _balancer(resource: Resource, plan: Plan) -> Iterator[Line]:
    network = resource.get("loadBalancerType", "application") == "network"
    yield plan.hours(resource, "balancer.hour", "load balancer")
    # One capacity unit takes 1 GB an hour: https://aws.amazon.com/elasticloadbalancing/pricing/
    unit = "balancer.nlcu" if network else "balancer.lcu"
    gigabytes = plan.part(plan.load.balancer_gb, resource)
    yield plan.usage(resource, unit, "capacity units", gigabytes, "load.balancer_gb, 1 GB each")


def _zone(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield plan.month(resource, "dns.zone", "hosted zone")


PRICERS: Mapping[str, Pricer] = {
    "aws:ec2/natGateway:NatGateway": _nat,
    "aws:ec2/eip:Eip": _address,
    "aws:ec2/vpcEndpoint:VpcEndpoint": _endpoint,
    "aws:lb/loadBalancer:LoadBalancer": _balancer,
    "aws:route53/zone:Zone": _zone,
}
