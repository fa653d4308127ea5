"""Workers on jobs of the cluster's models: how they run, scale, and what they may reach."""

import json
from typing import Any

import pytest

from environments import loader
from tests.components.conftest import Deployed
from tests.components.recorded import Recorded

ENVIRONMENTS = [name for name in loader.names() if loader.from_file(name).has_cluster]


@pytest.fixture(params=ENVIRONMENTS)
def made(request: pytest.FixtureRequest, deployment_of: Deployed) -> Recorded:
    return deployment_of(str(request.param))


def deployment(made: Recorded, model: str) -> Any:
    return made.named(f"jobs-{model}-deployment").inputs["spec"]


def container(made: Recorded, model: str) -> Any:
    [found] = deployment(made, model)["template"]["spec"]["containers"]
    return found


def environment(made: Recorded, model: str) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(made, model)["env"]}


def on_cluster(made: Recorded) -> list[str]:
    models = loader.from_file(made.exports["environment"]).models
    return [model for model, entry in models.items() if entry.backend == "eks"]


def test_every_model_of_the_cluster_has_a_worker_that_asks_its_server(made: Recorded) -> None:
    workers = {
        each.name.removeprefix("jobs-").removesuffix("-deployment")
        for each in made.all("kubernetes:apps/v1:Deployment")
        if each.name.startswith("jobs-")
    }
    assert workers == set(on_cluster(made))
    for model in workers:
        told = environment(made, model)
        assert container(made, model)["command"] == ["python", "-m", "serving.jobs_poller"]
        service = made.named(f"model-{model}-service").inputs
        port = int(service["spec"]["ports"][0]["port"])
        assert told["MODEL_URL"] == f"http://model-{model}.inference.svc.cluster.local:{port}"
        assert told["MODEL_NAME"] == model
        assert told["ENGINE"] == loader.from_file(made.exports["environment"]).models[model].engine


def test_a_worker_knows_of_its_own_model_only_and_so_stays_when_another_one_moves(made: Recorded) -> None:
    every = json.loads(made.named("jobs-config").inputs["content"])
    for model in on_cluster(made):
        own = made.named(f"jobs-{model}-config").inputs
        assert environment(made, model)["JOBS_CONFIG"] == own["key"]
        assert json.loads(own["content"]) == {**every, "routes": {model: every["routes"][model]}}
        assert own["key"].startswith(f"config/jobs-{model}-")


def test_waiting_messages_start_workers_from_none_to_one_for_each_replica(made: Recorded) -> None:
    for model in on_cluster(made):
        scaled = made.named(f"jobs-{model}-scaled-object").inputs["spec"]
        own = made.named(f"model-{model}-scaler-scaled-object").inputs["spec"]
        assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (0, own["maxReplicaCount"])
        assert scaled["scaleTargetRef"] == {"name": f"jobs-{model}"}
        [trigger] = scaled["triggers"]
        assert trigger == own["triggers"][0]
        resource = made.named(f"jobs-{model}-deployment")
        assert (resource.inputs["spec"]["replicas"], resource.ignore_changes) == (0, ("spec.replicas",))


def test_a_worker_cannot_take_over_anything(made: Recorded) -> None:
    for model in on_cluster(made):
        security = container(made, model)["securityContext"]
        assert (security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"]) == (True, False)
        assert security["capabilities"] == {"drop": ["ALL"]}
        pod = deployment(made, model)["template"]["spec"]
        assert (pod["securityContext"]["runAsNonRoot"], pod["automountServiceAccountToken"]) == (True, False)
        mounted = {mount["mountPath"] for mount in container(made, model)["volumeMounts"]}
        assert mounted == {"/tmp"}
        probes = [container(made, model)[f"{kind}Probe"]["httpGet"] for kind in ("liveness", "readiness")]
        assert probes == [{"path": "/health", "port": "http"}] * 2


def test_a_worker_reaches_its_own_queue_parts_and_server_only(made: Recorded) -> None:
    bucket = f"arn:aws:s3:::{made.exports['data_bucket']}"
    for model in on_cluster(made):
        document = json.loads(made.named(f"jobs-{model}-pods-role-policy").inputs["policy"])
        allowed = {statement["Sid"]: statement for statement in document["Statement"]}
        assert set(allowed) == {"Config", "Jobs", "Encrypt", "Decrypt", "Parts", "FindParts", "Work", "Send"}
        assert allowed["Parts"]["Resource"] == [f"{bucket}/work/{model}/*"]
        assert allowed["FindParts"]["Action"] == ["s3:ListBucket"]
        assert allowed["FindParts"]["Condition"] == {"StringLike": {"s3:prefix": f"work/{model}/*"}}
        assert allowed["Config"]["Resource"] == [f"{bucket}/config/*"]
        queue = made.named(f"model-{model}-jobs-queue")
        [consumed] = allowed["Work"]["Resource"]
        assert consumed.endswith((queue.name, queue.inputs["name"]))
        assert len(allowed["Send"]["Resource"]) == 2  # its dead letters, the control queue
        assert not any(resource.endswith("*") for resource in allowed["Send"]["Resource"])
        assert not any(resource == "*" for each in allowed.values() for resource in each["Resource"])
        policy = made.named(f"jobs-{model}-network-policy").inputs["spec"]
        assert policy["podSelector"] == {"matchLabels": {"inference/jobs": model}}
        assert policy["ingress"] == []
        peers = [peer for rule in policy["egress"] for peer in rule["to"] if "podSelector" in peer]
        own = [peer for peer in peers if "namespaceSelector" not in peer]
        assert own == [{"podSelector": {"matchLabels": {"inference/model": model}}}]


def test_credentials_are_arranged_before_the_first_worker(made: Recorded) -> None:
    for model in on_cluster(made):
        association = made.named(f"jobs-{model}-pods-association")
        assert association.inputs["serviceAccount"] == f"jobs-{model}"
        assert association.urn in made.named(f"jobs-{model}-deployment").depends_on
