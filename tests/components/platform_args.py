"""Arguments that tests of several components share: one account, one region, fixed keys."""

import pulumi

from components.function import FunctionDefaults
from components.packages import Package
from components.tags import Tags
from naming import Names

ACCOUNT, REGION = "111111111111", "eu-west-1"
NAMES = Names(platform="inference-platform", environment="dev", account_id=ACCOUNT, region=REGION)
TAGS = Tags(platform="inference-platform", environment="dev", owner="team", cost_center="ml")
DATA_KEY, LOGS_KEY, SECRETS_KEY = (
    f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{role}" for role in ("data", "logs", "secrets")
)


def function_defaults(*, tracing: bool = True) -> FunctionDefaults:
    return FunctionDefaults(
        names=NAMES,
        tags=TAGS,
        data_key_arn=DATA_KEY,
        logs_key_arn=LOGS_KEY,
        log_retention_days=14,
        log_level="WARNING",
        tracing=tracing,
        runtime="python3.13",
        architecture="arm64",
    )


def package(name: str) -> Package:
    return Package(
        bucket=pulumi.Output.from_input("models-bucket"),
        key=pulumi.Output.from_input(f"packages/{name}.zip"),
        sha256_base64="ZGlnZXN0",
    )
