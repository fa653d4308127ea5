"""The deployments that tests of all components look at: every environment, and what none of them has."""

from pathlib import Path

from components.build_project import BuildDefaults, BuildNetwork
from components.images import Images, ImagesArgs
from environments import loader
from tests.components import gpu_programs, sagemaker_programs
from tests.components.platform_args import DATA_KEY, LOGS_KEY, NAMES, TAGS, package
from tests.components.programs import program
from tests.components.recorded import Recorded, deployed

_LOGINS = "arn:aws:secretsmanager:us-east-1:333333333333:secret:ecr-pullthroughcache"

# Settings that no environment has.
_EVERYTHING = {
    "domain": {"name": "inference.example.com", "zone_id": "Z123"},
    "network": {"interface_endpoints": ["ecr.api", "sts"]},
    "images": {
        "registries": {
            "public.ecr.aws": None,
            "ghcr.io": f"{_LOGINS}/github-AbCdEf",
            "docker.io": f"{_LOGINS}/docker-AbCdEf",
            "quay.io": None,
        },
        "cached_images": {"arm64": ["quay.io/a/b:1"]},
        "registry_scanning": "ENHANCED",
    },
    "models": {"digits": {"provisioned_concurrency": 2}},
    "policy_profile": "stage",
    "cluster": {
        "baseline": {"instance_type": "g6.xlarge"},
        "access": {"deploy": {"principal_arn": "arn:aws:iam::333333333333:role/deploy", "level": "admin"}},
    },
    "costs": {"monthly_usd": 100, "parking": {}, "activate_tags": True, "stop_at_budget": True},
    "audit": {"inspector": True},
    "delivery": {
        "owner": "example",
        "repository": "inference-platform",
        "github_environment": "prod",
        "connection_arn": "arn:aws:codeconnections:us-east-1:333333333333:connection/1",
        "publishers": {
            "vision": {
                "owner": "example",
                "repository": "vision-models",
                "github_environment": "models",
                "models": ["digits", "fraud"],
            },
        },
    },
}

PROGRAMS = [*loader.names(), "everything"]
DEPLOYMENTS = [*PROGRAMS, "builds", "gpu", "sagemaker"]


def deploy(which: str, folder: Path) -> Recorded:
    """What one of `DEPLOYMENTS` registers.

    Args:
        folder: an empty one for function packages.
    """
    match which:
        case "everything":
            return program("prod", folder, _EVERYTHING)
        case "builds":
            return deployed(_builds)
        case "gpu":
            return gpu_programs.built()
        case "sagemaker":
            return deployed(_sagemaker, recorded=sagemaker_programs.Named())
    return program(which, folder)


def _builds() -> None:
    defaults = BuildDefaults(names=NAMES, tags=TAGS, data_key_arn=DATA_KEY, logs_key_arn=LOGS_KEY)
    args = ImagesArgs(
        builds=defaults,
        model_server_source=package("model-server-image"),
        build_network=BuildNetwork(vpc_id="vpc-1", subnet_ids=["subnet-1"]),
    )
    Images("images", args)


def _sagemaker() -> None:
    for model in sagemaker_programs.HOSTINGS:
        sagemaker_programs.backend(model)
