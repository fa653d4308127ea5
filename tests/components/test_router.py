"""The always-on router: always on, in front of every model, and reached by nobody else."""

import itertools
import json
from typing import Any

import pytest

from tests.components.gpu_programs import MODELS, NAMES, built, statements
from tests.components.recorded import Recorded


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return built()


def pod(recorded: Recorded) -> Any:
    return recorded.named("router-deployment").inputs["spec"]["template"]["spec"]


def container(recorded: Recorded, name: str) -> Any:
    [found] = [each for each in pod(recorded)["containers"] if each["name"] == name]
    return found


def environment(recorded: Recorded) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(recorded, "router")["env"]}


def test_it_survives_the_loss_of_a_node_or_zone(recorded: Recorded) -> None:
    spec = recorded.named("router-deployment").inputs["spec"]
    assert spec["replicas"] >= 2
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    spread = {
        each["topologyKey"]: each["whenUnsatisfiable"] for each in pod(recorded)["topologySpreadConstraints"]
    }
    assert spread == {
        "topology.kubernetes.io/zone": "DoNotSchedule",
        "kubernetes.io/hostname": "DoNotSchedule",
    }
    assert recorded.named("router-disruption-budget").inputs["spec"]["maxUnavailable"] == 1


def test_it_runs_on_system_nodes(recorded: Recorded) -> None:
    assert pod(recorded)["tolerations"] == [{"key": "CriticalAddonsOnly", "operator": "Exists"}]


def test_it_knows_every_model_with_its_queue(recorded: Recorded) -> None:
    models = json.loads(environment(recorded)["ROUTER_MODELS"])
    assert models.keys() == MODELS.keys()
    assert models["minilm"] == {
        "engine": "onnx",
        "url": "http://model-minilm.inference.svc.cluster.local:8080",
        "queue_url": "https://sqs.us-east-1.amazonaws.com/111111111111/inference-platform-dev-job-minilm",
        "openai": False,
    }
    assert models["llama"]["url"].endswith(":8000")
    assert models["llama"]["openai"] is True


def test_language_models_are_balanced_by_name_from_inside_the_pod(recorded: Recorded) -> None:
    command = container(recorded, "vllm-router")["command"]
    assert command[0] == "vllm-router"
    # Without it, every pod is taken for a replica of one model.
    assert "--enable-igw" in command
    options = dict(itertools.pairwise(command))
    assert options["--host"] == "127.0.0.1"
    assert options["--selector"] == "inference/engine=vllm"
    labels = recorded.named("model-llama-deployment").inputs["spec"]["template"]["metadata"]["labels"]
    assert labels["inference/engine"] == "vllm"
    assert environment(recorded)["ROUTER_BALANCER_URL"] == f"http://127.0.0.1:{options['--port']}"


def test_it_reads_pods_of_its_namespace_and_nothing_else(recorded: Recorded) -> None:
    role = recorded.named("router-read-pods").inputs
    assert role["kind"] == "Role"
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    binding = recorded.named("router-read-pods-binding").inputs
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "router", "namespace": "inference"}]
    assert pod(recorded)["automountServiceAccountToken"] is True


def test_without_language_models_there_is_no_balancer_and_no_token() -> None:
    plain = built({"minilm": MODELS["minilm"]})
    assert [each["name"] for each in pod(plain)["containers"]] == ["router"]
    assert pod(plain)["automountServiceAccountToken"] is False
    assert "ROUTER_BALANCER_URL" not in environment(plain)


def test_it_wakes_models_takes_down_use_and_does_nothing_else_in_aws(recorded: Recorded) -> None:
    granted = statements(recorded, "router-pods")
    assert granted.keys() == {"WakeModels", "Encrypt", "CountUsage", "Metrics"}
    assert granted["WakeModels"]["Action"] == ["sqs:GetQueueAttributes", "sqs:SendMessage"]
    assert granted["WakeModels"]["Resource"] == [NAMES.arn("sqs", "inference-platform-dev-job-*")]
    assert "*" not in granted["Encrypt"]["Resource"]
    assert environment(recorded)["USAGE_TABLE"] == "inference-platform-dev-jobs"
    count = granted["CountUsage"]
    assert count["Action"] == ["dynamodb:UpdateItem"]
    assert count["Resource"] == [NAMES.arn("dynamodb", "table/inference-platform-dev-jobs")]
    # Neither jobs nor what jobs used can be written.
    assert count["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["requests#*"]}}
    metrics = granted["Metrics"]
    assert metrics["Action"] == ["cloudwatch:PutMetricData"]
    assert metrics["Condition"] == {"StringEquals": {"cloudwatch:namespace": "InferencePlatform"}}


def test_only_the_load_balancer_and_keda_reach_it_and_it_reaches_every_model(recorded: Recorded) -> None:
    policy = recorded.named("router-network-policy").inputs["spec"]
    sources = [source for rule in policy["ingress"] for source in rule["from"]]
    assert sources == [
        {"ipBlock": {"cidr": "10.20.0.0/16"}},
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}},
    ]
    assert all(port["port"] == 8080 for rule in policy["ingress"] for port in rule["ports"])
    [to_models] = [
        rule for rule in policy["egress"] if "matchExpressions" in rule["to"][0].get("podSelector", {})
    ]
    assert [port["port"] for port in to_models["ports"]] == [8000, 8080]


def test_requests_end_before_a_pod_does(recorded: Recorded) -> None:
    hook = container(recorded, "router")["lifecycle"]["preStop"]["sleep"]["seconds"]
    # 29 s is the longest that API Gateway waits for an answer.
    assert pod(recorded)["terminationGracePeriodSeconds"] >= hook + 29


@pytest.mark.parametrize("name", ["router", "vllm-router"])
def test_its_containers_cannot_take_over_anything(recorded: Recorded, name: str) -> None:
    security = container(recorded, name)["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["runAsNonRoot"] is True
    assert container(recorded, name)["resources"]["limits"]["memory"]
