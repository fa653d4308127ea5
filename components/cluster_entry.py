"""The way into the cluster: a link from API Gateway to an internal load balancer, and its target group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.tags import Tags
from naming import Names


@dataclass(frozen=True, kw_only=True)
class ClusterEntryArgs:
    """Arguments of `ClusterEntry`."""

    names: Names
    tags: Tags
    vpc_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    """One subnet per zone, for the load balancer and the link."""
    nodes_security_group_id: pulumi.Input[str]
    """Security group of the nodes, which lets the load balancer in."""
    target_port: int
    """Port of the pods behind the load balancer; they answer `/v2/health/ready` on it."""
    certificate_arn: pulumi.Input[str] | None = None
    """Certificate of a TLS listener; None is plain TCP inside the VPC, for want of a domain."""
    deletion_protection: bool = True
    """Whether the load balancer refuses deletion."""


class ClusterEntry(pulumi.ComponentResource):
    """A Network Load Balancer that only API Gateway's link and members of `callers_security_group_id` reach.

    All of it is made here and not by a controller in the cluster, which knows the target group only
    (TargetGroupBinding): nothing is left behind when the cluster goes.
    """

    load_balancer_arn: pulumi.Output[str]
    """`integrationTarget` of API Gateway's private integrations."""
    dns_name: pulumi.Output[str]
    port: int
    target_group_arn: pulumi.Output[str]
    vpc_link_id: pulumi.Output[str]
    """`connectionId` of API Gateway's private integrations."""
    callers_security_group_id: pulumi.Output[str]

    def __init__(self, name: str, args: ClusterEntryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:cluster_entry:ClusterEntry", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self.port = 443 if args.certificate_arn is not None else 80
        callers = self._security_group("callers", "Callers of the cluster's router")
        balancer = self._security_group("balancer", "The cluster's load balancer")
        self._allow("callers-to-balancer", callers, balancer, self.port, "Requests to the router")
        self._allow(
            "balancer-to-nodes",
            balancer,
            args.nodes_security_group_id,
            args.target_port,
            "Requests and health checks",
        )
        self.callers_security_group_id = callers
        load_balancer = aws.lb.LoadBalancer(
            f"{name}-nlb",
            load_balancer_type="network",
            internal=True,
            subnets=args.subnet_ids,
            security_groups=[balancer],
            enable_cross_zone_load_balancing=True,  # else a zone without a router pod would refuse its share
            enable_deletion_protection=args.deletion_protection,
            tags=self._tags("load-balancer"),
            opts=self._child,
        )
        self.target_group_arn = self._target_group()
        secure = args.certificate_arn is not None
        aws.lb.Listener(
            f"{name}-listener",
            load_balancer_arn=load_balancer.arn,
            port=self.port,
            protocol="TLS" if secure else "TCP",
            certificate_arn=args.certificate_arn,
            # https://docs.aws.amazon.com/elasticloadbalancing/latest/network/describe-ssl-policies.html
            ssl_policy="ELBSecurityPolicy-TLS13-1-2-Res-2021-06" if secure else None,
            default_actions=[{"type": "forward", "target_group_arn": self.target_group_arn}],
            tags=self._tags("listener"),
            opts=self._child,
        )
        self.vpc_link_id = aws.apigatewayv2.VpcLink(
            f"{name}-vpc-link",
            subnet_ids=args.subnet_ids,
            security_group_ids=[callers],
            tags=self._tags("vpc-link"),
            opts=self._child,
        ).id
        self.load_balancer_arn, self.dns_name = load_balancer.arn, load_balancer.dns_name
        self.register_outputs(
            {
                "dns_name": self.dns_name,
                "vpc_link_id": self.vpc_link_id,
                "target_group_arn": self.target_group_arn,
            }
        )

    def _tags(self, role: str) -> Mapping[str, str]:
        return {**self._args.tags.component("cluster-entry"), "Name": f"{self._args.names.prefix}-{role}"}

    def _target_group(self) -> pulumi.Output[str]:
        return aws.lb.TargetGroup(
            f"{self._name}-targets",
            vpc_id=self._args.vpc_id,
            target_type="ip",  # pods themselves
            protocol="TCP",
            port=self._args.target_port,
            deregistration_delay=60,  # seconds; the longest request is answered within 29
            health_check={
                "protocol": "HTTP",
                "path": "/v2/health/ready",
                "interval": 10,
                "healthy_threshold": 2,
                "unhealthy_threshold": 2,
            },
            tags=self._tags("targets"),
            opts=self._child,
        ).arn

    def _security_group(self, role: str, description: str) -> pulumi.Output[str]:
        return aws.ec2.SecurityGroup(
            f"{self._name}-{role}",
            vpc_id=self._args.vpc_id,
            description=description,
            tags=self._tags(role),
            opts=self._child,
        ).id

    def _allow(
        self,
        role: str,
        source: pulumi.Input[str],
        target: pulumi.Input[str],
        port: int,
        description: str,
    ) -> None:
        """Out of one group and into the other, on one port."""
        tags = self._tags(role)
        aws.vpc.SecurityGroupEgressRule(
            f"{self._name}-{role}-out",
            security_group_id=source,
            referenced_security_group_id=target,
            description=description,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            tags=tags,
            opts=self._child,
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{self._name}-{role}-in",
            security_group_id=target,
            referenced_security_group_id=source,
            description=description,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            tags=tags,
            opts=self._child,
        )
