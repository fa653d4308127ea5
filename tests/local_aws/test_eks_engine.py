"""An EKS cluster, its nodes and an object in it, through the real engine and the local plug-ins."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local_aws.emulator import Emulator
from local_aws.plugins import install_plugins
from toolchain import cli

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PROGRAM = """
import json
import pulumi
import pulumi_aws as aws
import pulumi_eks as eks
import pulumi_kubernetes as k8s

settings = pulumi.Config()
tags = {"Team": settings.get("team") or "ml"}
trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
role = aws.iam.Role("nodes", assume_role_policy=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
vpc = aws.ec2.Vpc("net", cidr_block="10.0.0.0/16")
zones = {"a": "10.0.0.0/24", "b": "10.0.1.0/24"}
subnets = [
    aws.ec2.Subnet(zone, vpc_id=vpc.id, cidr_block=cidr, availability_zone=f"us-east-1{zone}")
    for zone, cidr in zones.items()
]
everything = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
admin = eks.AccessPolicyAssociationArgs(policy_arn=everything, access_scope={"type": "cluster"})
cluster = eks.Cluster(
    "gpu",
    vpc_id=vpc.id,
    private_subnet_ids=[subnet.id for subnet in subnets],
    endpoint_private_access=True,
    endpoint_public_access=False,
    enabled_cluster_log_types=["api", "audit"],
    authentication_mode=eks.AuthenticationMode.API,
    access_entries={
        "karpenter": eks.AccessEntryArgs(principal_arn=role.arn, type=eks.AccessEntryType.EC2_LINUX),
        "admin": eks.AccessEntryArgs(principal_arn=vpc.arn, access_policies={"all": admin}),
    },
    create_oidc_provider=True,
    coredns_addon_options=eks.CoreDnsAddonOptionsArgs(enabled=True),
    vpc_cni_options=eks.VpcCniOptionsArgs(enable_network_policy=True),
    deletion_protection=True,
    skip_default_node_group=True,
    tags=tags,
    upgrade_policy={"supportType": "STANDARD"},
    version="1.34",
)
nodes = eks.ManagedNodeGroup(
    "system",
    cluster=cluster,
    node_role=role,
    instance_types=["m7g.large"],
    operating_system=eks.OperatingSystem.AL2023,
    scaling_config={"desiredSize": 2, "minSize": 2, "maxSize": 3},
    enable_imd_sv2=True,
)
eks.Addon("identity", cluster=cluster, addon_name="eks-pod-identity-agent")
inside = pulumi.ResourceOptions(provider=k8s.Provider("inside", kubeconfig=cluster.kubeconfig_json))
labels = {"app": "router"}
container = {"name": "router", "image": "router:1"}
k8s.apps.v1.Deployment(
    "router",
    spec={
        "replicas": settings.get_int("replicas") or 2,
        "selector": {"match_labels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    },
    opts=inside,
)
pulumi.export("name", cluster.eks_cluster.name)
pulumi.export("subnets", cluster.core.subnet_ids)
pulumi.export("securityGroup", cluster.node_security_group.id)
pulumi.export("issuer", cluster.oidc_provider_arn)
pulumi.export("kubeconfig", cluster.kubeconfig_json)
"""

# What pulumi-eks 4.4 registers for these arguments, told from its sources (nodejs/eks/cluster/cluster.ts,
# nodes/securitygroup.ts, nodes/nodegroup.ts, addons/, servicerole.ts): type, name -> name of the parent.
CHILDREN = {
    ("aws:ec2/launchTemplate:LaunchTemplate", "system-launchTemplate"): "system",
    ("aws:ec2/securityGroup:SecurityGroup", "gpu-eksClusterSecurityGroup"): "gpu",
    ("aws:ec2/securityGroup:SecurityGroup", "gpu-nodeSecurityGroup"): "gpu",
    ("aws:ec2/securityGroupRule:SecurityGroupRule", "gpu-eksClusterIngressRule"): "gpu",
    ("aws:ec2/securityGroupRule:SecurityGroupRule", "gpu-eksClusterInternetEgressRule"): "gpu",
    ("aws:ec2/securityGroupRule:SecurityGroupRule", "gpu-eksExtApiServerClusterIngressRule"): "gpu",
    ("aws:ec2/securityGroupRule:SecurityGroupRule", "gpu-eksNodeClusterIngressRule"): "gpu",
    ("aws:ec2/securityGroupRule:SecurityGroupRule", "gpu-eksNodeIngressRule"): "gpu",
    ("aws:ec2/securityGroupRule:SecurityGroupRule", "gpu-eksNodeInternetEgressRule"): "gpu",
    ("aws:eks/accessEntry:AccessEntry", "gpu-admin"): "gpu",
    ("aws:eks/accessEntry:AccessEntry", "gpu-karpenter"): "gpu",
    ("aws:eks/accessPolicyAssociation:AccessPolicyAssociation", "gpu-admin-all"): "gpu-admin",
    ("aws:eks/addon:Addon", "gpu-coredns"): "gpu",
    ("aws:eks/addon:Addon", "gpu-kube-proxy"): "gpu",
    ("aws:eks/addon:Addon", "gpu-vpc-cni"): "gpu-vpc-cni",
    ("aws:eks/addon:Addon", "identity"): "identity",
    ("aws:eks/cluster:Cluster", "gpu-eksCluster"): "gpu",
    ("aws:eks/nodeGroup:NodeGroup", "system"): "system",
    ("aws:iam/openIdConnectProvider:OpenIdConnectProvider", "gpu-oidcProvider"): "gpu",
    ("aws:iam/role:Role", "gpu-eksRole-role"): "gpu-eksRole",
    ("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "gpu-eksRole-4b490823"): "gpu-eksRole",
    ("eks:index:Addon", "identity"): "gpu",
    ("eks:index:Cluster", "gpu"): "trial-test",
    ("eks:index:ManagedNodeGroup", "system"): "trial-test",
    ("eks:index:ServiceRole", "gpu-eksRole"): "gpu",
    ("eks:index:VpcCniAddon", "gpu-vpc-cni"): "gpu",
    ("pulumi:providers:kubernetes", "gpu-eks-k8s"): "gpu",
}
OWN = {"gpu", "system", "identity"}


@dataclass(frozen=True)
class Engine:
    """A project of its own, with state and plug-ins in the same folder."""

    project: Path
    environment: dict[str, str]

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["pulumi", *arguments, "--non-interactive", "--color=never", "--stack=test"]
        return subprocess.run(command, cwd=self.project, env=self.environment, capture_output=True, text=True)

    def succeed(self, *arguments: str) -> str:
        done = self(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def resources(self) -> list[dict[str, Any]]:
        exported = json.loads(self.succeed("stack", "export", "--show-secrets"))
        return list(exported["deployment"].get("resources", []))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """In plan mode, with a scratch backend."""
    pulumi = cli.find()
    if pulumi is None:
        pytest.fail("the Pulumi CLI is not set up: run `make setup`")
    own_bin = pulumi.parent
    if cli.needs_language_host(pulumi):
        own_bin = cli.install_language_host(pulumi, tmp_path / "bin", Path(sys.executable)).parent
    install_plugins(tmp_path / "home", sys.executable)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / ".scratch-backend").touch()
    project = tmp_path / "project"
    project.mkdir()
    (project / "Pulumi.yaml").write_text("name: trial\nruntime: python\n")
    (project / "__main__.py").write_text(PROGRAM)
    environment = os.environ | {
        "PATH": os.pathsep.join([str(own_bin), os.environ["PATH"]]),
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "LOCAL_AWS_MODE": "plan",
        "LOCAL_AWS_DIR": str(tmp_path / "local"),
        "AWS_REGION": "us-east-1",
    }
    made = Engine(project, environment)
    made.succeed("stack", "init")
    return made


@pytest.fixture
def emulating(engine: Engine, tmp_path: Path) -> Iterator[Engine]:
    """In emulate mode, with an embedded AWS of its own."""
    emulator = Emulator(tmp_path / "local", preferred_port=0)
    endpoints = emulator.start()
    told = {
        "LOCAL_AWS_MODE": "emulate",
        "LOCAL_AWS_ENDPOINT": endpoints.ministack,
        "LOCAL_AWS_MOTO_ENDPOINT": endpoints.moto,
    }
    yield Engine(engine.project, engine.environment | told | emulator.credentials())
    emulator.stop()


def family(urn: str, parent: str) -> tuple[tuple[str, str], str]:
    """((type, name), name of the parent)."""
    _, _, types, name = urn.split("::", 3)
    return (types.rpartition("$")[2], name), parent.rpartition("::")[2]


def test_components_have_the_children_of_the_official_plugin(engine: Engine) -> None:
    steps = json.loads(engine.succeed("preview", "--json"))["steps"]
    families = dict(family(step["urn"], step["newState"].get("parent", "")) for step in steps)
    expanded = {key: parent for key, parent in families.items() if {key[1], parent} & OWN or "gpu" in key[1]}
    assert expanded == CHILDREN

    made = {family(step["urn"], "")[0]: step["newState"].get("inputs", {}) for step in steps}
    control_plane = made["aws:eks/cluster:Cluster", "gpu-eksCluster"]
    assert control_plane["accessConfig"] == {
        "authenticationMode": "API",
        "bootstrapClusterCreatorAdminPermissions": True,
    }
    assert control_plane["vpcConfig"]["endpointPublicAccess"] is False
    assert len(control_plane["vpcConfig"]["subnetIds"]) == 2
    assert control_plane["deletionProtection"] is True
    assert control_plane["upgradePolicy"] == {"supportType": "STANDARD"}
    assert control_plane["tags"] == {"Name": "gpu-eksCluster", "Team": "ml"}
    group = made["aws:eks/nodeGroup:NodeGroup", "system"]
    assert (group["amiType"], group["version"]) == ("AL2023_ARM_64_STANDARD", "1.34")
    assert group["scalingConfig"] == {"desiredSize": 2, "minSize": 2, "maxSize": 3}
    template = made["aws:ec2/launchTemplate:LaunchTemplate", "system-launchTemplate"]
    assert template["metadataOptions"]["httpTokens"] == "required"
    cni = json.loads(made["aws:eks/addon:Addon", "gpu-vpc-cni"]["configurationValues"])
    assert cni["enableNetworkPolicy"] == "true"


def test_a_cluster_lives_through_up_update_and_destroy(emulating: Engine, tmp_path: Path) -> None:
    emulating.succeed("up", "--yes")
    outputs = json.loads(emulating.succeed("stack", "output", "--json", "--show-secrets"))
    user = json.loads(outputs["kubeconfig"])["users"][0]["user"]["exec"]
    assert user["args"][:6] == [
        "--region",
        "us-east-1",
        "eks",
        "get-token",
        "--cluster-name",
        outputs["name"],
    ]
    assert len(outputs["subnets"]) == 2
    assert outputs["securityGroup"].startswith("sg-")
    assert outputs["issuer"].startswith("arn:aws:iam::000000000000:oidc-provider/")
    (manifest,) = (tmp_path / "local" / "manifests" / "default").glob("deployment-router-*.yaml")
    assert "replicas: 2" in manifest.read_text()

    emulating.succeed("preview", "--expect-no-changes")

    emulating.succeed("config", "set", "team", "platform")
    emulating.succeed("config", "set", "replicas", "5")
    emulating.succeed("up", "--yes", "--skip-preview")
    assert "replicas: 5" in manifest.read_text()
    tagged = [entry for entry in emulating.resources() if entry.get("inputs", {}).get("tags", {}).get("Team")]
    assert {entry["inputs"]["tags"]["Team"] for entry in tagged} == {"platform"}

    emulating.succeed("destroy", "--yes", "--skip-preview")
    assert emulating.resources() == []
    assert list((tmp_path / "local" / "manifests").iterdir()) == []


STORED = ('version="1.34"', 'version="1.34", storage_classes="gp3"')
WORDS = ('"replicas": settings.get_int("replicas") or 2', '"replicas": "two"')


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (STORED, ["eks:index:Cluster resource 'gpu' has a problem", "property storageClasses"]),
        (WORDS, ["Deployment resource 'router': property spec.replicas", "'two' is not of type 'integer'"]),
    ],
    ids=["component", "manifest"],
)
def test_a_refusal_names_resource_property_and_reason(
    engine: Engine, change: tuple[str, str], told: list[str]
) -> None:
    (engine.project / "__main__.py").write_text(PROGRAM.replace(*change))
    done = engine("preview")
    assert done.returncode != 0
    for text in told:
        assert text in done.stdout
