"""Boxes and flows follow the resource graph, and every component of the program has a box."""

from typing import Any

import pytest

from inferctl import diagram
from inferctl.boxes import BOX_OF, BOXES, GROUPS, PARTS
from inferctl.flows import FLOWS
from inferctl.graph import PREFIX, Graph, box_of, path_lines
from tests.components.conftest import Deployed
from tests.components.deployments import DEPLOYMENTS
from tests.components.recorded import Recorded


def exported(recorded: Recorded) -> dict[str, Any]:
    """What the engine would export of a recorded deployment."""
    return {
        "deployment": {
            "resources": [
                {
                    "urn": each.urn,
                    "type": each.type,
                    "parent": each.parent,
                    "custom": not each.type.startswith((PREFIX, "pulumi:pulumi:")),
                    "inputs": dict(each.inputs),
                    "outputs": {},
                    "dependencies": list(each.depends_on),
                }
                for each in recorded.resources
            ]
        }
    }


@pytest.fixture
def deployments(deployment_of: Deployed) -> dict[str, Recorded]:
    return {which: deployment_of(which) for which in DEPLOYMENTS}


def test_every_component_of_the_program_has_a_box(deployments: dict[str, Recorded]) -> None:
    for recorded in deployments.values():
        for resource in recorded.resources:
            if resource.type.startswith(PREFIX):
                box = box_of(resource.type, resource.name)
                assert box is None or box in BOXES


def test_a_component_without_a_box_is_an_error_that_says_where_to_put_it() -> None:
    with pytest.raises(LookupError, match=r"component new:New has no box: add it to BOX_OF or PARTS"):
        box_of(f"{PREFIX}new:New", "new")


def test_the_tables_agree_with_each_other() -> None:
    assert set(BOX_OF.values()) | {"client"} == set(BOXES)
    assert not PARTS & BOX_OF.keys()
    assert {box.group for box in BOXES.values()} - {None} == set(GROUPS)
    places = [(box.column, box.row) for box in BOXES.values()]
    assert len(places) == len(set(places)), "two boxes in one place"
    for flow in FLOWS:
        assert {flow.source, flow.target} <= BOXES.keys()


def test_a_request_goes_the_whole_way(deployments: dict[str, Recorded]) -> None:
    graph = Graph.of(exported(deployments["everything"]))
    lines = path_lines(graph)
    assert lines[0] == "Clients -> Domain -> Web ACL -> API -> CPU: digits -> Model store"
    assert any(" -> Private link -> Router -> GPU: " in line for line in lines)
    assert any(" -> API -> SageMaker: " in line for line in lines)
    numbers = {(flow.source, flow.target): number for flow, number in graph.flows}
    assert numbers["client", "domain"] == 1
    assert numbers["gateway", "functions"] == 5
    assert numbers["functions", "models"] == 6


def test_what_no_resource_depends_on_is_not_drawn(deployments: dict[str, Recorded]) -> None:
    export = exported(deployments["prod"])
    for resource in export["deployment"]["resources"]:
        if resource["type"] == "aws:apigateway/restApi:RestApi":
            resource["dependencies"] = []
        resource["dependencies"] = [
            urn for urn in resource["dependencies"] if "model-digits" not in urn or "Gateway" in urn
        ]
    flows = [(flow.source, flow.target) for flow, _ in Graph.of(export).flows]
    assert ("gateway", "functions") not in flows
    assert ("web_acl", "gateway") in flows


def test_cluster_models_are_reached_through_their_router(deployments: dict[str, Recorded]) -> None:
    graph = Graph.of(exported(deployments["gpu"]))
    assert {"entry", "router", "gpu_models", "cluster", "jobs"} <= graph.boxes.keys()
    assert graph.title("gpu_models").startswith("GPU: ")
    assert ("router", "gpu_models") in [(flow.source, flow.target) for flow, _ in graph.flows]


@pytest.mark.parametrize("which", DEPLOYMENTS)
def test_a_diagram_stays_readable(which: str, deployments: dict[str, Recorded]) -> None:
    for name, text in diagram.texts(which, exported(deployments[which])).items():
        services = [line for line in text.splitlines() if line.lstrip().startswith("service ")]
        assert len(services) <= 32, f"{name}: {len(services)} boxes"
        for line in text.splitlines():
            assert "[]" not in line and '""' not in line, line


def test_the_request_says_what_this_environment_does(deployments: dict[str, Recorded]) -> None:
    text = diagram.texts("prod", exported(deployments["prod"]))["request.mmd"]
    assert "gateway->>functions: invoke alias live" in text
    assert "no answer for this token in the last 300 s" in text
    assert "usage plans: acme 100/s" in text
    assert "gateway->>router" not in text


def test_the_same_graph_gives_the_same_text(deployments: dict[str, Recorded]) -> None:
    export = exported(deployments["prod"])
    export["deployment"]["resources"].reverse()
    assert diagram.texts("prod", export) == diagram.texts("prod", exported(deployments["prod"]))
