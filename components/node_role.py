"""What EC2 instances of the cluster may do: join it, pull images and be reached through Session Manager."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam

# https://docs.aws.amazon.com/eks/latest/userguide/create-node-role.html. The CNI's permissions are not among
# them: its pods have a role of their own.
_POLICIES = (
    "AmazonEKSWorkerNodePolicy",
    "AmazonEC2ContainerRegistryPullOnly",
    "AmazonSSMManagedInstanceCore",
)


@dataclass(frozen=True, kw_only=True)
class NodeRoleArgs:
    """Arguments of `NodeRole`."""

    tags: Mapping[str, str]
    description: str


class NodeRole(pulumi.ComponentResource):
    """The role of a group of nodes. Pods cannot use it: instance metadata is out of their reach."""

    arn: pulumi.Output[str]
    role_name: pulumi.Output[str]
    policies: list[pulumi.Resource]
    """What must stay until the last node is gone."""

    def __init__(self, name: str, args: NodeRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:node_role:NodeRole", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(
            f"{name}-role",
            # EC2 sends no source account with it: it assumes the role for an instance of this account.
            assume_role_policy=iam.policy(
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "ec2.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ),
            description=args.description,
            tags=args.tags,
            opts=child,
        )
        self.policies = [
            aws.iam.RolePolicyAttachment(
                f"{name}-{policy}",
                role=role.name,
                policy_arn=f"arn:aws:iam::aws:policy/{policy}",
                opts=child,
            )
            for policy in _POLICIES
        ]
        self.arn, self.role_name = role.arn, role.name
        self.register_outputs({"arn": self.arn})
