"""What all components have in common: token, constructor, arguments, parents, tags, outputs, sentences."""

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pulumi
import pytest

import components
from environments.docs import components as source
from policies import taggable
from tests.components.conftest import Deployed
from tests.components.deployments import DEPLOYMENTS
from tests.components.recorded import STACK, Recorded, Resource

# A token is part of every URN below it: changing one replaces resources unless an alias is left.
TOKENS = {
    "inference-platform:account_baseline:AccountBaseline",
    "inference-platform:alert_topic:AlertTopic",
    "inference-platform:analytics:Analytics",
    "inference-platform:audit:Audit",
    "inference-platform:audit_bucket:AuditBucket",
    "inference-platform:build_project:BuildProject",
    "inference-platform:canary:Canary",
    "inference-platform:capture:CaptureStream",
    "inference-platform:charts:Charts",
    "inference-platform:cluster:Cluster",
    "inference-platform:cluster_addons:ClusterAddons",
    "inference-platform:cluster_entry:ClusterEntry",
    "inference-platform:cluster_worker:ClusterWorker",
    "inference-platform:config_rules:ConfigRules",
    "inference-platform:cost_guard:CostGuard",
    "inference-platform:custom_domain:CustomDomain",
    "inference-platform:data_quality:DataQuality",
    "inference-platform:delivery_access:DeliveryAccess",
    "inference-platform:delivery:Delivery",
    "inference-platform:drift:DriftMonitor",
    "inference-platform:endpoints:Endpoints",
    "inference-platform:event_alerts:EventAlerts",
    "inference-platform:function:Function",
    "inference-platform:gateway:Gateway",
    "inference-platform:gpu_backend:GpuBackend",
    "inference-platform:gpu_cluster:GpuCluster",
    "inference-platform:identity:Identity",
    "inference-platform:idle_parking:IdleParking",
    "inference-platform:image_cache:ImageCache",
    "inference-platform:images:Images",
    "inference-platform:job_topics:JobTopics",
    "inference-platform:jobs:Jobs",
    "inference-platform:jobs_queue:JobsQueue",
    "inference-platform:jobs_table:JobsTable",
    "inference-platform:karpenter:Karpenter",
    "inference-platform:keys:Keys",
    "inference-platform:lambda_backend:LambdaBackend",
    "inference-platform:model_parking:ModelParking",
    "inference-platform:models:Models",
    "inference-platform:network:Network",
    "inference-platform:network_policies:ModelNamespace",
    "inference-platform:node_group:NodeGroup",
    "inference-platform:node_pools:NodePools",
    "inference-platform:node_role:NodeRole",
    "inference-platform:observability:Observability",
    "inference-platform:packages:Packages",
    "inference-platform:pod_identity:PodIdentity",
    "inference-platform:publisher:Publisher",
    "inference-platform:replica_scaler:ReplicaScaler",
    "inference-platform:router:Router",
    "inference-platform:runner:Runner",
    "inference-platform:sagemaker_backend:SageMakerBackend",
    "inference-platform:sagemaker_deployment:RollbackAlarms",
    "inference-platform:sagemaker_role:ExecutionRole",
    "inference-platform:sagemaker_scaling:VariantScaling",
    "inference-platform:storage:SecureBucket",
    "inference-platform:storage:Storage",
    "inference-platform:threat_detection:ThreatDetection",
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


def components_of(recorded: Recorded) -> list[Resource]:
    return [resource for resource in recorded.resources if resource.type.startswith("inference-platform:")]


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
    assert vars(arguments)["__dataclass_params__"].frozen
    assert all(field.kw_only for field in dataclasses.fields(arguments))


@pytest.mark.parametrize("name", SOURCE)
def test_every_public_class_says_what_it_is(name: str) -> None:
    assert SOURCE[name].text, f"{SOURCE[name].file}: {name} has no docstring"


@pytest.mark.parametrize("name", [name for name in SOURCE if name.endswith("Args")])
def test_every_argument_says_what_it_means(name: str) -> None:
    silent = [field.name for field in SOURCE[name].attributes if not source.text_of(field, SOURCE)]
    assert not silent, f"{SOURCE[name].file}: {name} says nothing of {', '.join(silent)}"


def test_every_component_is_deployed_here(deployment_of: Deployed) -> None:
    types = {resource.type for which in DEPLOYMENTS for resource in deployment_of(which).resources}
    assert {type_ for type_ in types if type_.startswith("inference-platform:")} == TOKENS


def test_every_resource_belongs_to_a_component(deployment: Recorded) -> None:
    owners = {component.urn for component in components_of(deployment)}
    resources = [r for r in deployment.resources if r.urn not in owners and r.type != "pulumi:providers:aws"]
    assert resources
    for resource in resources:
        assert resource.parent in owners, resource.urn
        assert f"::{STACK}$" not in resource.urn


def test_every_component_registers_its_outputs(deployment: Recorded) -> None:
    made = components_of(deployment)
    assert made
    assert [component.urn for component in made if component.urn not in deployment.finished] == []


def test_logical_names_begin_with_the_parents(deployment: Recorded) -> None:
    owners = {component.urn: component for component in components_of(deployment)}
    for resource in deployment.resources:
        if resource.parent in owners and resource.urn not in owners:
            owner = owners[resource.parent].name
            assert resource.name == owner or resource.name.startswith(f"{owner}-"), resource.urn


def test_every_taggable_resource_carries_the_five_tags(deployment: Recorded) -> None:
    types = taggable.types()
    tagged = [resource for resource in deployment.resources if resource.type in types]
    assert tagged
    for resource in tagged:
        tags = resource.inputs.get("tags") or {}
        assert {"platform", "environment", "owner", "cost-center", "component"} <= tags.keys(), resource.urn
        assert all(tags.values()), resource.urn


def test_every_resource_is_made_by_the_provider_that_knows_its_account(whole_program: Recorded) -> None:
    provider = whole_program.one("pulumi:providers:aws")
    assert provider.inputs["allowedAccountIds"]
    for resource in whole_program.resources:
        if resource.type.startswith("aws:"):
            assert resource.provider.startswith(provider.urn), resource.urn
