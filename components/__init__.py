"""Reusable component resources of the platform; `__main__.py` composes them."""

from components.account_baseline import AccountBaseline, AccountBaselineArgs
from components.build_project import BuildDefaults
from components.cluster import Cluster, ClusterArgs
from components.custom_domain import CustomDomain, CustomDomainArgs
from components.function import FunctionDefaults
from components.gateway import Gateway, GatewayArgs, UsageLimits
from components.identity import Identity, IdentityArgs
from components.images import Images, ImagesArgs
from components.keys import Keys, KeysArgs
from components.models import Models, ModelsArgs
from components.names import Names
from components.network import NatStrategy, Network, NetworkArgs
from components.packages import Packages, PackagesArgs
from components.router import Router, RouterArgs
from components.storage import Storage, StorageArgs
from components.tags import Tags
from components.web_acl import WebAcl, WebAclArgs

__all__ = [
    "AccountBaseline",
    "AccountBaselineArgs",
    "BuildDefaults",
    "Cluster",
    "ClusterArgs",
    "CustomDomain",
    "CustomDomainArgs",
    "FunctionDefaults",
    "Gateway",
    "GatewayArgs",
    "Identity",
    "IdentityArgs",
    "Images",
    "ImagesArgs",
    "Keys",
    "KeysArgs",
    "Models",
    "ModelsArgs",
    "Names",
    "NatStrategy",
    "Network",
    "NetworkArgs",
    "Packages",
    "PackagesArgs",
    "Router",
    "RouterArgs",
    "Storage",
    "StorageArgs",
    "Tags",
    "UsageLimits",
    "WebAcl",
    "WebAclArgs",
]
