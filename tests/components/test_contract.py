"""What all components have in common: token, constructor, arguments, parents, tags, outputs, sentences."""

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator

import pulumi
import pytest

import components
from components.build_project import BuildDefaults
from components.images import Images, ImagesArgs
from components.names import Names
from components.packages import Package
from components.tags import Tags
from environments.docs import components as source
from policies import taggable
from tests.components.conftest import Programs
from tests.components.programs import program
from tests.components.recorded import STACK, Recorded, deployed

# A token is part of every URN below it: changing one replaces resources unless an alias is left.
TOKENS = {
    "inference-platform:account_baseline:AccountBaseline",
    "inference-platform:build_project:BuildProject",
    "inference-platform:custom_domain:CustomDomain",
    "inference-platform:endpoints:Endpoints",
    "inference-platform:function:Function",
    "inference-platform:gateway:Gateway",
    "inference-platform:identity:Identity",
    "inference-platform:image_cache:ImageCache",
    "inference-platform:images:Images",
    "inference-platform:keys:Keys",
    "inference-platform:lambda_backend:LambdaBackend",
    "inference-platform:network:Network",
    "inference-platform:packages:Packages",
    "inference-platform:storage:SecureBucket",
    "inference-platform:storage:Storage",
    "inference-platform:web_acl:WebAcl",
}


def modules() -> Iterator[object]:
    for module in pkgutil.iter_modules(components.__path__):
        yield importlib.import_module(f"components.{module.name}")


def public_classes() -> list[type]:
    """Every public class that a module of the package defines, private modules' included."""
    return [
        found
        for module in modules()
        for name, found in vars(module).items()
        if inspect.isclass(found)
        and found.__module__ == getattr(module, "__name__", None)
        and not name.startswith("_")
    ]


COMPONENTS = [found for found in public_classes() if issubclass(found, pulumi.ComponentResource)]
SOURCE = source.classes()


def test_type_tokens_are_the_pinned_ones() -> None:
    tokens = [entry.token for entry in SOURCE.values() if entry.token is not None]
    assert len(tokens) == len(set(tokens)) == len(COMPONENTS)
    assert set(tokens) == TOKENS


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_token_ends_with_the_class(component: type) -> None:
    token = SOURCE[component.__name__].token
    assert token is not None
    assert token.startswith("inference-platform:")
    assert token.endswith(f":{component.__name__}")


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_constructor_takes_name_args_and_opts(component: type[pulumi.ComponentResource]) -> None:
    signature = inspect.signature(component)
    arguments = getattr(importlib.import_module(component.__module__), f"{component.__name__}Args")
    assert [(p.name, p.annotation, p.default) for p in signature.parameters.values()] == [
        ("name", str, inspect.Parameter.empty),
        ("args", arguments, inspect.Parameter.empty),
        ("opts", pulumi.ResourceOptions | None, None),
    ]


@pytest.mark.parametrize("component", COMPONENTS)
def test_arguments_are_frozen_and_keyword_only(component: type) -> None:
    arguments = getattr(importlib.import_module(component.__module__), f"{component.__name__}Args")
    assert dataclasses.is_dataclass(arguments)
    assert arguments.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert all(field.kw_only for field in dataclasses.fields(arguments))


@pytest.mark.parametrize("name", SOURCE)
def test_every_public_class_says_what_it_is(name: str) -> None:
    assert SOURCE[name].text, f"components/{SOURCE[name].module}.py: {name} has no docstring"


@pytest.mark.parametrize("name", [name for name in SOURCE if name.endswith("Args")])
def test_every_argument_says_what_it_means(name: str) -> None:
    silent = [field.name for field in SOURCE[name].attributes if not source.text_of(field, SOURCE)]
    assert not silent, f"components/{SOURCE[name].module}.py: {name} says nothing of {', '.join(silent)}"


