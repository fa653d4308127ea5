"""AWS permissions of a Kubernetes workload, through EKS Pod Identity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam
from naming import Names


@dataclass(frozen=True, kw_only=True)
class PodIdentityArgs:
    """Arguments of `PodIdentity`."""

    names: Names
    tags: Mapping[str, str]
    cluster_name: pulumi.Input[str]
    namespace: str
    service_account: str
    description: str
    statements: pulumi.Input[Sequence[iam.Statement]] = ()
    managed_policies: Sequence[str] = ()
    """Names of AWS managed policies, for parts of EKS whose permissions AWS keeps up to date."""


class PodIdentity(pulumi.ComponentResource):
    """A role for the pods of one service account, and for no other pod, cluster or account.

    No key and no OIDC provider: the agent on the node hands out the role's credentials.
    """

    role_arn: pulumi.Output[str]

    def __init__(self, name: str, args: PodIdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:pod_identity:PodIdentity", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(
            f"{name}-role",
            assume_role_policy=pulumi.Output.from_input(args.cluster_name).apply(
                lambda cluster: trust_policy(args.names, cluster, args.namespace, args.service_account)
            ),
            description=args.description,
            tags=args.tags,
            opts=child,
        )
        permissions: list[pulumi.Resource] = [
            aws.iam.RolePolicyAttachment(
                f"{name}-{policy}",
                role=role.name,
                policy_arn=f"arn:aws:iam::aws:policy/{policy}",
                opts=child,
            )
            for policy in args.managed_policies
        ]
        if args.statements:
            permissions.append(
                aws.iam.RolePolicy(
                    f"{name}-role-policy",
                    role=role.id,
                    policy=pulumi.Output.from_input(args.statements).apply(lambda known: iam.policy(*known)),
                    opts=child,
                )
            )
        aws.eks.PodIdentityAssociation(
            f"{name}-association",
            cluster_name=args.cluster_name,
            namespace=args.namespace,
            service_account=args.service_account,
            role_arn=role.arn,
            tags=args.tags,
            # A pod that starts with the association must find its permissions in place.
            opts=pulumi.ResourceOptions(parent=self, depends_on=permissions),
        )
        self.role_arn = role.arn
        self.register_outputs({"role_arn": self.role_arn})


def trust_policy(names: Names, cluster_name: str, namespace: str, service_account: str) -> str:
    """Who may assume the role: EKS, on behalf of one service account of one cluster.

    https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
    """
    return iam.policy(
        {
            "Effect": "Allow",
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {
                "StringEquals": {
                    "aws:SourceAccount": names.account_id,
                    "aws:RequestTag/kubernetes-namespace": namespace,
                    "aws:RequestTag/kubernetes-service-account": service_account,
                },
                "ArnEquals": {"aws:SourceArn": names.arn("eks", f"cluster/{cluster_name}")},
            },
        }
    )
