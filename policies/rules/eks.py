"""EKS clusters: who reaches the API server, what it logs and encrypts, which version it runs."""

from typing import Annotated

from pydantic import Field

from policies.resources import UNKNOWN, Resource
from policies.rule import Finding, Findings, Settings, expect, is_true, resource_rule

CLUSTER = "aws:eks/cluster:Cluster"
NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
_OPEN = ("0.0.0.0/0", "::/0")
Names = Annotated[list[str], Field(min_length=1)]


@resource_rule(
    id="eks-private-endpoint-on",
    title="The cluster's API server is reachable inside the VPC",
    severity="high",
    why="Without a private endpoint, nodes reach the API server over the internet.",
    fix="set vpc_config endpoint_private_access=True",
    types=[CLUSTER],
    good={"vpcConfig": {"endpointPrivateAccess": True}},
    bad={"vpcConfig": {"endpointPrivateAccess": False}},
)
def private_endpoint_on(cluster: Resource, settings: Settings) -> Findings:
    yield from expect(cluster, "vpcConfig.endpointPrivateAccess", is_true, "true")


@resource_rule(
    id="eks-no-public-endpoint",
    title="The cluster's API server is not reachable from the internet",
    severity="high",
    why="A public API server is open to every scanner; EKS makes it public unless told otherwise.",
    fix="set vpc_config endpoint_public_access=False and deploy from inside the VPC",
    types=[CLUSTER],
    good={"vpcConfig": {"endpointPublicAccess": False}},
    bad={"vpcConfig": {}},
)
def no_public_endpoint(cluster: Resource, settings: Settings) -> Findings:
    yield from expect(cluster, "vpcConfig.endpointPublicAccess", lambda public: public is False, "false")


@resource_rule(
    id="eks-public-cidrs-restricted",
    title="A public API server admits named networks only",
    severity="critical",
    why="Open to 0.0.0.0/0, a stolen credential works from anywhere.",
    fix="set vpc_config public_access_cidrs to the networks that deploy, or turn the public endpoint off",
    types=[CLUSTER],
    good={"vpcConfig": {"endpointPublicAccess": True, "publicAccessCidrs": ["192.0.2.0/24"]}},
    bad={"vpcConfig": {"endpointPublicAccess": True, "publicAccessCidrs": ["0.0.0.0/0"]}},
)
def public_cidrs_restricted(cluster: Resource, settings: Settings) -> Findings:
    if cluster.get("vpcConfig.endpointPublicAccess", True) is False:
        return
    cidrs = cluster.items("vpcConfig.publicAccessCidrs")
    if not cidrs:
        yield Finding("`vpcConfig.publicAccessCidrs` is not set, which admits 0.0.0.0/0")
    for cidr in cidrs:
        if cidr is UNKNOWN:
            yield Finding("`vpcConfig.publicAccessCidrs` is not known yet", undecided=True)
        elif cidr in _OPEN:
            yield Finding(f"`vpcConfig.publicAccessCidrs` admits {cidr}")


@resource_rule(
    id="eks-control-plane-logs-all",
    title="The control plane writes the logs that an investigation needs",
    severity="high",
    why="Who did what in the cluster can be learned from no other place.",
    fix="list the missing types in enabled_cluster_log_types",
    types=[CLUSTER],
    settings={"logTypes": Names},
    good={"enabledClusterLogTypes": ["api", "audit", "authenticator", "controllerManager", "scheduler"]},
    bad={"enabledClusterLogTypes": ["api"]},
)
def control_plane_logs_all(cluster: Resource, settings: Settings) -> Findings:
    enabled = cluster.items("enabledClusterLogTypes")
    missing = [kind for kind in settings["logTypes"] if kind not in enabled]
    if missing:
        # One that is unknown may be one that is missing.
        message = f"`enabledClusterLogTypes` lacks {', '.join(missing)}"
        yield Finding(message, undecided=UNKNOWN in enabled)


