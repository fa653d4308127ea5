"""Who may use a cluster of pulumi-eks' component, as resources, and with which kubeconfig."""

import hashlib
import json
from typing import Any

import pulumi_aws as aws
from pulumi import ComponentResource, Output, Resource, ResourceOptions

from local_aws.eks_addons import Given


class ServiceRole(ComponentResource):
    """The role that EKS assumes."""

    def __init__(self, name: str, tags: Any, opts: ResourceOptions) -> None:
        super().__init__("eks:index:ServiceRole", name, None, opts)
        child = ResourceOptions(parent=self)
        trust = {
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Effect": "Allow",
            "Principal": {"Service": ["eks.amazonaws.com"]},
        }
        self.role = aws.iam.Role(
            f"{name}-role",
            description="Allows EKS to manage clusters on your behalf.",
            assume_role_policy=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
            tags=tags,
            opts=child,
        )
        policy = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"
        suffix = hashlib.sha1(policy.encode(), usedforsecurity=False).hexdigest()[:8]  # as the official name
        self.attachment = aws.iam.RolePolicyAttachment(
            f"{name}-{suffix}", policy_arn=policy, role=self.role.name, opts=child
        )
        self.register_outputs({"role": self.role})


def access_entries(prefix: str, cluster: aws.eks.Cluster, given: Given, parent: Resource) -> list[Resource]:
    """Who may use the cluster, with the access policies of each."""
    entries = dict(given.get("accessEntries") or {})
    if "instanceRole" in given:  # without it no node of that role can join
        nodes = {"principalArn": given["instanceRole"].arn, "type": "EC2_LINUX"}
        entries = {"defaultNodeGroupInstanceRole": nodes} | entries
    made: list[Resource] = []
    for key, entry in entries.items():
        resource = aws.eks.AccessEntry(
            f"{prefix}-{key}",
            cluster_name=cluster.name,
            principal_arn=entry["principalArn"],
            kubernetes_groups=entry.get("kubernetesGroups"),
            tags=entry.get("tags"),
            type=entry.get("type"),
            user_name=entry.get("username"),
            opts=ResourceOptions(parent=parent, depends_on=[cluster]),
        )
        for association, policy in (entry.get("accessPolicies") or {}).items():
            aws.eks.AccessPolicyAssociation(
                f"{prefix}-{key}-{association}",
                cluster_name=cluster.name,
                principal_arn=entry["principalArn"],
                policy_arn=policy["policyArn"],
                access_scope=policy["accessScope"],
                opts=ResourceOptions(parent=resource, depends_on=[resource]),
            )
        made.append(resource)
    return made


def kubeconfig(cluster: aws.eks.Cluster, options: Any, *, with_profile: bool) -> Output[Given]:
    """A kubeconfig whose token the AWS CLI gets."""

    def config(found: list[Any]) -> Given:
        name, arn, endpoint, authority, chosen = found
        region = arn.split(":")[3]
        words = f"--region {region} eks get-token --cluster-name {name} --output json".split()
        if chosen and chosen.get("roleArn"):
            words += ["--role", chosen["roleArn"]]
        if chosen and chosen.get("profileName") and with_profile:
            words += ["--profile", chosen["profileName"]]
        api = "client.authentication.k8s.io/v1beta1"
        environment = [{"name": "KUBERNETES_EXEC_INFO", "value": f'{{"apiVersion": "{api}"}}'}]
        token = {"apiVersion": api, "command": "aws", "args": words, "env": environment}
        server = {"server": endpoint, "certificate-authority-data": authority}
        return {
            "apiVersion": "v1",
            "clusters": [{"cluster": server, "name": "kubernetes"}],
            "contexts": [{"context": {"cluster": "kubernetes", "user": "aws"}, "name": "aws"}],
            "current-context": "aws",
            "kind": "Config",
            "users": [{"name": "aws", "user": {"exec": token}}],
        }

    facts = (cluster.name, cluster.arn, cluster.endpoint, cluster.certificate_authority.data)
    return Output.all(*facts, options).apply(config)
