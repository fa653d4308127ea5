"""Where models stand inside the VPC, and what they reach from there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True, kw_only=True)
class ModelNetwork:
    """Subnets of a model's instances or function, and its way to S3."""

    vpc_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    """One subnet per zone, two at least."""
    s3_prefix_list_id: pulumi.Input[str]
    """Prefix list of S3's addresses, which a gateway endpoint leads to."""


def s3_group(
    name: str,
    network: ModelNetwork,
    *,
    description: str,
    tags: Mapping[str, str],
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    """A security group whose members are reached by nobody and reach S3 only."""
    group = aws.ec2.SecurityGroup(
        f"{name}-security-group",
        vpc_id=network.vpc_id,
        description=description,
        tags=tags,
        opts=opts,
    )
    aws.vpc.SecurityGroupEgressRule(
        f"{name}-to-s3",
        security_group_id=group.id,
        description="Model files and captured requests in S3",
        prefix_list_id=network.s3_prefix_list_id,
        ip_protocol="tcp",
        from_port=443,
        to_port=443,
        tags=tags,
        opts=opts,
    )
    return group.id
