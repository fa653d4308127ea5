"""Who talks to whom inside the cluster: nobody, until one of these policies says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.networking.v1 import (
    NetworkPolicyEgressRuleArgsDict,
    NetworkPolicyIngressRuleArgsDict,
    NetworkPolicyPeerArgsDict,
    NetworkPolicyPortArgsDict,
)

NAMESPACE = "inference"
MODEL_LABEL, ROUTER_LABEL, JOBS_LABEL = "inference/model", "inference/router", "inference/jobs"


@dataclass(frozen=True, kw_only=True)
class ModelNamespaceArgs:
    """Arguments of `ModelNamespace`."""

    labels: Mapping[str, str]


class ModelNamespace(pulumi.ComponentResource):
    """The namespace of models and router: restricted pods, and no connection that no policy names.

    Pods reach DNS and, where they have a role, the agent that hands out its credentials.
    """

    namespace: pulumi.Output[str]

    def __init__(
        self, name: str, args: ModelNamespaceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("inference-platform:network_policies:ModelNamespace", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        created = kubernetes.core.v1.Namespace(
            f"{name}-namespace",
            metadata={
                "name": NAMESPACE,
                "labels": {
                    **args.labels,
                    # https://kubernetes.io/docs/concepts/security/pod-security-standards/
                    "pod-security.kubernetes.io/enforce": "restricted",
                    "pod-security.kubernetes.io/warn": "restricted",
                },
            },
            opts=child,
        )
        self.namespace = created.metadata.name
        network_policy(
            f"{name}-default",
            policy_name="default",
            namespace=self.namespace,
            labels=args.labels,
            pods={},
            egress=[dns(), pod_identity_agent()],
            opts=child,
        )
        self.register_outputs({"namespace": self.namespace})


def network_policy(
    name: str,
    *,
    policy_name: str,
    namespace: pulumi.Input[str],
    labels: Mapping[str, str],
    pods: Mapping[str, str],
    ingress: Sequence[NetworkPolicyIngressRuleArgsDict] = (),
    egress: Sequence[NetworkPolicyEgressRuleArgsDict] = (),
    opts: pulumi.ResourceOptions,
) -> kubernetes.networking.v1.NetworkPolicy:
    """A policy for the pods with these labels; both directions are closed but for the rules."""
    return kubernetes.networking.v1.NetworkPolicy(
        name,
        metadata={"name": policy_name, "namespace": namespace, "labels": labels},
        spec={
            "pod_selector": {"match_labels": pods},
            "policy_types": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": egress,
        },
        opts=opts,
    )


def dns() -> NetworkPolicyEgressRuleArgsDict:
    """Out to the cluster's DNS."""
    peer: NetworkPolicyPeerArgsDict = {
        "namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": "kube-system"}},
        "pod_selector": {"match_labels": {"k8s-app": "kube-dns"}},
    }
    return {"to": [peer], "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}


def pod_identity_agent() -> NetworkPolicyEgressRuleArgsDict:
    """Out to the agent on the own node, at its link-local address.

    https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html
    """
    return {"to": [_block("169.254.170.23/32")], "ports": [_tcp(80)]}


def aws_apis() -> NetworkPolicyEgressRuleArgsDict:
    """Out to HTTPS anywhere: S3's addresses are public and change.

    What can be reached is up to the VPC: its endpoints lead to this account's buckets only, and without NAT
    there is no other way.
    """
    return {"to": [_block("0.0.0.0/0")], "ports": [_tcp(443)]}


def to_models(ports: Sequence[int]) -> NetworkPolicyEgressRuleArgsDict:
    """Out to the pods of all models."""
    peer: NetworkPolicyPeerArgsDict = {
        "pod_selector": {"match_expressions": [{"key": MODEL_LABEL, "operator": "Exists"}]}
    }
    return {"to": [peer], "ports": [_tcp(port) for port in ports]}


def to_pods(labels: Mapping[str, str], port: int) -> NetworkPolicyEgressRuleArgsDict:
    """Out to pods of the own namespace."""
    return {"to": [_pods(labels)], "ports": [_tcp(port)]}


def from_pods(labels: Mapping[str, str], port: int) -> NetworkPolicyIngressRuleArgsDict:
    """In from pods of the own namespace."""
    return {"from_": [_pods(labels)], "ports": [_tcp(port)]}


def from_namespace(namespace: str, port: int) -> NetworkPolicyIngressRuleArgsDict:
    """In from all pods of another namespace."""
    peer: NetworkPolicyPeerArgsDict = {
        "namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": namespace}}
    }
    return {"from_": [peer], "ports": [_tcp(port)]}


def from_addresses(cidr: str, port: int) -> NetworkPolicyIngressRuleArgsDict:
    """In from a network, e.g. the load balancer's subnets."""
    return {"from_": [_block(cidr)], "ports": [_tcp(port)]}


def _pods(labels: Mapping[str, str]) -> NetworkPolicyPeerArgsDict:
    return {"pod_selector": {"match_labels": labels}}


def _block(cidr: str) -> NetworkPolicyPeerArgsDict:
    return {"ip_block": {"cidr": cidr}}


def _tcp(port: int) -> NetworkPolicyPortArgsDict:
    return {"port": port, "protocol": "TCP"}
