"""What Karpenter needs of AWS: permissions, a role for its nodes, and word of nodes that will go away."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import iam
from components.karpenter_policy import controller_statements
from components.node_role import NodeRole, NodeRoleArgs
from components.pod_identity import PodIdentity, PodIdentityArgs
from components.tags import Tags
from naming import Names

NAMESPACE, SERVICE_ACCOUNT = "kube-system", "karpenter"

# Role -> EventBridge source and detail type.
# https://karpenter.sh/v1.14/reference/cloudformation/#interruption-handling
_INTERRUPTIONS = {
    "health": ("aws.health", "AWS Health Event"),
    "spot-interruption": ("aws.ec2", "EC2 Spot Instance Interruption Warning"),
    "rebalance": ("aws.ec2", "EC2 Instance Rebalance Recommendation"),
    "state-change": ("aws.ec2", "EC2 Instance State-change Notification"),
    "capacity-reservation": ("aws.ec2", "EC2 Capacity Reservation Instance Interruption Warning"),
}


@dataclass(frozen=True, kw_only=True)
class KarpenterArgs:
    """Arguments of `Karpenter`."""

    names: Names
    tags: Tags
    cluster_name: pulumi.Input[str]
    volumes_key_arn: pulumi.Input[str]
    """Encrypts the nodes' disks."""
    isolated_vpc: bool = False
    """Whether the VPC has no way out but its endpoints: IAM and the price list cannot be reached then."""
    require_tls: bool = True
    """Whether calls without TLS are denied; only the embedded AWS, plain HTTP on loopback, turns it off."""


class Karpenter(pulumi.ComponentResource):
    """The controller's role, the nodes' role and the interruption queue; `Charts` installs the controller.

    Nodes get an instance profile that is made here rather than by Karpenter, so that the controller may
    change nothing in IAM, and so that it works where IAM's endpoint is out of reach.
    """

    queue_name: pulumi.Output[str]
    instance_profile: pulumi.Output[str]

    def __init__(self, name: str, args: KarpenterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:karpenter:Karpenter", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._tags = args.tags.component("karpenter")
        nodes = NodeRole(
            f"{name}-node",
            NodeRoleArgs(tags=self._tags, description="Nodes that Karpenter starts"),
            self._child,
        )
        profile = aws.iam.InstanceProfile(
            f"{name}-instance-profile", role=nodes.role_name, tags=self._tags, opts=self._child
        )
        # Without it no node joins: EKS makes one for its managed node groups only.
        aws.eks.AccessEntry(
            f"{name}-access-entry",
            cluster_name=args.cluster_name,
            principal_arn=nodes.arn,
            type="EC2_LINUX",
            tags=self._tags,
            opts=self._child,
        )
        queue = self._interruption_queue()
        PodIdentity(
            f"{name}-controller",
            PodIdentityArgs(
                names=args.names,
                tags=self._tags,
                cluster_name=args.cluster_name,
                namespace=NAMESPACE,
                service_account=SERVICE_ACCOUNT,
                description="Karpenter starts and stops nodes of its cluster",
                statements=pulumi.Output.all(
                    cluster_name=args.cluster_name,
                    node_role_arn=nodes.arn,
                    queue_arn=queue.arn,
                    key_arn=args.volumes_key_arn,
                ).apply(self._statements),
            ),
            opts=self._child,
        )
        self.queue_name, self.instance_profile = queue.name, profile.name
        self.register_outputs({"queue_name": self.queue_name, "instance_profile": self.instance_profile})

    def _statements(self, known: Mapping[str, str]) -> Sequence[iam.Statement]:
        return controller_statements(
            names=self._args.names,
            cluster_name=known["cluster_name"],
            node_role_arn=known["node_role_arn"],
            queue_arn=known["queue_arn"],
            key_arn=known["key_arn"],
            isolated_vpc=self._args.isolated_vpc,
        )

    def _interruption_queue(self) -> aws.sqs.Queue:
        name = self._name
        queue = aws.sqs.Queue(
            f"{name}-interruptions",
            message_retention_seconds=300,  # word of an instance that is long gone helps nobody
            sqs_managed_sse_enabled=True,  # with a key, that key's policy would have to name EventBridge
            tags=self._tags,
            opts=self._child,
        )
        rules = []
        for role, (source, detail_type) in _INTERRUPTIONS.items():
            rule = aws.cloudwatch.EventRule(
                f"{name}-{role}",
                description=f"{detail_type}: Karpenter replaces the node in time",
                event_pattern=json.dumps({"source": [source], "detail-type": [detail_type]}),
                tags=self._tags,
                opts=self._child,
            )
            aws.cloudwatch.EventTarget(
                f"{name}-{role}-target", rule=rule.name, arn=queue.arn, opts=self._child
            )
            rules.append(rule.arn)
        aws.sqs.QueuePolicy(
            f"{name}-interruptions-policy",
            queue_url=queue.url,
            policy=pulumi.Output.all(queue.arn, *rules).apply(
                lambda arns: queue_policy(arns[0], arns[1:], require_tls=self._args.require_tls)
            ),
            opts=self._child,
        )
        return queue


def queue_policy(queue_arn: str, rule_arns: Sequence[str], *, require_tls: bool = True) -> str:
    """Lets these EventBridge rules, and nobody without TLS, put messages into the queue."""
    statements: list[iam.Statement] = [
        {
            "Sid": "Rules",
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue_arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": list(rule_arns)}},
        },
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:*",
            "Resource": queue_arn,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
    ]
    return iam.policy(*(statements if require_tls else statements[:1]))
