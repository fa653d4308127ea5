"""VPC: network, routes, endpoints, security groups, flow logs."""

from typing import Any

from local_aws.tables.form import Call, Run, Step, Type, call
from local_aws.values import Props

_TAG = call("create_tags", Resources=["{id}"])
_UNTAG = call("delete_tags", Resources=["{id}"])


def _type(resource: str, **more: Any) -> Type:
    """A type of EC2; `resource` is what its ARN calls it."""
    more["outputs"] = {"arn": f"arn:aws:ec2:{{region}}:{{account}}:{resource}/{{id}}"} | more.get(
        "outputs", {}
    )
    return Type(service="ec2", tag=_TAG, untag=_UNTAG, **more)


def _attributes(operation: str, key: str, *names: str) -> Step:
    """Settings that EC2 takes one at a time, each as {"Value": …}."""

    def act(run: Run, state: Props, old: Props) -> None:
        for name in names:
            if name in state and state[name] != old.get(name):
                member = name[0].upper() + name[1:]
                run(operation, **{key: state["id"], member: {"Value": state[name]}})

    return Step(act, on=names)


def _attribute(name: str) -> Call:
    member = name[0].upper() + name[1:]
    return call("describe_vpc_attribute", f"{member}.Value", VpcId="{id}", Attribute=name)


def _of_vpc(operation: str, result: str, **filters: str) -> Call:
    given = [{"Name": "vpc-id", "Values": ["{id}"]}]
    given += [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in filters.items()]
    return call(operation, result, Filters=given)


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


_RULE = [
    "securityGroupId",
    "cidrIpv4",
    "cidrIpv6",
    "description",
    "fromPort",
    "ipProtocol",
    "prefixListId",
    "referencedSecurityGroupId",
    "toPort",
]


def _rule(direction: str) -> Type:
    return _type(
        "security-group-rule",
        id="{SecurityGroupRuleId}",
        create=call(f"authorize_security_group_{direction}", on="securityGroupId ipPermissions"),
        read=call("describe_security_group_rules", "SecurityGroupRules[0]", SecurityGroupRuleIds=["{id}"]),
        delete=call(
            f"revoke_security_group_{direction}",
            GroupId="{securityGroupId}",
            SecurityGroupRuleIds=["{id}"],
        ),
        made="SecurityGroupRules[0]",
        renames={"securityGroupId": "GroupId"},
        prepare=lambda inputs: inputs | {"ipPermissions": [_permission(inputs)]},
        replace=frozenset(_RULE),
        unread=frozenset({"description"}),
        outputs={"securityGroupRuleId": "{id}"},
    )


