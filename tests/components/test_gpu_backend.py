"""Models on the cluster: how they start, scale, and what they may reach."""

import json
from typing import Any

import pytest

from components.gpu_backend import weights_statements
from components.jobs_queue import JobsQueue, JobsQueueArgs, queue_prefix
from naming import Names
from tests.components.gpu_programs import DATA_KEY, MODELS, NAMES, Cloud, built, statements
from tests.components.recorded import Recorded, deployed

BUCKET = NAMES.bucket_arn("models")


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return built()


def pod(recorded: Recorded, model: str) -> Any:
    return recorded.named(f"model-{model}-deployment").inputs["spec"]["template"]["spec"]


def container(recorded: Recorded, model: str) -> Any:
    [found] = pod(recorded, model)["containers"]
    return found


def scaled(recorded: Recorded, model: str) -> Any:
    return recorded.named(f"model-{model}-scaler-scaled-object").inputs["spec"]


def triggers(recorded: Recorded, model: str) -> dict[str, Any]:
    return {trigger["type"]: trigger for trigger in scaled(recorded, model)["triggers"]}


def test_vllm_streams_its_weights_and_uses_every_gpu_of_the_node(recorded: Recorded) -> None:
    command = container(recorded, "llama")["command"]
    assert command[:3] == ["vllm", "serve", f"s3://{NAMES.bucket('models')}/models/llama/v1/"]
    options = dict(zip(command[3::2], command[4::2], strict=True))
    assert options["--served-model-name"] == "llama"
    assert options["--load-format"] == "runai_streamer"
    assert options["--tensor-parallel-size"] == "4"
    assert json.loads(options["--model-loader-extra-config"])["distributed"] is True


def test_the_onnx_server_is_told_its_model_and_version(recorded: Recorded) -> None:
    server = container(recorded, "minilm")
    assert server["command"][:2] == ["python", "-m"]
    environment = {each["name"]: each["value"] for each in server["env"]}
    assert environment["MODEL_NAME"] == "minilm"
    assert environment["MODEL_VERSION"] == "v1"
    assert environment["MODEL_BUCKET"] == NAMES.bucket("models")
    assert environment["MODEL_CACHE_DIR"].startswith("/cache/")
    assert (environment["HOST"], environment["PORT"]) == ("0.0.0.0", "8080")
    # All the processors that it requests.
    assert environment["MODEL_THREADS"] == "3"