@resource_rule(
    id="eks-secrets-kms",
    title="Kubernetes secrets are encrypted with a customer managed key",
    severity="high",
    why="Then reading them takes the key's permission as well, and use of the key is audited.",
    fix='set encryption_config resources=["secrets"] with provider key_arn',
    types=[CLUSTER],
    good={"encryptionConfig": {"resources": ["secrets"], "provider": {"keyArn": "arn:aws:kms:::key/1"}}},
    bad={"encryptionConfig": {"resources": ["secrets"], "provider": {}}},
)
def secrets_kms(cluster: Resource, settings: Settings) -> Findings:
    """The key's ARN is often unknown at preview; that there is one is not."""
    if not cluster.has("encryptionConfig.provider.keyArn"):
        yield Finding("`encryptionConfig.provider.keyArn` is not set")
    yield from expect(
        cluster, "encryptionConfig.resources", lambda kinds: "secrets" in (kinds or []), '["secrets"]'
    )


@resource_rule(
    id="eks-supported-version",
    title="The cluster and its nodes run a Kubernetes version in support",
    severity="high",
    why="A version past its standard support gets fixes late or never, at six times the price.",
    fix="set version to one of the environment's versions",
    types=[CLUSTER, NODE_GROUP],
    settings={"versions": Names},
    good={"version": "1.34"},
    bad={"version": "1.27"},
)
def supported_version(resource: Resource, settings: Settings) -> Findings:
    """A node group without a version takes the cluster's."""
    if resource.type == CLUSTER or resource.has("version"):
        versions = settings["versions"]
        yield from expect(resource, "version", lambda version: version in versions, " or ".join(versions))


@resource_rule(
    id="eks-no-extended-support-billing",
    title="The cluster is upgraded in time rather than billed for extended support",
    severity="medium",
    why="In extended support the control plane costs 0.60 USD an hour instead of 0.10.",
    fix='set upgrade_policy support_type="STANDARD"',
    types=[CLUSTER],
    good={"upgradePolicy": {"supportType": "STANDARD"}},
    bad={"upgradePolicy": {"supportType": "EXTENDED"}},
)
def no_extended_support_billing(cluster: Resource, settings: Settings) -> Findings:
    yield from expect(cluster, "upgradePolicy.supportType", lambda kind: kind == "STANDARD", "STANDARD")


@resource_rule(
    id="eks-deletion-protection",
    title="The cluster refuses deletion",
    severity="medium",
    why="One wrong command would take every model on the cluster down.",
    fix="set deletion_protection=True",
    types=[CLUSTER],
    good={"deletionProtection": True},
    bad={},
)
def deletion_protection(cluster: Resource, settings: Settings) -> Findings:
    yield from expect(cluster, "deletionProtection", is_true, "true")


@resource_rule(
    id="eks-api-auth-mode",
    title="Access to the cluster is granted by access entries",
    severity="medium",
    why="The aws-auth config map is edited by hand, and the cluster's creator keeps admin rights unseen.",
    fix="set access_config authentication_mode=API and bootstrap_cluster_creator_admin_permissions=False",
    types=[CLUSTER],
    settings={"creatorAdmin": bool},
    good={"accessConfig": {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False}},
    bad={"accessConfig": {"authenticationMode": "CONFIG_MAP"}},
)
def api_auth_mode(cluster: Resource, settings: Settings) -> Findings:
    modes = ("API", "API_AND_CONFIG_MAP")
    yield from expect(
        cluster, "accessConfig.authenticationMode", lambda mode: mode in modes, " or ".join(modes)
    )
    if not settings["creatorAdmin"]:
        creator = "accessConfig.bootstrapClusterCreatorAdminPermissions"
        yield from expect(cluster, creator, lambda admin: admin is False, "false")


RULES = (
    private_endpoint_on,
    no_public_endpoint,
    public_cidrs_restricted,
    control_plane_logs_all,
    secrets_kms,
    supported_version,
    no_extended_support_billing,
    deletion_protection,
    api_auth_mode,
)