def images_with_builds() -> None:
    builds = BuildDefaults(
        names=Names(
            platform="inference-platform", environment="dev", account_id="111111111111", region="us-east-1"
        ),
        tags=Tags(platform="inference-platform", environment="dev", owner="team", cost_center="ml"),
        data_key_arn="arn:aws:kms:us-east-1:111111111111:key/data",
        logs_key_arn="arn:aws:kms:us-east-1:111111111111:key/logs",
    )
    package = Package(
        bucket=pulumi.Output.from_input("bucket"), key=pulumi.Output.from_input("key"), sha256_base64="AAAA"
    )
    Images("images", ImagesArgs(builds=builds, model_server_source=package))


# Settings that no environment has, so that every component stands in one deployment at least.
EVERYTHING = {
    "domain": {"name": "inference.example.com", "zone_id": "Z123"},
    "network": {"nat": "none", "interface_endpoints": ["ecr.api", "sts"]},
    "images": {"cached_images": {"arm64": ["quay.io/a/b:1"]}, "registry_scanning": "ENHANCED"},
    "models": {"digits": {"provisioned_concurrency": 2}},
}


@pytest.fixture(scope="module")
def deployment(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Recorded]:
    def made(which: str) -> Recorded:
        match which:
            case "everything":
                return program("prod", tmp_path_factory.mktemp(which), EVERYTHING)
            case "builds":
                return deployed(images_with_builds)
        return programs(which)

    known: dict[str, Recorded] = {}
    return lambda which: known.setdefault(which, known.get(which) or made(which))


DEPLOYMENTS = ["local", "dev", "stage", "prod", "everything", "builds"]


def test_every_component_is_deployed_here(deployment: Callable[[str], Recorded]) -> None:
    types = {resource.type for which in DEPLOYMENTS for resource in deployment(which).resources}
    assert {type_ for type_ in types if type_.startswith("inference-platform:")} == TOKENS


@pytest.mark.parametrize("which", DEPLOYMENTS)
def test_every_resource_belongs_to_a_component(deployment: Callable[[str], Recorded], which: str) -> None:
    resources = deployment(which).resources
    below_stack = {resource.urn for resource in resources if f"::{STACK}$" in resource.urn}
    owners = {resource.urn for resource in resources if resource.type.startswith("inference-platform:")}
    assert resources
    for resource in resources:
        if resource.type.startswith("inference-platform:") or resource.type == "pulumi:providers:aws":
            continue
        assert resource.parent in owners, resource.urn
        assert resource.urn not in below_stack


@pytest.mark.parametrize("which", DEPLOYMENTS)
def test_every_component_registers_its_outputs(deployment: Callable[[str], Recorded], which: str) -> None:
    recorded = deployment(which)
    components_ = [r.urn for r in recorded.resources if r.type.startswith("inference-platform:")]
    assert components_
    assert [urn for urn in components_ if urn not in recorded.finished] == []


@pytest.mark.parametrize("which", DEPLOYMENTS)
def test_logical_names_begin_with_the_parents(deployment: Callable[[str], Recorded], which: str) -> None:
    recorded = deployment(which)
    owners = {r.urn: r.name for r in recorded.resources if r.type.startswith("inference-platform:")}
    for resource in recorded.resources:
        if resource.parent in owners and not resource.type.startswith("inference-platform:"):
            assert resource.name.startswith(f"{owners[resource.parent]}-"), resource.urn


@pytest.mark.parametrize("which", DEPLOYMENTS)
def test_every_taggable_resource_carries_the_five_tags(
    deployment: Callable[[str], Recorded], which: str
) -> None:
    types = taggable.types()
    tagged = [resource for resource in deployment(which).resources if resource.type in types]
    assert tagged
    for resource in tagged:
        tags = resource.inputs.get("tags") or {}
        assert {"platform", "environment", "owner", "cost-center", "component"} <= tags.keys(), resource.urn
        assert all(tags.values()), resource.urn


@pytest.mark.parametrize("which", [which for which in DEPLOYMENTS if which != "builds"])
def test_every_resource_is_made_by_the_provider_that_knows_its_account(
    deployment: Callable[[str], Recorded], which: str
) -> None:
    recorded = deployment(which)
    provider = recorded.one("pulumi:providers:aws")
    assert provider.inputs["allowedAccountIds"]
    for resource in recorded.resources:
        if resource.type.startswith("aws:"):
            assert resource.provider.startswith(provider.urn), resource.urn
