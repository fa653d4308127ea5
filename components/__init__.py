"""Reusable component resources of the platform; `__main__.py` composes them."""

from components.account_baseline import AccountBaseline, AccountBaselineArgs
from components.build_project import BuildDefaults
from components.custom_domain import CustomDomain, CustomDomainArgs
from components.function import FunctionDefaults
from components.gateway import Gateway, GatewayArgs, UsageLimits
from components.identity import Identity, IdentityArgs
from components.images import Images, ImagesArgs
from components.keys import Keys, KeysArgs
from components.lambda_backend import LambdaBackend, LambdaBackendArgs
from components.names import Names
from components.network import NatStrategy, Network, NetworkArgs
from components.packages import Packages, PackagesArgs
from components.storage import Storage, StorageArgs
from components.tags import Tags
from components.web_acl import WebAcl, WebAclArgs

__all__ = [
    "AccountBaseline",
    "AccountBaselineArgs",
    "BuildDefaults",
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
    "LambdaBackend",
    "LambdaBackendArgs",
    "Names",
    "NatStrategy",
    "Network",
    "NetworkArgs",
    "Packages",
    "PackagesArgs",
    "Storage",
    "StorageArgs",
    "Tags",
    "UsageLimits",
    "WebAcl",
    "WebAclArgs",
]
