"""Models on SageMaker: what each mode comes to, what roles reach, and what an update of the stack moves."""

from dataclasses import replace
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from components.sagemaker_deployment import TrafficShift
from components.sagemaker_hosting import VARIANT, Hosting
from components.sagemaker_scaling import InstanceScale
from tests.components.iam_documents import documents, statements_of
from tests.components.platform_args import ACCOUNT, DATA_KEY, LOGS_KEY, REGION
from tests.components.recorded import Resource
from tests.components.sagemaker_programs import (
    ASYNC,
    HOSTINGS,
    IMAGE,
    NETWORK,
    PIPELINE,
    QUEUE,
    REAL_TIME,
    SERVERLESS,
    Named,
    recorded,
)

MODEL = "aws:sagemaker/model:Model"
CONFIGURATION = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
ENDPOINT = "aws:sagemaker/endpoint:Endpoint"
TARGET = "aws:appautoscaling/target:Target"
POLICY = "aws:appautoscaling/policy:Policy"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
MODELS = "arn:aws:s3:::inference-platform-dev-111111111111-models"
DATA = "arn:aws:s3:::inference-platform-dev-111111111111-data"


def variant(found: Named) -> dict[str, Any]:
    [only] = found.one(CONFIGURATION).inputs["productionVariants"]
    return dict(only)


def endpoint_name(found: Named) -> str:
    return str(found.one(ENDPOINT).inputs["name"])


def execution_policy(found: Named) -> dict[str, Any]:
    """Sid -> statement of what SageMaker may do for the model."""
    [name] = [r.name for r in found.all(ROLE_POLICY) if r.name.endswith("-execution-role-policy")]
    return dict(statements_of(found, name))


def alarms(found: Named) -> dict[str, Resource]:
    """Metric -> alarm."""
    return {alarm.inputs["metricName"]: alarm for alarm in found.all(ALARM)}


def test_instances_are_isolated_in_the_subnets_and_reach_s3_only() -> None:
    found = recorded("fraud")
    model = found.one(MODEL).inputs
    assert model["enableNetworkIsolation"] is True
    assert model["vpcConfig"] == {
        "subnets": NETWORK.subnet_ids,
        "securityGroupIds": ["sg-00000000000000001"],
    }
    assert "ingress" not in found.one("aws:ec2/securityGroup:SecurityGroup").inputs
    assert found.all("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule") == []
    egress = found.one("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule").inputs
    assert (egress["prefixListId"], egress["fromPort"], egress["toPort"]) == ("pl-6da54004", 443, 443)
    assert "cidrIpv4" not in egress


def test_instances_get_the_versions_folder_and_serverless_endpoints_its_archive() -> None:
    folder = "s3://inference-platform-dev-111111111111-models/models"
    on_instances = recorded("fraud", version="v7").one(MODEL).inputs["primaryContainer"]
    assert on_instances["modelDataSource"] == {
        "s3DataSources": [
            {"s3Uri": f"{folder}/fraud/v7/", "s3DataType": "S3Prefix", "compressionType": "None"}
        ]
    }
    assert "modelDataUrl" not in on_instances
    serverless = recorded("scores", version="v7").one(MODEL).inputs["primaryContainer"]
    assert serverless["modelDataUrl"] == f"{folder}/scores/v7/model.tar.gz"
    assert "modelDataSource" not in serverless
    for container in (on_instances, serverless):
        assert container["image"] == IMAGE
        assert container["environment"]["HOST"] == "0.0.0.0"


def test_a_serverless_endpoint_has_memory_and_concurrency_and_none_of_what_it_cannot_have() -> None:
    found = recorded("scores", replace(SERVERLESS, provisioned_concurrency=2))
    assert variant(found)["serverlessConfig"] == {
        "memorySizeInMb": 4096,
        "maxConcurrency": 10,
        "provisionedConcurrency": 2,
    }
    assert variant(found).keys() == {"variantName", "modelName", "serverlessConfig"}
    assert (
        not {"kmsKeyArn", "dataCaptureConfig", "asyncInferenceConfig"}
        & found.one(CONFIGURATION).inputs.keys()
    )
    model = found.one(MODEL).inputs
    assert model["enableNetworkIsolation"] is False
    assert "vpcConfig" not in model
    assert found.all(TARGET) == found.all("aws:ec2/securityGroup:SecurityGroup") == []
    assert "provisionedConcurrency" not in variant(recorded("scores"))["serverlessConfig"]


