"""VPC: network, routes, endpoints, security groups, flow logs."""

from typing import Any

from botocore import xform_name

from local_aws.tables.form import Call, Run, Step, Type, call, held, step
from local_aws.values import Props


def _type(owner: str, resource: str, **more: Any) -> tuple[str, Type]:
    """A type of EC2, whose operations and ids are named after it; `resource` is what its ARN calls it."""
    noun, module = xform_name(owner), more.pop("module", "ec2")
    one: Props = {f"{owner}Ids": ["{id}"]}
    given: Props = {
        "id": f"{{{owner}Id}}",
        "create": f"create_{noun}",
        "read": call(f"describe_{noun}s", f"{owner}s[0]", **one),
        "delete": f"delete_{noun}",
        "made": owner,
        "tag": call("create_tags", Resources=["{id}"]),
        "untag": call("delete_tags", Resources=["{id}"]),
    }
    arn = {"arn": f"arn:aws:ec2:{{region}}:{{account}}:{resource}/{{id}}"}
    return held(f"{module}:{owner}", "ec2", **given | more | {"outputs": arn | more.get("outputs", {})})


def _attributes(operation: str, names: str) -> Step:
    """Settings that EC2 takes one at a time, each as {"Value": …}."""
    key = operation.split("_")[1].capitalize() + "Id"

    def act(run: Run, state: Props, old: Props) -> None:
        for name in names.split():
            if name in state and state[name] != old.get(name):
                run(operation, **{key: state["id"], _member(name): {"Value": state[name]}})

    return step(act, on=names)


def _attribute(name: str) -> Call:
    return call("describe_vpc_attribute", f"{_member(name)}.Value", VpcId="{id}", Attribute=name)


def _member(name: str) -> str:
    return name[0].upper() + name[1:]


def _attach(run: Run, gateway: Props, old: Props) -> None:
    if old.get("vpcId"):
        run("detach_internet_gateway", InternetGatewayId=gateway["id"], VpcId=old["vpcId"])
    if gateway.get("vpcId"):
        run("attach_internet_gateway", InternetGatewayId=gateway["id"], VpcId=gateway["vpcId"])


def _detach(run: Run, gateway: Props) -> None:
    _attach(run, {"id": gateway["id"]}, gateway)


def _permission(rule: Props) -> Props:
    """A rule as EC2's IpPermission. `-1` stands for all protocols, and then there are no ports."""
    note = {"Description": rule["description"]} if rule.get("description") else {}
    lists = {
        "IpRanges": [{"CidrIp": cidr} | note for cidr in _either(rule, "cidrBlocks", "cidrIpv4")],
        "Ipv6Ranges": [{"CidrIpv6": cidr} | note for cidr in _either(rule, "ipv6CidrBlocks", "cidrIpv6")],
        "PrefixListIds": [
            {"PrefixListId": id} | note for id in _either(rule, "prefixListIds", "prefixListId")
        ],
        "UserIdGroupPairs": [
            {"GroupId": id} | note for id in _either(rule, "securityGroups", "referencedSecurityGroupId")
        ],
    }
    protocol = str(rule.get("ipProtocol") or rule.get("protocol") or "-1")
    ports = {"FromPort": rule.get("fromPort"), "ToPort": rule.get("toPort")} if protocol != "-1" else {}
    given = {name: value for name, value in (lists | ports).items() if value not in (None, [])}
    return {"IpProtocol": protocol} | given


def _either(rule: Props, many: str, one: str) -> list[str]:
    return list(rule.get(many) or ([rule[one]] if rule.get(one) else []))


def _rules(run: Run, group: Props, old: Props) -> None:
    """The inline rules, which stand for all rules of the group: AWS's own allow-all egress goes."""
    there = run("describe_security_groups", GroupIds=[group["id"]])["SecurityGroups"][0]
    for direction, key in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
        if direction not in group and old:
            continue
        if there.get(key):
            run(f"revoke_security_group_{direction}", GroupId=group["id"], IpPermissions=there[key])
        wanted = [
            _permission(rule | ({"securityGroups": [group["id"]]} if rule.get("self") else {}))
            for rule in group.get(direction) or ()
        ]
        if wanted:
            run(f"authorize_security_group_{direction}", GroupId=group["id"], IpPermissions=wanted)


_RULE = "cidrIpv4 cidrIpv6 description fromPort ipProtocol prefixListId referencedSecurityGroupId toPort"


def _rule(owner: str, direction: str) -> tuple[str, Type]:
    members = {_member(name): f"{{{name}}}" for name in _RULE.split()}
    changed = {"SecurityGroupRuleId": "{id}", "SecurityGroupRule": members}
    return _type(
        owner,
        "security-group-rule",
        module="vpc",
        id="{SecurityGroupRuleId}",
        create=call(f"authorize_security_group_{direction}", on="securityGroupId ipPermissions"),
        read=call("describe_security_group_rules", "SecurityGroupRules[0]", SecurityGroupRuleIds=["{id}"]),
        delete=call(
            f"revoke_security_group_{direction}", GroupId="{securityGroupId}", SecurityGroupRuleIds=["{id}"]
        ),
        made="SecurityGroupRules[0]",
        renames={"securityGroupId": "GroupId"},
        prepare=lambda inputs: inputs | {"ipPermissions": [_permission(inputs)]},
        update=(call("modify_security_group_rules", on=_RULE, SecurityGroupRules=[changed]),),
        unread="description",
        outputs={"securityGroupRuleId": "{id}"},
        orphan="InvalidGroup.NotFound",  # a group that EKS would make
    )


