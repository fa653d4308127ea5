"""VPC endpoints: AWS services reached from private subnets without the internet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam
from components.tags import Tags
from naming import Names


@dataclass(frozen=True, kw_only=True)
class EndpointsArgs:
    """Arguments of `Endpoints`."""

    names: Names
    tags: Tags
    vpc_id: pulumi.Input[str]
    vpc_cidr: str
    route_table_ids: Sequence[pulumi.Input[str]]
    """Route tables that get the gateway endpoints."""
    subnet_ids: Sequence[pulumi.Input[str]]
    """One subnet per zone in which each interface endpoint stands: $7.30 a month each in us-east-1."""
    services: Sequence[str] = ()
    """Interface endpoints, by the last part of the service's name, e.g. `ecr.api`."""


class Endpoints(pulumi.ComponentResource):
    """Gateway endpoints for S3 and DynamoDB (free), and an interface endpoint for each listed service.

    The gateway endpoints are a data perimeter: they lead to this account's objects and items, and to the
    layers of images in ECR. With NAT or without, nothing else in the region's S3 can be reached: not a
    stranger's bucket, nor the public ones behind some registries and package repositories.

    Interface endpoints keep the default policy, because not every service takes another; what a caller may
    do through them is up to its role.
    """

    security_group_id: pulumi.Output[str] | None
    """Group of the interface endpoints, where there are any."""
    s3_prefix_list_id: pulumi.Output[str]
    """Prefix list of S3's addresses, for security group rules."""

    def __init__(self, name: str, args: EndpointsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:endpoints:Endpoints", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self.s3_prefix_list_id = self._gateway("s3", _s3_statements(args.names)).prefix_list_id
        self._gateway("dynamodb", [_dynamodb_statement(args.names)])
        self.security_group_id = None
        if args.services:
            self.security_group_id = self._security_group()
            for service in args.services:
                self._interface(service, self.security_group_id)
        self.register_outputs({"security_group_id": self.security_group_id})

    def _tags(self, role: str) -> Mapping[str, str]:
        return {**self._args.tags.component("network"), "Name": f"{self._args.names.prefix}-{role}"}

    def _gateway(self, service: str, statements: Sequence[iam.Statement]) -> aws.ec2.VpcEndpoint:
        args = self._args
        return aws.ec2.VpcEndpoint(
            f"{self._name}-{service}",
            vpc_id=args.vpc_id,
            service_name=f"com.amazonaws.{args.names.region}.{service}",
            vpc_endpoint_type="Gateway",
            route_table_ids=args.route_table_ids,
            policy=iam.policy(*statements),
            tags=self._tags(service),
            opts=self._child,
        )

    def _security_group(self) -> pulumi.Output[str]:
        args = self._args
        group = aws.ec2.SecurityGroup(
            f"{self._name}-security-group",
            vpc_id=args.vpc_id,
            description="Interface endpoints: HTTPS from the VPC",
            tags=self._tags("endpoints"),
            opts=self._child,
        )
        # No egress rule: an endpoint answers and never calls.
        aws.vpc.SecurityGroupIngressRule(
            f"{self._name}-https",
            security_group_id=group.id,
            description="HTTPS from the VPC",
            cidr_ipv4=args.vpc_cidr,
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            tags=self._tags("endpoints-https"),
            opts=self._child,
        )
        return group.id

    def _interface(self, service: str, security_group_id: pulumi.Input[str]) -> None:
        args = self._args
        aws.ec2.VpcEndpoint(
            f"{self._name}-{service.replace('.', '-')}",
            vpc_id=args.vpc_id,
            service_name=f"com.amazonaws.{args.names.region}.{service}",
            vpc_endpoint_type="Interface",
            private_dns_enabled=True,
            subnet_ids=args.subnet_ids,
            security_group_ids=[security_group_id],
            tags=self._tags(service),
            opts=self._child,
        )


def _s3_statements(names: Names) -> list[iam.Statement]:
    return [
        # Objects only: buckets are set up from outside the VPC.
        _perimeter(
            "OwnObjects",
            names,
            [
                "s3:AbortMultipartUpload",
                "s3:DeleteObject",
                "s3:GetBucketLocation",
                "s3:GetObject",
                "s3:GetObjectTagging",
                "s3:GetObjectVersion",
                "s3:ListBucket",
                "s3:ListMultipartUploadParts",
                "s3:PutObject",
                "s3:PutObjectTagging",
            ],
            "arn:aws:s3:::*",
        ),
        {
            # ECR hands out layers by presigned links into a bucket of its own:
            # https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html#ecr-minimum-s3-perms
            "Sid": "ImageLayers",
            "Effect": "Allow",
            "Principal": "*",
            "Action": ["s3:GetObject"],
            "Resource": [f"arn:aws:s3:::prod-{names.region}-starport-layer-bucket/*"],
        },
    ]


def _dynamodb_statement(names: Names) -> iam.Statement:
    return _perimeter(
        "OwnItems",
        names,
        [
            "dynamodb:BatchGetItem",
            "dynamodb:BatchWriteItem",
            "dynamodb:ConditionCheckItem",
            "dynamodb:DeleteItem",
            "dynamodb:DescribeTable",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:Scan",
            "dynamodb:UpdateItem",
        ],
        names.arn("dynamodb", "table/*"),
    )


def _perimeter(sid: str, names: Names, actions: Sequence[str], resource: str) -> iam.Statement:
    """Lets this account's principals reach this account's resources; their own policies narrow it down."""
    account = {"aws:PrincipalAccount": names.account_id, "aws:ResourceAccount": names.account_id}
    return {**iam.allow(sid, actions, [resource], {"StringEquals": account}), "Principal": "*"}