def test_captured_requests_go_encrypted_to_the_models_own_folder() -> None:
    found = recorded("fraud")
    capture = found.one(CONFIGURATION).inputs["dataCaptureConfig"]
    assert capture["enableCapture"] is True
    assert capture["initialSamplingPercentage"] == 10
    assert capture["destinationS3Uri"] == "s3://inference-platform-dev-111111111111-data/capture/fraud"
    assert capture["kmsKeyId"] == DATA_KEY
    assert [option["captureMode"] for option in capture["captureOptions"]] == ["Input", "Output"]
    assert execution_policy(found)["Capture"]["Resource"] == [f"{DATA}/capture/fraud/*"]
    without = recorded("fraud", replace(REAL_TIME, capture_percent=0))
    assert "dataCaptureConfig" not in without.one(CONFIGURATION).inputs
    assert "Capture" not in execution_policy(without)


def test_an_asynchronous_endpoint_tells_of_jobs_on_encrypted_topics() -> None:
    found = recorded("documents")
    topics = {topic.inputs["name"]: topic for topic in found.all("aws:sns/topic:Topic")}
    prefix = "inference-platform-dev-jobs-documents"
    assert set(topics) == {f"{prefix}-succeeded", f"{prefix}-failed"}
    assert {topic.inputs["kmsMasterKeyId"] for topic in topics.values()} == {DATA_KEY}
    configuration = found.one(CONFIGURATION).inputs["asyncInferenceConfig"]
    work = "s3://inference-platform-dev-111111111111-data/work/documents"
    arn = "arn:aws:mock:us-east-1:111111111111:model-documents-topics"
    assert configuration == {
        "clientConfig": {"maxConcurrentInvocationsPerInstance": 4},
        "outputConfig": {
            "s3OutputPath": f"{work}/answers",
            "s3FailurePath": f"{work}/failures",
            "kmsKeyId": DATA_KEY,
            "notificationConfig": {"successTopic": f"{arn}-succeeded", "errorTopic": f"{arn}-failed"},
        },
    }
    assert execution_policy(found)["Tell"]["Resource"] == [f"{arn}-succeeded", f"{arn}-failed"]
    assert {
        (each.inputs["topic"], each.inputs["endpoint"], each.inputs["rawMessageDelivery"])
        for each in found.all("aws:sns/topicSubscription:TopicSubscription")
    } == {(f"{arn}-succeeded", QUEUE, True), (f"{arn}-failed", QUEUE, True)}
    chosen = recorded("documents", replace(ASYNC, max_concurrent_invocations_per_instance=None))
    assert "clientConfig" not in chosen.one(CONFIGURATION).inputs["asyncInferenceConfig"]


@pytest.mark.parametrize("model", HOSTINGS)
def test_topics_take_messages_over_tls_only(model: str) -> None:
    found = recorded(model)
    policies = found.all("aws:sns/topicPolicy:TopicPolicy")
    assert len(policies) == (2 if model == "documents" else 0)
    for policy in policies:
        [statement] = statements_of(found, policy.name).values()
        assert statement["Effect"] == "Deny"
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert ":inference-platform-dev-jobs-documents-" in statement["Resource"]


def test_a_pipeline_runs_the_model_server_between_the_others() -> None:
    found = recorded("ranking")
    model = found.one(MODEL).inputs
    assert "primaryContainer" not in model
    assert model["inferenceExecutionConfig"] == {"mode": "Serial"}
    scale, server, label = model["containers"]
    assert [c["containerHostname"] for c in (scale, server, label)] == ["scale", "model-server", "label"]
    assert scale["environment"] == {"A": "b"}
    assert "modelDataSource" in server
    assert "modelDataSource" not in {**scale, **label}
    repositories = ["label", "model-server", "scale"]
    assert execution_policy(found)["PullImages"]["Resource"] == [
        f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/inference-platform-dev/{name}" for name in repositories
    ]