TABLE = {
    "aws:ec2/vpc:Vpc": _type(
        "vpc",
        id="{VpcId}",
        create=call("create_vpc"),
        then=(_attributes("modify_vpc_attribute", "VpcId", "enableDnsSupport", "enableDnsHostnames"),),
        read=call("describe_vpcs", "Vpcs[0]", VpcIds=["{id}"]),
        facts={
            "enableDnsSupport": _attribute("enableDnsSupport"),
            "enableDnsHostnames": _attribute("enableDnsHostnames"),
            "defaultSecurityGroupId": _of_vpc(
                "describe_security_groups", "SecurityGroups[0].GroupId", group_name="default"
            ),
            "defaultNetworkAclId": _of_vpc("describe_network_acls", "NetworkAcls[0].NetworkAclId"),
            "mainRouteTableId": _of_vpc(
                "describe_route_tables", "RouteTables[?Associations[?Main]] | [0].RouteTableId"
            ),
        },
        delete=call("delete_vpc", VpcId="{id}"),
        made="Vpc",
        outputs={"defaultRouteTableId": "{mainRouteTableId}"},
    ),
    "aws:ec2/subnet:Subnet": _type(
        "subnet",
        id="{SubnetId}",
        create=call("create_subnet"),
        then=(_attributes("modify_subnet_attribute", "SubnetId", "mapPublicIpOnLaunch"),),
        read=call("describe_subnets", "Subnets[0]", SubnetIds=["{id}"]),
        delete=call("delete_subnet", SubnetId="{id}"),
        made="Subnet",
    ),
    "aws:ec2/internetGateway:InternetGateway": _type(
        "internet-gateway",
        id="{InternetGatewayId}",
        create=call("create_internet_gateway"),
        then=(Step(_attach, on=("vpcId",)),),
        read=call("describe_internet_gateways", "InternetGateways[0]", InternetGatewayIds=["{id}"]),
        facts={
            "vpcId": call(
                "describe_internet_gateways",
                "InternetGateways[0].Attachments[0].VpcId",
                InternetGatewayIds=["{id}"],
            )
        },
        delete=call("delete_internet_gateway", InternetGatewayId="{id}"),
        made="InternetGateway",
        clear=_detach,
    ),
    "aws:ec2/eip:Eip": _type(
        "elastic-ip",
        id="{AllocationId}",
        create=call("allocate_address"),
        read=call("describe_addresses", "Addresses[0]", AllocationIds=["{id}"]),
        delete=call("release_address", AllocationId="{id}"),
    ),
    "aws:ec2/natGateway:NatGateway": _type(
        "natgateway",
        id="{NatGatewayId}",
        create=call("create_nat_gateway"),
        read=call(
            "describe_nat_gateways",
            "NatGateways[?State!='deleted' && State!='deleting'] | [0]",
            NatGatewayIds=["{id}"],
        ),
        delete=call("delete_nat_gateway", NatGatewayId="{id}"),
        made="NatGateway",
    ),
    "aws:ec2/routeTable:RouteTable": _type(
        "route-table",
        id="{RouteTableId}",
        create=call("create_route_table", on="vpcId"),
        read=call("describe_route_tables", "RouteTables[0]", RouteTableIds=["{id}"]),
        delete=call("delete_route_table", RouteTableId="{id}"),
        made="RouteTable",
        unread=frozenset({"routes"}),
    ),
    "aws:ec2/route:Route": _type(
        "route",
        id="r-{routeTableId}-{destinationCidrBlock}",
        create=call("create_route"),
        update=(call("replace_route"),),
        read=call(
            "describe_route_tables",
            "RouteTables[0].Routes[?DestinationCidrBlock=='{destinationCidrBlock}'] | [0]",
            RouteTableIds=["{routeTableId}"],
        ),
        delete=call("delete_route", DestinationCidrBlock="{destinationCidrBlock}"),
        # A route to a gateway endpoint or a NAT gateway is told under another name than it was given.
        unread=frozenset({"gatewayId"}),
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _type(
        "route-table-association",
        id="{AssociationId}",
        create=call("associate_route_table"),
        read=call(
            "describe_route_tables",
            "RouteTables[].Associations[] | [?RouteTableAssociationId=='{id}'] | [0]",
            RouteTableIds=["{routeTableId}"],
        ),
        delete=call("disassociate_route_table", AssociationId="{id}"),
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _type(
        "vpc-endpoint",
        id="{VpcEndpointId}",
        create=call("create_vpc_endpoint"),
        update=(call("modify_vpc_endpoint", on="policy privateDnsEnabled", VpcEndpointId="{id}"),),
        read=call("describe_vpc_endpoints", "VpcEndpoints[?State!='deleted'] | [0]", VpcEndpointIds=["{id}"]),
        delete=call("delete_vpc_endpoints", VpcEndpointIds=["{id}"]),
        made="VpcEndpoint",
        renames={"policy": "PolicyDocument"},
    ),
    "aws:ec2/securityGroup:SecurityGroup": _type(
        "security-group",
        id="{GroupId}",
        create=call("create_security_group", on="name description vpcId", Description="{description}"),
        then=(Step(_rules, on=("ingress", "egress", "vpcId")),),
        read=call("describe_security_groups", "SecurityGroups[0]", GroupIds=["{id}"]),
        delete=call("delete_security_group", GroupId="{id}"),
        prepare=lambda inputs: {"description": "Managed by Pulumi"} | inputs,
        renames={"name": "GroupName", "description": ("Description", "GroupDescription")},
        replace=frozenset({"vpcId"}),
        local=frozenset({"revokeRulesOnDelete"}),
        unread=frozenset({"ingress", "egress"}),
    ),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": _type(
        "security-group",
        id="{GroupId}",
        create=call(
            "describe_security_groups",
            Filters=[
                {"Name": "vpc-id", "Values": ["{vpcId}"]},
                {"Name": "group-name", "Values": ["default"]},
            ],
        ),
        then=(Step(_rules, on=("ingress", "egress", "vpcId")),),
        read=call("describe_security_groups", "SecurityGroups[0]", GroupIds=["{id}"]),
        made="SecurityGroups[0]",
        replace=frozenset({"vpcId"}),
        local=frozenset({"revokeRulesOnDelete"}),
        unread=frozenset({"ingress", "egress"}),
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _rule("ingress"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _rule("egress"),
    "aws:ec2/flowLog:FlowLog": _type(
        "vpc-flow-log",
        id="{FlowLogId}",
        create=call("create_flow_logs", ResourceIds=["{vpcId}"], ResourceType="VPC"),
        read=call("describe_flow_logs", "FlowLogs[0]", FlowLogIds=["{id}"]),
        delete=call("delete_flow_logs", FlowLogIds=["{id}"]),
        made="{FlowLogId: FlowLogIds[0]}",
        renames={"iamRoleArn": "DeliverLogsPermissionArn"},
    ),
}