def _described(inputs: Props) -> Props:
    return {"description": "Managed by Pulumi"} | inputs


_OF_VPC = [{"Name": "vpc-id", "Values": ["{id}"]}]
_DEFAULT_GROUP = [{"Name": "group-name", "Values": ["default"]}]
_GROUP: Props = {
    "id": "{GroupId}",
    "then": (step(_rules, on="ingress egress vpcId"),),
    "read": call("describe_security_groups", "SecurityGroups[0]", GroupIds=["{id}"]),
    "replace": "vpcId",
    "local": "revokeRulesOnDelete",
    "unread": "ingress egress",
}

# fmt: off
TABLE = dict((
    _type("Vpc", "vpc", then=(_attributes("modify_vpc_attribute", "enableDnsSupport enableDnsHostnames"),),
          facts={"enableDnsSupport": _attribute("enableDnsSupport"),
                 "enableDnsHostnames": _attribute("enableDnsHostnames"),
                 "defaultSecurityGroupId": call("describe_security_groups", "SecurityGroups[0].GroupId",
                                                Filters=[*_OF_VPC, *_DEFAULT_GROUP]),
                 "defaultNetworkAclId": call("describe_network_acls", "NetworkAcls[0].NetworkAclId",
                                             Filters=_OF_VPC),
                 "mainRouteTableId": call("describe_route_tables",
                                          "RouteTables[?Associations[?Main]] | [0].RouteTableId",
                                          Filters=_OF_VPC)},
          outputs={"defaultRouteTableId": "{mainRouteTableId}"}),
    _type("Subnet", "subnet", then=(_attributes("modify_subnet_attribute", "mapPublicIpOnLaunch"),)),
    _type("InternetGateway", "internet-gateway", then=(step(_attach, on="vpcId"),), clear=_detach,
          facts={"vpcId": call("describe_internet_gateways", "InternetGateways[0].Attachments[0].VpcId",
                               InternetGatewayIds=["{id}"])}),
    _type("Eip", "elastic-ip", id="{AllocationId}", create="allocate_address", made="",
          read=call("describe_addresses", "Addresses[0]", AllocationIds=["{id}"]),
          delete=call("release_address", AllocationId="{id}")),
    _type("NatGateway", "natgateway",
          read=call("describe_nat_gateways", "NatGateways[?State!='deleted' && State!='deleting'] | [0]",
                    NatGatewayIds=["{id}"])),
    _type("RouteTable", "route-table", create=call("create_route_table", on="vpcId"), unread="routes"),
    # A route to a gateway endpoint or a NAT gateway is told under another name than it was given.
    _type("Route", "route", id="r-{routeTableId}-{destinationCidrBlock}", made="", update=("replace_route",),
          read=call("describe_route_tables",
                    "RouteTables[0].Routes[?DestinationCidrBlock=='{destinationCidrBlock}'] | [0]",
                    RouteTableIds=["{routeTableId}"]),
          delete=call("delete_route", DestinationCidrBlock="{destinationCidrBlock}"), unread="gatewayId"),
    _type("RouteTableAssociation", "route-table-association", id="{AssociationId}",
          create="associate_route_table", made="",
          read=call("describe_route_tables",
                    "RouteTables[].Associations[] | [?RouteTableAssociationId=='{id}'] | [0]",
                    RouteTableIds=["{routeTableId}"]),
          delete=call("disassociate_route_table", AssociationId="{id}")),
    _type("VpcEndpoint", "vpc-endpoint", delete=call("delete_vpc_endpoints", VpcEndpointIds=["{id}"]),
          update=(call("modify_vpc_endpoint", on="policy privateDnsEnabled", VpcEndpointId="{id}"),),
          read=call("describe_vpc_endpoints", "VpcEndpoints[?State!='deleted'] | [0]",
                    VpcEndpointIds=["{id}"]),
          facts={"prefixListId": call("describe_prefix_lists",
                                      "PrefixLists[?PrefixListName=='{serviceName}'].PrefixListId | [0]")}),
    _type("SecurityGroup", "security-group", made="", prepare=_described,
          create=call("create_security_group", on="name description vpcId"),
          delete=call("delete_security_group", GroupId="{id}"),
          renames={"name": "GroupName", "description": ("Description", "GroupDescription")}, **_GROUP),
    _type("DefaultSecurityGroup", "security-group", made="SecurityGroups[0]", delete="",
          create=call("describe_security_groups",
                      Filters=[{"Name": "vpc-id", "Values": ["{vpcId}"]}, *_DEFAULT_GROUP]), **_GROUP),
    _rule("SecurityGroupIngressRule", "ingress"),
    _rule("SecurityGroupEgressRule", "egress"),
    _type("FlowLog", "vpc-flow-log", made="{FlowLogId: FlowLogIds[0]}",
          create=call("create_flow_logs", ResourceIds=["{vpcId}"], ResourceType="VPC"),
          delete=call("delete_flow_logs", FlowLogIds=["{id}"]),
          renames={"iamRoleArn": "DeliverLogsPermissionArn"}),
))
