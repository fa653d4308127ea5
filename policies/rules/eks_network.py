"""The cluster's network: between pods, from nodes to the internet, and into nodes."""

import json
from collections.abc import Mapping

from policies.capacity import NODE_CLASS, NODE_GROUP
from policies.resources import Resource, Stack, Undecided
from policies.rule import Finding, Findings, Sample, Settings, resource_rule, stack_rule, unknown
from policies.rules.eks import CLUSTER

ADDON = "aws:eks/addon:Addon"
SUBNET = "aws:ec2/subnet:Subnet"
ROUTE = "aws:ec2/route:Route"
ROUTE_TABLE = "aws:ec2/routeTable:RouteTable"
INTERNET_GATEWAY = "aws:ec2/internetGateway:InternetGateway"
ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"

_CLUSTER = Sample(type=CLUSTER, name="main", props={"name": "main"})


def _cni(enabled: str) -> Sample:
    values = json.dumps({"enableNetworkPolicy": enabled})
    props = {"addonName": "vpc-cni", "configurationValues": values}
    return Sample(type=ADDON, props=props, refers_to={"clusterName": "main"})


@stack_rule(
    id="eks-cni-network-policy",
    title="The cluster enforces Kubernetes network policies",
    severity="medium",
    why="Without enforcement every pod talks to every other, whatever the network policies say.",
    fix='add the vpc-cni add-on with configuration_values {"enableNetworkPolicy": "true"}',
    types=[CLUSTER],
    good=[_CLUSTER, _cni("true")],
    bad=[_CLUSTER, _cni("false")],
)
def cni_network_policy(cluster: Resource, stack: Stack, settings: Settings) -> Findings:
    addons = stack.companions(cluster, ADDON, "clusterName")
    cni = [addon for addon in addons if addon.get("addonName") == "vpc-cni"]
    if not cni:
        yield Finding("it has no vpc-cni add-on")
    for addon in cni:
        try:
            values = json.loads(addon.get("configurationValues", "{}"))
        except ValueError:
            yield Finding(f"`configurationValues` of {addon.name} is not JSON")
            continue
        if str(values.get("enableNetworkPolicy")).lower() != "true":
            yield Finding(f'`configurationValues` of {addon.name} lacks "enableNetworkPolicy": "true"')


def _subnet(public: bool) -> Sample:
    return Sample(type=SUBNET, name="private-a", props={"mapPublicIpOnLaunch": public})


_NODES = Sample(type=NODE_GROUP, name="system", props={}, refers_to={"subnetIds": "private-a"})


@stack_rule(
    id="eks-nodes-private-subnets",
    title="Nodes and the cluster's interfaces are in private subnets",
    severity="high",
    why="A node in a public subnet is one security group away from the internet.",
    fix="use subnets without an internet gateway's route and without automatic public addresses",
    types=[NODE_GROUP, CLUSTER, NODE_CLASS],
    good=[_subnet(False), _NODES],
    bad=[_subnet(True), _NODES],
)
def nodes_private_subnets(resource: Resource, stack: Stack, settings: Settings) -> Findings:
    for subnet in stack.of(SUBNET):
        try:
            if _placed_in(resource, subnet) and (why := _public(subnet, stack)):
                yield Finding(f"its subnet {subnet.name} is public: {why}")
        except Undecided as undecided:
            yield unknown(undecided)


def _placed_in(resource: Resource, subnet: Resource) -> bool:
    """Node classes choose subnets by their tags."""
    if resource.type == NODE_CLASS:
        tags = subnet.get("tags", {})
        return any(
            part.has("tags") and all(_tagged(tags, key, value) for key, value in part.get("tags").items())
            for part in resource.parts("spec.subnetSelectorTerms")
        )
    prop = "subnetIds" if resource.type == NODE_GROUP else "vpcConfig.subnetIds"
    placed = resource.refers(prop, subnet)
    if placed is None:
        raise Undecided(prop)
    return placed


def _tagged(tags: Mapping[str, str], key: str, value: str) -> bool:
    return key in tags if value == "*" else tags.get(key) == value


def _public(subnet: Resource, stack: Stack) -> str:
    """What makes a subnet public; empty for a private one."""
    if subnet.get("mapPublicIpOnLaunch"):
        return "it gives instances public addresses"
    for association in stack.companions(subnet, ASSOCIATION, "subnetId"):
        for table in stack.of(ROUTE_TABLE):
            if association.refers("routeTableId", table) and _reaches_internet(table, stack):
                return f"{table.name} routes to an internet gateway"
    return ""


def _reaches_internet(table: Resource, stack: Stack) -> bool:
    """By a gateway of this stack, or by the id of another."""
    routes = stack.companions(table, ROUTE, "routeTableId")
    for gateway in stack.of(INTERNET_GATEWAY):
        if table.refers("routes", gateway) or any(route.refers("gatewayId", gateway) for route in routes):
            return True
    parts = [*table.parts("routes"), *(route.part for route in routes)]
    return any(str(part.get("gatewayId")).startswith("igw-") for part in parts)


@resource_rule(
    id="eks-nodegroup-no-open-ssh",
    title="No node group opens SSH to everyone",
    severity="high",
    why="A key without source security groups opens port 22 of every node to 0.0.0.0/0.",
    fix="leave remote_access out and use Session Manager, or name source_security_group_ids",
    types=[NODE_GROUP],
    good={"instanceTypes": ["m7g.large"]},
    bad={"remoteAccess": {"ec2SshKey": "operators"}},
)
def nodegroup_no_open_ssh(group: Resource, settings: Settings) -> Findings:
    if group.has("remoteAccess.ec2SshKey") and not group.items("remoteAccess.sourceSecurityGroupIds"):
        yield Finding("`remoteAccess` has a key and no `sourceSecurityGroupIds`")


RULES = (cni_network_policy, nodes_private_subnets, nodegroup_no_open_ssh)
