"""Whose a resource is, from the components that it stands in."""

import pytest

from cost.resources import Resource


@pytest.mark.parametrize(
    ("path", "component", "model"),
    [
        (("model", "model-fraud", "model-fraud-endpoint"), "model-fraud", "fraud"),
        (("quality-fraud", "quality-fraud-schedule"), "quality-fraud", "fraud"),
        (("jobs-llama", "jobs-llama-pods", "jobs-llama-pods-role"), "jobs-llama", "llama"),
        (("jobs", "jobs-control"), "jobs", None),
        (("model-delivery", "model-delivery-lambda"), "model-delivery", None),
        (("network", "network-nat-a"), "network", None),
        (("lonely",), "(none)", None),
    ],
)
def test_a_resource_goes_by_its_component_and_model(
    path: tuple[str, ...], component: str, model: str | None
) -> None:
    resource = Resource(type="aws:x/y:Z", urn=f"urn::{path[-1]}", path=path)
    assert (resource.component, resource.model) == (component, model)
