"""Reusable component resources of the platform; `__main__.py` composes them."""

from components.account_baseline import AccountBaseline, AccountBaselineArgs
from components.function import FunctionDefaults
from components.gateway import Gateway, GatewayArgs, UsageLimits
from components.identity import Identity, IdentityArgs
from components.keys import Keys, KeysArgs
from components.lambda_backend import LambdaBackend, LambdaBackendArgs
from components.names import Names
from components.packages import Packages, PackagesArgs
from components.storage import Storage, StorageArgs
from components.tags import Tags

__all__ = [
    "AccountBaseline",
    "AccountBaselineArgs",
    "FunctionDefaults",
    "Gateway",
    "GatewayArgs",
    "Identity",
    "IdentityArgs",
    "Keys",
    "KeysArgs",
    "LambdaBackend",
    "LambdaBackendArgs",
    "Names",
    "Packages",
    "PackagesArgs",
    "Storage",
    "StorageArgs",
    "Tags",
    "UsageLimits",
]
