"""`eks:index:Cluster` of pulumi-eks, expanded into its resources (`nodejs/eks/cluster/cluster.ts` there).

Types, logical names, parents and settings are those of the official component with `skipDefaultNodeGroup` and
API authentication, so that a plan, a policy or an alias means the same on every plug-in.
"""

from typing import Any

import pulumi_aws as aws
import pulumi_kubernetes as kubernetes
from pulumi import ComponentResource, Output, Resource, ResourceOptions

from local_aws.eks_access import ServiceRole, access_entries, kubeconfig
from local_aws.eks_addons import Given, VpcCniAddon, addon


class Cluster(ComponentResource):
    """The control plane with its role, security groups, access entries and add-ons.

    `outputs` has what the SDK's class declares; what nothing stands behind (Fargate, default nodes) is empty.
    """

    def __init__(self, name: str, given: Given, opts: ResourceOptions | None) -> None:
        super().__init__("eks:index:Cluster", name, given, opts)
        self._prefix, self._given, self._child = name, given, ResourceOptions(parent=self)
        both = Output.all(given.get("publicSubnetIds") or [], given.get("privateSubnetIds") or [])
        subnets = given.get("subnetIds") or both.apply(lambda lists: [*lists[0], *lists[1]])
        made = (
            None if "serviceRole" in given else ServiceRole(f"{name}-eksRole", given.get("tags"), self._child)
        )
        role = made.role if made else given["serviceRole"]
        security_group = self._cluster_security_group()
        cluster = self._control_plane(role, [made.attachment] if made else [], security_group, subnets)
        options = given.get("providerCredentialOpts")
        config = kubeconfig(cluster, options, with_profile=False)
        provider = kubernetes.Provider(
            f"{name}-eks-k8s",
            kubeconfig=Output.json_dumps(kubeconfig(cluster, options, with_profile=True)),
            enable_config_map_mutable=given.get("enableConfigMapMutable"),
            opts=self._child,
        )
        entries = access_entries(name, cluster, given, self)
        cni = self._addons(cluster, provider, entries)
        issuer: Output[str] = cluster.identities.apply(_issuer)
        oidc = None
        if given.get("createOidcProvider"):
            audience = ["sts.amazonaws.com"]
            oidc = aws.iam.OpenIdConnectProvider(
                f"{name}-oidcProvider", client_id_lists=audience, url=issuer, opts=self._child
            )
        nodes = ingress = None
        if security_group is not None and not given.get("skipDefaultSecurityGroups"):
            nodes, ingress = self._node_security_group(cluster, security_group)
        roles = [given["instanceRole"]] if "instanceRole" in given else []
        core = {
            **{key: given.get(key) for key in ("privateSubnetIds", "publicSubnetIds", "tags", "vpcId")},
            "accessEntries": list((given.get("accessEntries") or {}).values()),
            "cluster": cluster,
            "clusterIamRole": role,
            "clusterSecurityGroup": security_group,
            "encryptionConfig": cluster.encryption_config,
            "endpoint": cluster.endpoint,
            "instanceRoles": roles,
            "kubeconfig": config,
            "nodeGroupOptions": {"nodeSecurityGroup": nodes, "clusterIngressRule": ingress},
            "nodeSecurityGroupTags": given.get("nodeSecurityGroupTags"),
            "oidcProvider": oidc,
            "provider": provider,
            "storageClasses": {},
            "subnetIds": subnets,
            "vpcCni": cni,
        }
        made_by_eks = cluster.vpc_config.cluster_security_group_id
        self.outputs = {
            "autoModeNodeRoleName": "",
            "clusterIngressRuleId": ingress.security_group_rule_id if ingress else "",
            "clusterSecurityGroup": security_group,
            "clusterSecurityGroupId": security_group.id if security_group else made_by_eks,
            "core": core,
            "defaultNodeGroupAsgName": "",
            "eksCluster": cluster,
            "eksClusterIngressRule": ingress,
            "fargateProfileId": "",
            "fargateProfileStatus": "",
            "instanceRoles": roles,
            "kubeconfig": config,
            "kubeconfigJson": Output.json_dumps(config),
            "nodeSecurityGroup": nodes,
            "nodeSecurityGroupId": nodes.id if nodes else made_by_eks,
            "oidcIssuer": issuer.apply(lambda url: url.removeprefix("https://")),
            "oidcProviderArn": oidc.arn if oidc else "",
            "oidcProviderUrl": issuer,
        }
        self.register_outputs(self.outputs)

    def _control_plane(
        self, role: Any, after: list[Resource], security_group: Any, subnets: Any
    ) -> aws.eks.Cluster:
        given, encryption, network = self._given, None, None
        if "encryptionConfigKeyArn" in given:
            key = aws.eks.ClusterEncryptionConfigProviderArgs(key_arn=given["encryptionConfigKeyArn"])
            encryption = aws.eks.ClusterEncryptionConfigArgs(provider=key, resources=["secrets"])
        family, services = given.get("ipFamily", "ipv4"), given.get("kubernetesServiceIpAddressRange")
        if services is not None or "ipFamily" in given:
            network = aws.eks.ClusterKubernetesNetworkConfigArgs(
                ip_family=family, service_ipv4_cidr=None if family == "ipv6" else services
            )
        return aws.eks.Cluster(
            f"{self._prefix}-eksCluster",
            name=given.get("name"),
            role_arn=role.arn,
            bootstrap_self_managed_addons=given.get("bootstrapSelfManagedAddons", True),
            vpc_config=aws.eks.ClusterVpcConfigArgs(
                security_group_ids=[security_group.id] if security_group else None,
                subnet_ids=subnets,
                endpoint_private_access=given.get("endpointPrivateAccess"),
                endpoint_public_access=given.get("endpointPublicAccess"),
                public_access_cidrs=given.get("publicAccessCidrs"),
            ),
            kubernetes_network_config=network,
            version=given.get("version"),
            enabled_cluster_log_types=given.get("enabledClusterLogTypes"),
            encryption_config=encryption,
            access_config=aws.eks.ClusterAccessConfigArgs(
                authentication_mode="API", bootstrap_cluster_creator_admin_permissions=True
            ),
            upgrade_policy=given.get("upgradePolicy"),
            deletion_protection=given.get("deletionProtection"),
            tags=_merged({"Name": f"{self._prefix}-eksCluster"}, given.get("clusterTags"), given.get("tags")),
            opts=ResourceOptions(
                parent=self,
                depends_on=after,
                ignore_changes=[
                    "accessConfig.bootstrapClusterCreatorAdminPermissions",
                    "bootstrapSelfManagedAddons",
                ],
            ),
        )

    def _cluster_security_group(self) -> Any:
        if "clusterSecurityGroup" in self._given or self._given.get("skipDefaultSecurityGroups"):
            return self._given.get("clusterSecurityGroup")
        group = self._security_group("eksClusterSecurityGroup", self._given.get("clusterSecurityGroupTags"))
        self._rule("eksClusterInternetEgressRule", "egress", "Allow internet access.", group)
        return group

    def _node_security_group(self, cluster: aws.eks.Cluster, plane: Any) -> tuple[Any, Any]:
        """The nodes' group with its rules, and the rule that lets nodes reach the API server."""
        owned = cluster.name.apply(lambda name: {f"kubernetes.io/cluster/{name}": "owned"})
        group = self._security_group("nodeSecurityGroup", owned, self._given.get("nodeSecurityGroupTags"))
        among = "Allow nodes to communicate with each other"
        kubelet = "Allow worker Kubelets and pods to receive communication from the cluster control plane"
        extension = (
            "Allow pods running extension API servers on port 443 to receive communication from "
            "cluster control plane"
        )
        server = "Allow pods to communicate with the cluster API Server"
        self._rule("eksNodeIngressRule", "ingress", among, group, group)
        self._rule("eksNodeClusterIngressRule", "ingress", kubelet, group, plane, (1025, 65535))
        self._rule("eksExtApiServerClusterIngressRule", "ingress", extension, group, plane, (443, 443))
        self._rule("eksNodeInternetEgressRule", "egress", "Allow internet access.", group)
        return group, self._rule("eksClusterIngressRule", "ingress", server, plane, group, (443, 443))

    def _security_group(self, role: str, *tags: Any) -> aws.ec2.SecurityGroup:
        name = f"{self._prefix}-{role}"
        return aws.ec2.SecurityGroup(
            name,
            vpc_id=self._given["vpcId"],
            revoke_rules_on_delete=True,
            tags=_merged({"Name": name}, *tags, self._given.get("tags")),
            opts=self._child,
        )

    def _rule(
        self,
        role: str,
        kind: str,
        description: str,
        of: Any,
        peer: Any = None,
        ports: tuple[int, int] | None = None,
    ) -> aws.ec2.SecurityGroupRule:
        """Without a peer the rule is for everywhere, without ports for every protocol."""
        args = aws.ec2.SecurityGroupRuleArgs(
            description=description,
            type=kind,
            protocol="tcp" if ports else "-1",
            from_port=ports[0] if ports else 0,
            to_port=ports[1] if ports else 0,
            security_group_id=of.id,
            cidr_blocks=["0.0.0.0/0"] if peer is None else None,
            self=True if peer is of else None,
            source_security_group_id=peer.id if peer is not None and peer is not of else None,
        )
        return aws.ec2.SecurityGroupRule(f"{self._prefix}-{role}", args, self._child)

    def _addons(
        self, cluster: aws.eks.Cluster, provider: kubernetes.Provider, entries: list[Resource]
    ) -> VpcCniAddon | None:
        given, name, tags = self._given, self._prefix, self._given.get("tags")
        proxy, dns = given.get("kubeProxyAddonOptions") or {}, given.get("corednsAddonOptions") or {}
        if proxy.get("enabled", True):
            addon(f"{name}-kube-proxy", "kube-proxy", cluster, proxy, tags, self._child)
        if dns.get("enabled") or dns.get("configurationValues"):  # without default nodes, only when asked for
            addon(f"{name}-coredns", "coredns", cluster, dns, tags, self._child)
        if given.get("useDefaultVpcCni"):
            return None
        opts = ResourceOptions(parent=self, depends_on=entries, providers={"kubernetes": provider})
        return VpcCniAddon(f"{name}-vpc-cni", cluster, given.get("vpcCniOptions") or {}, tags, opts)


def _issuer(identities: Any) -> str:
    return str(identities[0].oidcs[0].issuer) if identities and identities[0].oidcs else ""


def _merged(*tags: Any) -> Output[dict[str, str]]:
    """The later win."""
    return Output.all(*tags).apply(lambda found: {k: v for part in found for k, v in (part or {}).items()})