def test_requests_in_flight_scale_a_real_time_endpoint() -> None:
    found = recorded("fraud")
    target = found.one(TARGET).inputs
    assert target["resourceId"] == f"endpoint/{endpoint_name(found)}/variant/{VARIANT}"
    assert target["scalableDimension"] == "sagemaker:variant:DesiredInstanceCount"
    assert (target["minCapacity"], target["maxCapacity"]) == (2, 4)
    policy = found.one(POLICY).inputs
    assert policy["policyType"] == "TargetTrackingScaling"
    tracking = policy["targetTrackingScalingPolicyConfiguration"]
    assert tracking["targetValue"] == 8
    assert tracking["predefinedMetricSpecification"] == {
        "predefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    }
    assert variant(found)["initialInstanceCount"] == 2


def test_waiting_jobs_scale_an_asynchronous_endpoint_from_zero_and_back() -> None:
    found = recorded("documents")
    assert found.one(TARGET).inputs["minCapacity"] == 0
    assert variant(found)["initialInstanceCount"] == 1  # the API takes no less
    policies = {policy.inputs["policyType"]: policy for policy in found.all(POLICY)}
    tracking = policies["TargetTrackingScaling"].inputs["targetTrackingScalingPolicyConfiguration"]
    assert tracking["targetValue"] == 5
    assert tracking["customizedMetricSpecification"] == {
        "namespace": "AWS/SageMaker",
        "metricName": "ApproximateBacklogSizePerInstance",
        "dimensions": [{"name": "EndpointName", "value": endpoint_name(found)}],
        "statistic": "Average",
    }
    first = policies["StepScaling"].inputs["stepScalingPolicyConfiguration"]
    assert first["adjustmentType"] == "ChangeInCapacity"
    assert first["stepAdjustments"] == [{"metricIntervalLowerBound": "0", "scalingAdjustment": 1}]
    waiting = alarms(found)["HasBacklogWithoutCapacity"].inputs
    assert waiting["dimensions"] == {"EndpointName": endpoint_name(found)}
    assert (waiting["comparisonOperator"], waiting["threshold"]) == ("GreaterThanOrEqualToThreshold", 1)
    assert waiting["alarmActions"] == [f"arn:aws:mock:us-east-1:111111111111:{policies['StepScaling'].name}"]


def test_an_asynchronous_endpoint_that_keeps_an_instance_needs_no_start_from_zero() -> None:
    found = recorded("documents", replace(ASYNC, scale=InstanceScale(min=1, max=2, target=5)))
    assert [policy.inputs["policyType"] for policy in found.all(POLICY)] == ["TargetTrackingScaling"]
    assert "HasBacklogWithoutCapacity" not in alarms(found)


@pytest.mark.parametrize("model", HOSTINGS)
def test_a_deployment_is_undone_on_errors_and_where_somebody_waits_on_latency(model: str) -> None:
    found = recorded(model, p99_ms=250, availability=99.9, alarm_actions=["arn:aws:sns:::on-call"])
    watched = alarms(found)
    errors = watched["Invocation5XXErrors"].inputs
    assert errors["threshold"] == pytest.approx(0.01)
    assert errors["statistic"] == "Average"
    named = {errors["name"]}
    if model == "documents":
        assert "ModelLatency" not in watched
    else:
        latency = watched["ModelLatency"].inputs
        assert (latency["extendedStatistic"], latency["threshold"]) == ("p99", 250_000)  # microseconds
        named.add(latency["name"])
    for name in ("Invocation5XXErrors", "ModelLatency"):
        if name in watched:
            assert watched[name].inputs["dimensions"] == {
                "EndpointName": endpoint_name(found),
                "VariantName": variant(found)["variantName"],
            }
            assert watched[name].inputs["alarmActions"] == ["arn:aws:sns:::on-call"]
    deployment = found.one(ENDPOINT).inputs["deploymentConfig"]
    rollback = deployment["autoRollbackConfiguration"]["alarms"]
    assert {alarm["alarmName"] for alarm in rollback} == named
    assert execution_policy(found)["RollbackAlarms"]["Resource"] == [
        f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{alarm['alarmName']}" for alarm in rollback
    ]


def routing(hosting: Hosting, shift: TrafficShift) -> dict[str, Any]:
    deployment = recorded("fraud", hosting, shift=shift).one(ENDPOINT).inputs["deploymentConfig"]
    policy = deployment["blueGreenUpdatePolicy"]
    return {**policy["trafficRoutingConfiguration"], **policy}


def test_traffic_shifts_to_a_canary_or_in_steps() -> None:
    canary = routing(REAL_TIME, TrafficShift(percent=25, bake_s=300, termination_wait_s=60))
    assert canary["type"] == "CANARY"
    assert canary["canarySize"] == {"type": "CAPACITY_PERCENT", "value": 25}
    assert (canary["waitIntervalInSeconds"], canary["terminationWaitInSeconds"]) == (300, 60)
    assert canary["maximumExecutionTimeoutInSeconds"] > 2 * 300 + 60
    linear = routing(REAL_TIME, TrafficShift(kind="linear", percent=30, bake_s=300))
    assert linear["type"] == "LINEAR"
    assert linear["linearStepSize"] == {"type": "CAPACITY_PERCENT", "value": 30}
    assert linear["maximumExecutionTimeoutInSeconds"] > 4 * 300


@pytest.mark.parametrize(
    "hosting", [replace(REAL_TIME, scale=InstanceScale(min=1, max=4, target=8)), ASYNC, SERVERLESS]
)
def test_what_cannot_be_divided_moves_at_once_and_is_watched_all_the_same(hosting: Hosting) -> None:
    moved = routing(hosting, TrafficShift())
    assert moved["type"] == "ALL_AT_ONCE"
    assert not {"canarySize", "linearStepSize"} & moved.keys()
    assert moved["waitIntervalInSeconds"] == TrafficShift().bake_s


@pytest.mark.parametrize(
    ("shift", "reason"),
    [
        (TrafficShift(percent=60), "percent 60: a step takes 10 to 50"),
        (TrafficShift(percent=5), "percent 5: a step takes 10 to 50"),
        (TrafficShift(kind="linear", percent=10, bake_s=1800), "take 18300 s; shorten them to 10800 s"),
    ],
)
def test_a_shift_beyond_the_limits_is_refused(shift: TrafficShift, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        recorded("fraud", shift=shift)


def test_the_stack_leaves_a_running_endpoint_and_what_it_runs_on_alone() -> None:
    endpoint = recorded("fraud").one(ENDPOINT)
    assert set(endpoint.ignore_changes) == {"endpointConfigName", "deploymentConfig"}


def test_an_endpoint_waits_for_its_permissions_alarms_and_logs() -> None:
    found = recorded("fraud")
    waited = set(found.one(ENDPOINT).depends_on)
    for needed in (*found.all(ALARM), found.one("aws:cloudwatch/logGroup:LogGroup")):
        assert needed.urn in waited, needed.name
    [policy] = [r for r in found.all(ROLE_POLICY) if r.name.endswith("-execution-role-policy")]
    assert policy.urn in waited


@pytest.mark.parametrize("model", HOSTINGS)
def test_the_update_request_is_one_that_the_api_takes_and_keeps_the_number_of_instances(model: str) -> None:
    found = recorded(model)
    request = found.exports["update_request"]
    shape = botocore.session.get_session().get_service_model("sagemaker").operation_model("UpdateEndpoint")
    report = ParamValidator().validate(request, shape.input_shape)
    assert not report.has_errors(), report.generate_report()
    assert request["RetainAllVariantProperties"] is True
    assert request["EndpointName"] == endpoint_name(found)
    assert request["EndpointConfigName"] == f"{found.one(CONFIGURATION).name}-0a1b2c3"
    alarm_names = [
        alarm["AlarmName"] for alarm in request["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    ]
    deployment = found.one(ENDPOINT).inputs["deploymentConfig"]
    assert alarm_names == [a["alarmName"] for a in deployment["autoRollbackConfiguration"]["alarms"]]


def test_what_no_update_can_change_makes_another_endpoint() -> None:
    names = {
        endpoint_name(recorded("fraud", hosting))
        for hosting in (REAL_TIME, replace(REAL_TIME, instance="ml.g5.2xlarge"), ASYNC, SERVERLESS)
    }
    assert len(names) == 4
    larger = replace(REAL_TIME, scale=InstanceScale(min=3, max=9, target=1), capture_percent=50)
    assert endpoint_name(recorded("fraud", larger)) == endpoint_name(recorded("fraud"))
    assert endpoint_name(recorded("fraud", PIPELINE)) == endpoint_name(recorded("fraud"))
    more_memory = replace(SERVERLESS, memory_mb=6144)
    assert endpoint_name(recorded("fraud", more_memory)) == endpoint_name(recorded("fraud", SERVERLESS))


def test_a_name_that_sagemaker_would_not_take_is_refused() -> None:
    assert len(endpoint_name(recorded("m" * 35, REAL_TIME))) == 63
    with pytest.raises(ValueError, match=r"has 64 characters and SageMaker takes 63; shorten .* by 1"):
        recorded("m" * 36, REAL_TIME)


@pytest.mark.parametrize("model", HOSTINGS)
def test_automatic_names_have_room_for_the_providers_digits(model: str) -> None:
    found = recorded("m" * 35, HOSTINGS[model])
    for type_ in (MODEL, CONFIGURATION):
        assert len(f"{found.one(type_).name}-1234567") <= 63


@pytest.mark.parametrize("model", HOSTINGS)
def test_the_role_reaches_one_models_folders_and_no_other(model: str) -> None:
    for name, statement in execution_policy(recorded(model)).items():
        for resource in statement["Resource"]:
            if resource.startswith("arn:aws:s3:::") and "/" in resource:
                assert resource.split("/", 1)[1].split("/")[1:] == [model, "*"], name
        if statement["Action"] == ["s3:ListBucket"]:
            prefixes = statement["Condition"]["StringLike"]["s3:prefix"]
            assert all(prefix.split("/")[1:] == [model, "*"] for prefix in prefixes), name
    reading = execution_policy(recorded(model))["ReadModel"]
    assert reading["Resource"] == [f"{MODELS}/models/{model}/*"]


def test_a_role_allows_what_its_mode_needs_and_nothing_more() -> None:
    every = {"ListModel", "ReadModel", "Decrypt", "LogIn", "PullImages"}
    every |= {"WriteLogs", "FindLogs", "Metrics", "RollbackAlarms"}
    instances = {"EncryptVolumes", "MakeInterfaces", "UseInterfaces", "SeeNetwork"}
    jobs = {"ListJobs", "Answer", "EncryptAnswers", "Tell"}
    allowed = {model: execution_policy(recorded(model)).keys() for model in HOSTINGS}
    assert allowed["scores"] == every
    assert allowed["fraud"] == allowed["ranking"] == every | instances | {"Capture", "EncryptCaptured"}
    assert allowed["documents"] == every | instances | jobs


def test_network_interfaces_are_made_in_the_models_subnets_and_group_only() -> None:
    allowed = execution_policy(recorded("fraud"))
    ec2 = f"arn:aws:ec2:{REGION}:{ACCOUNT}"
    subnets = [f"{ec2}:subnet/{subnet}" for subnet in NETWORK.subnet_ids]
    interfaces = f"{ec2}:network-interface/*"
    group = f"{ec2}:security-group/sg-00000000000000001"
    assert allowed["MakeInterfaces"]["Resource"] == [interfaces, *subnets, group]
    assert allowed["UseInterfaces"]["Condition"] == {"ArnEquals": {"ec2:Subnet": subnets}}
    assert allowed["EncryptVolumes"]["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": "true"}}


@pytest.mark.parametrize("image", ["docker.io/somebody/server:1", IMAGE.replace(ACCOUNT, "222222222222")])
def test_an_image_from_another_registry_is_refused(image: str) -> None:
    with pytest.raises(ValueError, match=r"not in the account's registry; push it to 111111111111.dkr.ecr"):
        recorded("fraud", image=image)


@pytest.mark.parametrize("model", HOSTINGS)
def test_only_the_service_that_a_role_is_for_takes_it_on_in_this_account(model: str) -> None:
    trusts = [document for document in documents(recorded(model)) if document.kind == "trust"]
    services = {document.statements[0]["Principal"]["Service"] for document in trusts}
    assert services == {"sagemaker.amazonaws.com"} | (
        set() if model == "documents" else {"apigateway.amazonaws.com"}
    )
    for document in trusts:
        assert document.statements[0]["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


@pytest.mark.parametrize("model", HOSTINGS)
def test_volumes_and_logs_are_encrypted_with_the_environments_keys(model: str) -> None:
    found = recorded(model, log_retention_days=90)
    group = found.one("aws:cloudwatch/logGroup:LogGroup").inputs
    assert group["name"] == f"/aws/sagemaker/Endpoints/{endpoint_name(found)}"
    assert (group["kmsKeyId"], group["retentionInDays"]) == (LOGS_KEY, 90)
    key = found.one(CONFIGURATION).inputs.get("kmsKeyArn")
    assert key == (None if model == "scores" else DATA_KEY)
