"""The jobs component: what its functions may do, where its events come from and what it refuses."""

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest

from environments import loader
from tests.components.conftest import Deployed
from tests.components.recorded import Recorded


@pytest.fixture(params=loader.names())
def made(request: pytest.FixtureRequest, deployment_of: Deployed) -> Recorded:
    return deployment_of(str(request.param))


def statements(made: Recorded, role: str) -> dict[str, Any]:
    policy = made.named(f"jobs-{role}-role-policy").inputs["policy"]
    return {statement["Sid"]: statement for statement in json.loads(policy)["Statement"]}


def test_an_event_of_a_file_goes_to_the_control_queue_and_from_there_to_its_function(made: Recorded) -> None:
    rule = made.named("jobs-files").inputs
    pattern = json.loads(rule["eventPattern"])
    bucket = made.exports["data_bucket"]
    assert pattern["detail"] == {"bucket": {"name": [bucket]}, "object": {"key": [{"prefix": "input/"}]}}
    mapping = made.named("jobs-control-messages").inputs
    assert mapping["functionName"].endswith("jobs-control:live")
    assert mapping["functionResponseTypes"] == ["ReportBatchItemFailures"]
    target = made.named("jobs-files-target").inputs
    assert target["arn"] == mapping["eventSourceArn"]


def test_only_rules_of_the_jobs_may_put_events_into_the_control_queue(made: Recorded) -> None:
    policy = made.named("jobs-control-queue-queue-policy").inputs["policy"]
    (events,) = (s for s in json.loads(policy)["Statement"] if s["Sid"] == "Events")
    assert events["Principal"] == {"Service": "events.amazonaws.com"}
    rule = made.named("jobs-files").inputs["name"]
    (pattern,) = [events["Condition"]["ArnLike"]["aws:SourceArn"]]
    assert f"rule/{rule}".startswith(pattern.rsplit(":", 1)[1].rstrip("*"))


def test_a_message_stays_hidden_for_as_long_as_a_worker_may_take(made: Recorded) -> None:
    worker = made.named("jobs-worker-function").inputs
    assert made.named("model-digits-jobs-queue").inputs["visibilityTimeoutSeconds"] >= worker["timeout"]
    control = made.named("jobs-control-function").inputs
    assert made.named("jobs-control-queue-queue").inputs["visibilityTimeoutSeconds"] >= control["timeout"]


@pytest.mark.parametrize(
    ("role", "writes"), [("api", ["input"]), ("control", ["output", "work"]), ("worker", ["work"])]
)
def test_a_function_writes_to_its_own_folders_only(made: Recorded, role: str, writes: list[str]) -> None:
    bucket = f"arn:aws:s3:::{made.exports['data_bucket']}"
    written = {
        resource
        for statement in statements(made, role).values()
        if "s3:PutObject" in statement["Action"]
        for resource in statement["Resource"]
    }
    assert written == {f"{bucket}/{folder}/*" for folder in writes}


BY = {"lambda": "function", "eks": "cluster", "sagemaker": "endpoint"}


def test_every_model_has_who_answers_for_its_jobs(made: Recorded) -> None:
    config = json.loads(made.named("jobs-config").inputs["content"])
    settings = loader.from_file(made.exports["environment"])
    worked_on, asked = set(), statements(made, "worker")
    for model, entry in settings.models.items():
        route = config["routes"][model]
        later = getattr(entry, "mode", "") == "async"
        assert route["by"] == ("async-endpoint" if later else BY[entry.backend])
        if route["by"] == "cluster":
            assert route["target"] == ""
            continue
        worked_on.add(f"jobs-{model}-messages")
        sid = {"function": "AskModels", "endpoint": "AskEndpoints"}.get(route["by"], "AskEndpointsLater")
        [pattern] = asked[sid]["Resource"]
        assert fnmatchcase(route["target"].rpartition("/")[2], f"*{pattern.rpartition('/')[2]}"), pattern
    mappings = {each.name for each in made.all("aws:lambda/eventSourceMapping:EventSourceMapping")}
    assert mappings == worked_on | {"jobs-control-messages"}
    assert len(asked["Work"]["Resource"]) == len(worked_on)


def test_what_an_asynchronous_endpoint_tells_reaches_its_models_queue_only(made: Recorded) -> None:
    for subscription in made.all("aws:sns/topicSubscription:TopicSubscription"):
        if subscription.inputs["protocol"] != "sqs":
            continue
        queue = made.named("model-documents-jobs-queue")
        assert subscription.inputs["endpoint"] == queue.inputs.get("arn", subscription.inputs["endpoint"])
        policy = json.loads(made.named("model-documents-jobs-queue-policy").inputs["policy"])
        (answers,) = (each for each in policy["Statement"] if each["Sid"] == "Answers")
        assert answers["Principal"] == {"Service": "sns.amazonaws.com"}
        pattern = answers["Condition"]["ArnLike"]["aws:SourceArn"]
        assert pattern.endswith("-jobs-documents-*")
    others = [each for each in made.resources if each.name.endswith("-jobs-queue-policy")]
    telling = [each.name for each in others if "sns.amazonaws.com" in each.inputs["policy"]]
    assert telling == ["model-documents-jobs-queue-policy"]


def test_only_the_worker_asks_models_and_only_the_control_function_tells_the_world(made: Recorded) -> None:
    invokes = {
        role
        for role in ("api", "control", "worker")
        if any("lambda:InvokeFunction" in each["Action"] for each in statements(made, role).values())
    }
    assert invokes == {"worker"}
    tells = {role for role in ("api", "control", "worker") if "TellTheWorld" in statements(made, role)}
    assert tells == {"control"}


def test_the_table_forgets_is_encrypted_and_protected_where_the_environment_says_so(made: Recorded) -> None:
    table = made.named("jobs-table-table").inputs
    assert table["ttl"] == {"attributeName": "expires", "enabled": True}
    assert table["serverSideEncryption"]["enabled"] is True
    assert table["deletionProtectionEnabled"] == loader.from_file(made.exports["environment"]).protect


def test_the_settings_of_all_functions_are_one_object_that_names_every_tenant(made: Recorded) -> None:
    stored = made.named("jobs-config").inputs
    config = json.loads(stored["content"])
    settings = loader.from_file(made.exports["environment"])
    assert set(config["limits"]) == {tenant.name for tenant in settings.tenants}
    assert set(config["routes"]) == set(settings.models)
    for role in ("api", "control", "worker"):
        variables = made.named(f"jobs-{role}-function").inputs["environment"]
        assert variables["variables"]["JOBS_CONFIG"] == stored["key"]
