"""`eks:index:Cluster` of pulumi-eks, expanded into its resources (`nodejs/eks/cluster/cluster.ts` there).

Types, logical names, parents and settings are those of the official component with `skipDefaultNodeGroup` and
API authentication, so that a plan, a policy or an alias means the same on every plug-in.
"""

import hashlib
import json
from typing import Any

import pulumi_aws as aws
import pulumi_kubernetes as kubernetes
from pulumi import ComponentResource, Output, Resource, ResourceOptions

Given = dict[str, Any]
"""Inputs by their names in the schema (camelCase), each plain or an Output."""

_CNI_ENVIRONMENT = {
    "WARM_ENI_TARGET": "1",
    "AWS_VPC_K8S_CNI_LOGLEVEL": "DEBUG",
    "AWS_VPC_K8S_CNI_LOG_FILE": "/host/var/log/aws-routed-eni/ipamd.log",
    "AWS_VPC_K8S_CNI_VETHPREFIX": "eni",
    "AWS_VPC_ENI_MTU": "9001",
    "AWS_VPC_K8S_PLUGIN_LOG_LEVEL": "DEBUG",
    "AWS_VPC_K8S_PLUGIN_LOG_FILE": "/var/log/aws-routed-eni/plugin.log",
    "ENABLE_POD_ENI": "false",
    "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "false",
    "AWS_VPC_K8S_CNI_EXTERNALSNAT": "false",
}
_CNI_INIT_ENVIRONMENT = {"DISABLE_TCP_EARLY_DEMUX": "false"}


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


class VpcCniAddon(ComponentResource):
    """The vpc-cni add-on, configured by the environment variables of its two containers."""

    def __init__(self, name: str, cluster: Any, options: Given, tags: Any, opts: ResourceOptions) -> None:
        super().__init__("eks:index:VpcCniAddon", name, None, opts)
        values = Output.from_input(options).apply(_cni_values)
        self.addon = addon(
            name,
            "vpc-cni",
            cluster,
            options | {"configurationValues": values},
            tags,
            ResourceOptions(parent=self),
        )
        self.register_outputs({"addon": self.addon})


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
        kubeconfig = self._kubeconfig(cluster, with_profile=False)
        provider = kubernetes.Provider(
            f"{name}-eks-k8s",
            kubeconfig=Output.json_dumps(self._kubeconfig(cluster, with_profile=True)),
            enable_config_map_mutable=given.get("enableConfigMapMutable"),
            opts=self._child,
        )
        entries = self._access_entries(cluster)
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
            "kubeconfig": kubeconfig,
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
            "kubeconfig": kubeconfig,
            "kubeconfigJson": Output.json_dumps(kubeconfig),
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

    def _access_entries(self, cluster: aws.eks.Cluster) -> list[Resource]:
        entries = dict(self._given.get("accessEntries") or {})
        if "instanceRole" in self._given:  # without it no node of that role can join
            nodes = {"principalArn": self._given["instanceRole"].arn, "type": "EC2_LINUX"}
            entries = {"defaultNodeGroupInstanceRole": nodes} | entries
        made: list[Resource] = []
        for key, entry in entries.items():
            resource = aws.eks.AccessEntry(
                f"{self._prefix}-{key}",
                cluster_name=cluster.name,
                principal_arn=entry["principalArn"],
                kubernetes_groups=entry.get("kubernetesGroups"),
                tags=entry.get("tags"),
                type=entry.get("type"),
                user_name=entry.get("username"),
                opts=ResourceOptions(parent=self, depends_on=[cluster]),
            )
            for association, policy in (entry.get("accessPolicies") or {}).items():
                aws.eks.AccessPolicyAssociation(
                    f"{self._prefix}-{key}-{association}",
                    cluster_name=cluster.name,
                    principal_arn=entry["principalArn"],
                    policy_arn=policy["policyArn"],
                    access_scope=policy["accessScope"],
                    opts=ResourceOptions(parent=resource, depends_on=[resource]),
                )
            made.append(resource)
        return made

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

    def _kubeconfig(self, cluster: aws.eks.Cluster, *, with_profile: bool) -> Output[Given]:
        """A kubeconfig whose token the AWS CLI gets."""

        def config(found: list[Any]) -> Given:
            name, arn, endpoint, authority, options = found
            words = [
                "--region",
                arn.split(":")[3],
                "eks",
                "get-token",
                "--cluster-name",
                name,
                "--output",
                "json",
            ]
            if options and options.get("roleArn"):
                words += ["--role", options["roleArn"]]
            if options and options.get("profileName") and with_profile:
                words += ["--profile", options["profileName"]]
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
        return Output.all(*facts, self._given.get("providerCredentialOpts")).apply(config)


def addon(
    name: str, addon_name: Any, cluster: Any, options: Given, tags: Any, opts: ResourceOptions
) -> aws.eks.Addon:
    """An add-on. Without a version EKS chooses; the official component asks the account for the newest."""
    values: Any = options.get("configurationValues")
    if values is not None:
        values = Output.json_dumps(values, sort_keys=True, separators=(",", ":"))
    return aws.eks.Addon(
        name,
        addon_name=addon_name,
        addon_version=options.get("version") or options.get("addonVersion"),
        cluster_name=cluster.name,
        configuration_values=values,
        preserve=options.get("preserve", True),
        resolve_conflicts_on_create=options.get("resolveConflictsOnCreate", "OVERWRITE"),
        resolve_conflicts_on_update=options.get("resolveConflictsOnUpdate", "OVERWRITE"),
        service_account_role_arn=options.get("serviceAccountRoleArn"),
        tags=tags,
        opts=opts,
    )


def _cni_values(options: Given) -> Given:
    values = dict(options.get("configurationValues") or {})
    if options.get("enableNetworkPolicy") is not None:
        values.setdefault("enableNetworkPolicy", str(options["enableNetworkPolicy"]).lower())
    init = values.get("init") or {}
    values["env"] = _CNI_ENVIRONMENT | (values.get("env") or {})
    values["init"] = init | {"env": _CNI_INIT_ENVIRONMENT | (init.get("env") or {})}
    return values


def _issuer(identities: Any) -> str:
    return str(identities[0].oidcs[0].issuer) if identities and identities[0].oidcs else ""


def _merged(*tags: Any) -> Output[dict[str, str]]:
    """The later win."""
    return Output.all(*tags).apply(lambda found: {k: v for part in found for k, v in (part or {}).items()})
