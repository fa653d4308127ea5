"""Add-ons of pulumi-eks' components (`nodejs/eks/addons/` there), as resources."""

from typing import Any

import pulumi_aws as aws
from pulumi import ComponentResource, Output, ResourceOptions

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