@pytest.mark.parametrize(("model", "gpus"), [("minilm", "1"), ("llama", "4")])
def test_pods_land_on_their_accelerator_with_its_gpus(recorded: Recorded, model: str, gpus: str) -> None:
    assert pod(recorded, model)["nodeSelector"] == {
        "node.kubernetes.io/instance-type": MODELS[model]["accelerator"]
    }
    assert pod(recorded, model)["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    resources = container(recorded, model)["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == gpus
    assert resources["limits"]["memory"] == resources["requests"]["memory"]


@pytest.mark.parametrize("model", MODELS)
def test_pods_cannot_take_over_anything(recorded: Recorded, model: str) -> None:
    security = container(recorded, model)["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    spec = pod(recorded, model)
    assert (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["runAsUser"]) == (True, 2000)
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False


@pytest.mark.parametrize("model", MODELS)
def test_what_a_read_only_root_lacks_is_on_volumes(recorded: Recorded, model: str) -> None:
    volumes = {volume["name"]: volume for volume in pod(recorded, model)["volumes"]}
    mounted = {mount["mountPath"]: mount["name"] for mount in container(recorded, model)["volumeMounts"]}
    environment = {each["name"]: each["value"] for each in container(recorded, model)["env"]}
    assert {"/tmp", environment["HOME"], environment["XDG_CACHE_HOME"]} <= mounted.keys()
    assert set(mounted.values()) == volumes.keys()
    assert all("emptyDir" in volume for volume in volumes.values())
    assert ("/dev/shm" in mounted) == (model == "llama")


@pytest.mark.parametrize("model", MODELS)
def test_loading_has_time_and_a_stuck_server_is_noticed(recorded: Recorded, model: str) -> None:
    server = container(recorded, model)
    startup, ready, live = (server[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness"))
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300
    assert ready["periodSeconds"] * ready["failureThreshold"] <= 10
    assert live["periodSeconds"] * live["failureThreshold"] == 60
    deadline = recorded.named(f"model-{model}-deployment").inputs["spec"]["progressDeadlineSeconds"]
    assert startup["periodSeconds"] * startup["failureThreshold"] < deadline


@pytest.mark.parametrize("model", MODELS)
def test_an_update_of_the_stack_leaves_the_replicas_to_keda(recorded: Recorded, model: str) -> None:
    deployment = recorded.named(f"model-{model}-deployment")
    assert deployment.ignore_changes == ("spec.replicas",)
    assert deployment.inputs["spec"]["replicas"] == MODELS[model]["scale"]["min"]


def test_no_request_is_lost_while_pods_are_replaced(recorded: Recorded) -> None:
    spec = recorded.named("model-minilm-deployment").inputs["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    hook = container(recorded, "minilm")["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert hook < pod(recorded, "minilm")["terminationGracePeriodSeconds"]
    assert recorded.named("model-minilm-disruption-budget").inputs["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("model", MODELS)
def test_replicas_stay_within_the_catalogues_bounds(recorded: Recorded, model: str) -> None:
    spec, scale = scaled(recorded, model), MODELS[model]["scale"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (scale["min"], scale["max"])
    assert spec["scaleTargetRef"] == {"name": f"model-{model}"}


def test_waiting_jobs_start_the_first_replica(recorded: Recorded) -> None:
    jobs = triggers(recorded, "minilm")["aws-sqs-queue"]
    assert jobs["metadata"]["queueURL"].endswith("/inference-platform-dev-job-minilm")
    [authentication] = [
        each
        for each in recorded.all("kubernetes:keda.sh/v1alpha1:TriggerAuthentication")
        if each.inputs["metadata"]["name"] == jobs["authenticationRef"]["name"]
    ]
    assert authentication.inputs["spec"] == {"podIdentity": {"provider": "aws"}}


def test_requests_in_flight_start_more_replicas(recorded: Recorded) -> None:
    requests = triggers(recorded, "minilm")["metrics-api"]["metadata"]
    assert requests["valueLocation"] == 'router_requests_in_flight{model="minilm"}'
    assert requests["targetValue"] == "8"
    # Each of the router's pods knows its own requests only.
    assert requests["aggregateFromKubeServiceEndpoints"] == "true"
    assert requests["aggregationType"] == "sum"
    service = recorded.named("router-service").inputs
    host, port = f"{service['metadata']['name']}.{service['metadata']['namespace']}", "8080"
    assert requests["url"] == f"http://{host}.svc.cluster.local:{port}/metrics"


def test_a_model_reads_its_own_files_and_no_others(recorded: Recorded) -> None:
    minilm, llama = (statements(recorded, f"model-{model}-pods") for model in ("minilm", "llama"))
    assert minilm.keys() == {"ReadModel", "Wanted", "Report", "Decrypt"}
    rows = {sid: minilm[sid]["Condition"]["ForAllValues:StringEquals"] for sid in ("Wanted", "Report")}
    assert rows == {
        "Wanted": {"dynamodb:LeadingKeys": ["minilm/serving"]},
        "Report": {"dynamodb:LeadingKeys": ["minilm/replicas"]},
    }
    assert minilm["Wanted"]["Action"] == ["dynamodb:GetItem"]
    assert minilm["Report"]["Action"] == ["dynamodb:GetItem", "dynamodb:PutItem"]
    assert minilm["ReadModel"]["Resource"] == [f"{BUCKET}/models/minilm/*"]
    assert llama["ReadWeights"]["Resource"] == [f"{BUCKET}/models/llama/v1/*"]
    assert llama["ListWeights"]["Condition"] == {
        "StringLike": {"s3:prefix": ["models/llama/v1", "models/llama/v1/*"]}
    }
    for granted in (minilm, llama):
        assert granted["Decrypt"]["Resource"] == [DATA_KEY]


def test_weights_of_a_neighbouring_folder_stay_out_of_reach() -> None:
    listing, reading = weights_statements("s3://weights-of-acme/llama")
    assert reading["Resource"] == ["arn:aws:s3:::weights-of-acme/llama/*"]
    assert "llama-secret" not in json.dumps([listing, reading])
    assert all(pattern in ("llama", "llama/*") for pattern in listing["Condition"]["StringLike"]["s3:prefix"])


def test_forty_models_have_forty_roles_for_forty_prefixes() -> None:
    many = {
        f"model-number-{index:02}-{'x' * 24}": {**MODELS["minilm"], "scale": {"max": 1}}
        for index in range(40)
    }
    made = built(many)
    granted = {model: statements(made, f"model-{model}-pods")["ReadModel"]["Resource"] for model in many}
    assert granted == {model: [f"{BUCKET}/models/{model}/*"] for model in many}
    associations = {
        each.inputs["serviceAccount"]
        for each in made.all("aws:eks/podIdentityAssociation:PodIdentityAssociation")
        if each.inputs["namespace"] == "inference"
    }
    assert associations == {f"model-{model}" for model in many} | {"router"}
    # IAM takes 64 characters, of which the engine appends eight.
    assert all(len(role.name) <= 56 for role in made.all("aws:iam/role:Role"))


def test_the_longest_names_fit_and_no_two_queues_share_one() -> None:
    names = Names(
        platform="inference-platform", environment="e" * 16, account_id="111111111111", region="us-east-1"
    )
    models = ["m" * 40, "digits", "digits-dlq", "dlq-digits"]
    queues = deployed(
        lambda: [
            JobsQueue(
                f"{model}-jobs", JobsQueueArgs(names=names, tags={}, model=model, data_key_arn=DATA_KEY)
            )
            for model in models
        ],
        recorded=Cloud(),
    ).all("aws:sqs/queue:Queue")
    found = [queue.inputs["name"] for queue in queues]
    assert len(set(found)) == len(found) == 8
    assert max(map(len, found)) == 80
    assert sum(name.startswith(queue_prefix(names)) for name in found) == 4


def test_only_the_router_and_its_own_jobs_worker_reach_a_model(recorded: Recorded) -> None:
    policy = recorded.named("model-minilm-network-policy").inputs["spec"]
    assert policy["podSelector"] == {"matchLabels": {"inference/model": "minilm"}}
    assert policy["ingress"] == [
        {
            "from": [{"podSelector": {"matchLabels": {label: value}}}],
            "ports": [{"port": 8080, "protocol": "TCP"}],
        }
        for label, value in (("inference/router", "true"), ("inference/jobs", "minilm"))
    ]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {53, 80, 443}


def test_pods_that_no_policy_names_reach_dns_and_credentials_only(recorded: Recorded) -> None:
    policy = recorded.named("cluster-space-default").inputs["spec"]
    assert policy["podSelector"] == {"matchLabels": {}}
    assert policy["ingress"] == []
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {53, 80}
    labels = recorded.named("cluster-space-namespace").inputs["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_jobs_are_encrypted_take_tls_only_and_failed_ones_are_kept(recorded: Recorded) -> None:
    jobs, failed = (recorded.named(f"model-minilm-jobs-{role}") for role in ("queue", "dead-letters"))
    for queue in (jobs, failed):
        assert queue.inputs["kmsMasterKeyId"] == DATA_KEY
        document = json.loads(recorded.named(f"{queue.name}-policy").inputs["policy"])
        [statement] = document["Statement"]
        assert (statement["Effect"], statement["Condition"]) == (
            "Deny",
            {"Bool": {"aws:SecureTransport": "false"}},
        )
    redrive = json.loads(jobs.inputs["redrivePolicy"])
    assert redrive == {
        "deadLetterTargetArn": "arn:aws:mock:us-east-1:111111111111:model-minilm-jobs-dead-letters",
        "maxReceiveCount": 6,
    }
    assert failed.inputs["messageRetentionSeconds"] > jobs.inputs["messageRetentionSeconds"]


def test_credentials_are_arranged_before_the_first_pod(recorded: Recorded) -> None:
    association = recorded.named("model-minilm-pods-association")
    assert association.urn in recorded.named("model-minilm-deployment").depends_on
