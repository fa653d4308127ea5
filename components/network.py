"""The VPC: three tiers of subnets, what each can reach, and a record of who talked to whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import pulumi
import pulumi_aws as aws

from components import iam
from components.address_plan import Subnet, Tier, address_plan
from components.endpoints import Endpoints, EndpointsArgs
from components.tags import Tags
from naming import Names

_ANYWHERE = "0.0.0.0/0"


class NatStrategy(StrEnum):
    """How private subnets reach the internet. A gateway is $32.85 a month (us-east-1) and $0.045 a GB."""

    NONE = "none"
    """Not at all: AWS services through endpoints, images through the pull-through cache."""
    SINGLE = "single"
    """Through one zone: cheaper, and without it when that zone fails."""
    ONE_PER_AZ = "one_per_az"


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """Arguments of `Network`."""

    names: Names
    tags: Tags
    cluster_name: str
    """EKS cluster whose controllers find the subnets by tag."""
    logs_key_arn: pulumi.Input[str]
    cidr: str
    """IPv4 range of the VPC, /16 to /20; see `components.address_plan`."""
    zones: Sequence[str] = ("a", "b")
    """Letters of two or three availability zones of the region."""
    nat: NatStrategy = NatStrategy.ONE_PER_AZ
    interface_endpoints: Sequence[str] = ()
    """Services with an interface endpoint, e.g. `ecr.api`."""
    interface_endpoint_zones: int = 1
    """In how many zones each interface endpoint stands; the others reach it across zones."""
    flow_logs: Literal["ALL", "REJECT"] = "ALL"
    """Which traffic the flow log keeps; ingestion is $0.50 a GB."""
    log_retention_days: int = 30


class Network(pulumi.ComponentResource):
    """A VPC over two or three zones.

    Public subnets hold NAT gateways and nothing else; private ones hold nodes and pods; intra ones, which
    have no way out, hold endpoints and load balancers. Nothing gets a public address on launch.

    The network ACLs stay as AWS makes them, open: they are stateless, so that rules strict enough to add
    to the security groups would have to open the ephemeral ports anyway.

    Raises:
        AddressPlanInvalid: the range or the number of zones does not fit.
    """

    vpc_id: pulumi.Output[str]
    public_subnet_ids: Sequence[pulumi.Output[str]]
    private_subnet_ids: Sequence[pulumi.Output[str]]
    intra_subnet_ids: Sequence[pulumi.Output[str]]
    s3_prefix_list_id: pulumi.Output[str]
    """Prefix list of S3's addresses, for security group rules."""
    cidr: str
    isolated: bool
    """Whether there is no way out but endpoints."""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:network:Network", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        plan = address_plan(args.cidr, len(args.zones))

        vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=args.cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,  # private DNS names of interface endpoints need both
            enable_network_address_usage_metrics=True,
            tags=self._tags("vpc"),
            opts=self._child,
        )
        self.vpc_id = vpc.id
        # With no rules given, the provider removes the ones that AWS makes.
        aws.ec2.DefaultSecurityGroup(
            f"{name}-default-security-group", vpc_id=vpc.id, tags=self._tags("closed"), opts=self._child
        )
        self.public_subnet_ids = self._subnets(plan, Tier.PUBLIC)
        self.private_subnet_ids = self._subnets(plan, Tier.PRIVATE)
        self.intra_subnet_ids = self._subnets(plan, Tier.INTRA)

        internet_gateway = aws.ec2.InternetGateway(
            f"{name}-internet-gateway", vpc_id=vpc.id, tags=self._tags("internet"), opts=self._child
        )
        public = self._route_table("public", self.public_subnet_ids)
        aws.ec2.Route(
            f"{name}-public-default",
            route_table_id=public,
            destination_cidr_block=_ANYWHERE,
            gateway_id=internet_gateway.id,
            opts=self._child,
        )
        # One table per zone whatever the strategy, so that changing it changes routes only.
        private = [
            self._route_table(f"private-{zone}", [subnet])
            for zone, subnet in zip(args.zones, self.private_subnet_ids, strict=True)
        ]
        intra = self._route_table("intra", self.intra_subnet_ids)
        self._nat(private, internet_gateway)
        endpoints = Endpoints(
            f"{name}-endpoints",
            EndpointsArgs(
                names=args.names,
                tags=args.tags,
                vpc_id=vpc.id,
                vpc_cidr=args.cidr,
                route_table_ids=[*private, intra],
                subnet_ids=self.intra_subnet_ids[: args.interface_endpoint_zones],
                services=args.interface_endpoints,
            ),
            opts=self._child,
        )
        self.s3_prefix_list_id = endpoints.s3_prefix_list_id
        self.cidr, self.isolated = args.cidr, args.nat == NatStrategy.NONE
        self._flow_log()
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "public_subnet_ids": self.public_subnet_ids,
                "private_subnet_ids": self.private_subnet_ids,
                "intra_subnet_ids": self.intra_subnet_ids,
            }
        )

    def _tags(self, role: str) -> Mapping[str, str]:
        return {**self._args.tags.component("network"), "Name": f"{self._args.names.prefix}-{role}"}

    def _subnets(self, plan: Sequence[Subnet], tier: Tier) -> list[pulumi.Output[str]]:
        args = self._args
        discovery = {
            # https://docs.aws.amazon.com/eks/latest/userguide/network-load-balancing.html
            Tier.PUBLIC: {"kubernetes.io/role/elb": "1"},
            Tier.PRIVATE: {"karpenter.sh/discovery": args.cluster_name},
            Tier.INTRA: {"kubernetes.io/role/internal-elb": "1"},
        }[tier]
        return [
            aws.ec2.Subnet(
                f"{self._name}-{tier}-{args.zones[subnet.zone]}",
                vpc_id=self.vpc_id,
                cidr_block=str(subnet.cidr),
                availability_zone=args.names.region + args.zones[subnet.zone],
                map_public_ip_on_launch=False,
                tags={**self._tags(f"{tier}-{args.zones[subnet.zone]}"), **discovery},
                opts=self._child,
            ).id
            for subnet in plan
            if subnet.tier == tier
        ]

    def _route_table(self, role: str, subnet_ids: Sequence[pulumi.Input[str]]) -> pulumi.Output[str]:
        table = aws.ec2.RouteTable(
            f"{self._name}-{role}-routes", vpc_id=self.vpc_id, tags=self._tags(role), opts=self._child
        )
        for index, subnet_id in enumerate(subnet_ids):
            aws.ec2.RouteTableAssociation(
                f"{self._name}-{role}-routes-{index}",
                route_table_id=table.id,
                subnet_id=subnet_id,
                opts=self._child,
            )
        return table.id

    def _nat(
        self, private_tables: Sequence[pulumi.Input[str]], internet_gateway: aws.ec2.InternetGateway
    ) -> None:
        zones = self._args.zones
        with_gateway = {
            NatStrategy.NONE: [],
            NatStrategy.SINGLE: zones[:1],
            NatStrategy.ONE_PER_AZ: zones,
        }[self._args.nat]
        gateways = []
        for zone, subnet_id in zip(with_gateway, self.public_subnet_ids, strict=False):
            address = aws.ec2.Eip(
                f"{self._name}-nat-{zone}-address",
                domain="vpc",
                tags=self._tags(f"nat-{zone}"),
                opts=self._child,
            )
            gateway = aws.ec2.NatGateway(
                f"{self._name}-nat-{zone}",
                allocation_id=address.id,
                subnet_id=subnet_id,
                tags=self._tags(f"nat-{zone}"),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[internet_gateway]),
            )
            gateways.append(gateway.id)
        if gateways:
            for index, (zone, table_id) in enumerate(zip(zones, private_tables, strict=True)):
                aws.ec2.Route(
                    f"{self._name}-private-{zone}-default",
                    route_table_id=table_id,
                    destination_cidr_block=_ANYWHERE,
                    nat_gateway_id=gateways[index % len(gateways)],
                    opts=self._child,
                )

    def _flow_log(self) -> None:
        args, name = self._args, self._name
        group_name = f"/aws/vpc/{args.names.prefix}/flow-logs"
        group = aws.cloudwatch.LogGroup(
            f"{name}-flow-logs",
            name=group_name,
            retention_in_days=args.log_retention_days,
            kms_key_id=args.logs_key_arn,
            tags=self._tags("flow-logs"),
            opts=self._child,
        )
        arn = args.names.arn("logs", f"log-group:{group_name}")
        # https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html, less making groups
        role = iam.role(
            f"{name}-flow-logs",
            trust_policy=iam.trust("vpc-flow-logs.amazonaws.com", args.names.account_id),
            statements=[
                iam.allow(
                    "Write",
                    ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                    [arn, f"{arn}:*"],
                ),
                iam.allow("Find", ["logs:DescribeLogGroups"], ["*"]),  # has no resources to name
            ],
            description="The VPC's flow log writes its log group",
            tags=self._tags("flow-logs"),
            opts=self._child,
        )
        aws.ec2.FlowLog(
            f"{name}-flow-log",
            vpc_id=self.vpc_id,
            traffic_type=args.flow_logs,
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            max_aggregation_interval=600,  # seconds; 60 would bring up to ten times the records
            tags=self._tags("flow-log"),
            opts=self._child,
        )
