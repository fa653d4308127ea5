"""Functions: what their role may do, what they run, and who moves the live alias."""

from typing import Any

import pytest

from components.capture import CaptureStream, CaptureStreamArgs
from components.function import Function, FunctionArgs
from components.lambda_backend import LambdaBackend, LambdaBackendArgs
from components.model_network import ModelNetwork
from tests.components.iam_documents import documents, statements_of
from tests.components.platform_args import (
    ACCOUNT,
    DATA_KEY,
    LOGS_KEY,
    NAMES,
    REGION,
    function_defaults,
    package,
)
from tests.components.recorded import Recorded, deployed

FUNCTION, ALIAS = "aws:lambda/function:Function", "aws:lambda/alias:Alias"
PROVISIONED = "aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig"


def function(*, tracing: bool = True, **more: Any) -> Recorded:
    def build() -> None:
        args = {
            "component": "gateway",
            "role_name": "worker",
            "description": "Works",
            "package": package("authorizer"),
            "handler": "serving.worker.handler",
            **more,
        }
        Function("worker", FunctionArgs(defaults=function_defaults(tracing=tracing), **args))

    return deployed(build)


def backend(model: str = "digits", **more: Any) -> Recorded:
    def build() -> None:
        args = LambdaBackendArgs(
            defaults=function_defaults(),
            model=model,
            version="v1",
            package=package("model-server"),
            models_bucket=NAMES.bucket("models"),
            **more,
        )
        LambdaBackend(f"model-{model}", args)

    return deployed(build)


def test_a_function_runs_the_package_as_configured() -> None:
    made = function(memory_mb=512, timeout_s=7, ephemeral_mb=1024, reserved_concurrency=3).one(FUNCTION)
    assert made.inputs["name"] == "inference-platform-dev-worker"
    assert (made.inputs["s3Bucket"], made.inputs["s3Key"]) == ("models-bucket", "packages/authorizer.zip")
    assert made.inputs["sourceCodeHash"] == "ZGlnZXN0"
    assert (made.inputs["runtime"], made.inputs["architectures"]) == ("python3.13", ["arm64"])
    assert made.inputs["handler"] == "serving.worker.handler"
    assert (made.inputs["memorySize"], made.inputs["timeout"]) == (512, 7)
    assert made.inputs["ephemeralStorage"] == {"size": 1024}
    assert made.inputs["reservedConcurrentExecutions"] == 3
    assert made.inputs["publish"] is True


def test_variables_are_encrypted_and_say_how_much_to_log() -> None:
    made = function(environment={"NAME": "value"}).one(FUNCTION).inputs
    assert made["kmsKeyArn"] == DATA_KEY
    assert made["environment"] == {"variables": {"LOG_LEVEL": "WARNING", "NAME": "value"}}


def test_logs_go_to_an_encrypted_group_that_forgets() -> None:
    recorded = function()
    group = recorded.one("aws:cloudwatch/logGroup:LogGroup").inputs
    assert group["name"] == "/aws/lambda/inference-platform-dev-worker"
    assert (group["kmsKeyId"], group["retentionInDays"]) == (LOGS_KEY, 14)
    assert recorded.one(FUNCTION).inputs["loggingConfig"] == {"logFormat": "JSON", "logGroup": group["name"]}


@pytest.mark.parametrize(
    ("tracing", "mode", "sids"),
    [(True, "Active", ["Logs", "Traces", "Decrypt"]), (False, "PassThrough", ["Logs", "Decrypt"])],
)
def test_a_role_may_write_its_own_log_and_decrypt_and_trace_where_traced(
    tracing: bool, mode: str, sids: list[str]
) -> None:
    recorded = function(tracing=tracing)
    assert recorded.one(FUNCTION).inputs["tracingConfig"] == {"mode": mode}
    statements = statements_of(recorded, "worker-role-policy")
    assert list(statements) == sids
    assert statements["Logs"]["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    assert statements["Logs"]["Resource"] == [
        f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/inference-platform-dev-worker:*"
    ]
    assert statements["Decrypt"]["Action"] == ["kms:Decrypt"]
    assert statements["Decrypt"]["Resource"] == [DATA_KEY]


def test_lambda_alone_takes_the_role_and_for_this_account_only() -> None:
    [trust] = [document for document in documents(function()) if document.kind == "trust"]
    assert [(s["Principal"], s["Action"], s["Condition"]) for s in trust.statements] == [
        (
            {"Service": "lambda.amazonaws.com"},
            "sts:AssumeRole",
            {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
        )
    ]


def test_an_alias_follows_the_deployment_unless_deliveries_move_it() -> None:
    plain, delivered = function(), function(delivered=True)
    assert plain.one(ALIAS).inputs["name"] == "live"
    assert plain.one(ALIAS).ignore_changes == plain.one(FUNCTION).ignore_changes == ()
    assert delivered.one(ALIAS).ignore_changes == ("functionVersion", "routingConfig")
    assert delivered.one(FUNCTION).ignore_changes == ("environment.variables.MODEL_VERSION",)


@pytest.mark.parametrize(("asked", "given"), [(True, {"applyOn": "PublishedVersions"}), (False, None)])
def test_snap_start_is_as_asked(asked: bool, given: dict[str, str] | None) -> None:
    assert function(snap_start=asked).one(FUNCTION).inputs.get("snapStart") == given


def test_provisioned_concurrency_keeps_the_live_alias_warm() -> None:
    assert not function().all(PROVISIONED)
    provisioned = function(provisioned_concurrency=4).one(PROVISIONED).inputs
    assert (provisioned["functionName"], provisioned["qualifier"]) == (
        "inference-platform-dev-worker",
        "live",
    )
    assert provisioned["provisionedConcurrentExecutions"] == 4


def test_a_model_s_function_knows_its_model_and_where_models_are() -> None:
    made = backend(memory_mb=2048).one(FUNCTION).inputs
    assert made["name"] == "inference-platform-dev-model-digits"
    assert made["memorySize"] == 2048
    assert made["environment"]["variables"] == {
        "LOG_LEVEL": "WARNING",
        "MODEL_NAME": "digits",
        "MODEL_VERSION": "v1",
        "MODEL_BUCKET": f"inference-platform-dev-{ACCOUNT}-models",
    }


@pytest.mark.parametrize("model", ["digits", "fraud"])
def test_a_model_s_role_reads_that_model_s_prefix_and_no_other(model: str) -> None:
    statements = statements_of(backend(model), f"model-{model}-role-policy")
    on_s3 = [s for s in statements.values() if any(action.startswith("s3:") for action in s["Action"])]
    assert [(s["Action"], s["Resource"]) for s in on_s3] == [
        (["s3:GetObject"], [f"arn:aws:s3:::inference-platform-dev-{ACCOUNT}-models/models/{model}/*"])
    ]


def test_deliveries_move_a_model_s_alias() -> None:
    made = backend()
    assert made.one(ALIAS).ignore_changes == ("functionVersion", "routingConfig")


INSIDE = ModelNetwork(vpc_id="vpc-1", subnet_ids=["subnet-a", "subnet-b"], s3_prefix_list_id="pl-1")
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"


def test_a_model_stands_outside_of_the_vpc_unless_it_is_asked_to_stand_in_it() -> None:
    made = backend()
    assert "vpcConfig" not in made.one(FUNCTION).inputs
    assert made.all("aws:ec2/securityGroup:SecurityGroup") == []


def test_a_model_in_the_vpc_is_reached_by_nobody_and_reaches_s3_only() -> None:
    made = backend(network=INSIDE)
    group = made.one("aws:ec2/securityGroup:SecurityGroup")
    assert made.one(FUNCTION).inputs["vpcConfig"] == {
        "subnetIds": ["subnet-a", "subnet-b"],
        "securityGroupIds": [f"{group.name}-id"],
    }
    assert made.one(EGRESS).inputs["prefixListId"] == "pl-1"
    assert made.all("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule") == []
    [policy] = [each for each in documents(made) if each.holder.name == "model-digits-role-policy"]
    assert "ec2:CreateNetworkInterface" in str(policy.statements)


def test_a_model_in_the_vpc_whose_requests_are_counted_reaches_firehose_too() -> None:
    def build() -> None:
        capture = CaptureStream(
            "capture",
            CaptureStreamArgs(
                names=NAMES,
                tags={},
                model="digits",
                data_bucket_arn=NAMES.bucket_arn("data"),
                data_key_arn=DATA_KEY,
            ),
        )
        args = LambdaBackendArgs(
            defaults=function_defaults(),
            model="digits",
            version="v1",
            package=package("model-server"),
            models_bucket=NAMES.bucket("models"),
            capture=capture,
            network=INSIDE,
        )
        LambdaBackend("model-digits", args)

    made = deployed(build)
    reached = {rule.name: rule.inputs.get("cidrIpv4") for rule in made.all(EGRESS)}
    assert reached == {"model-digits-to-s3": None, "model-digits-to-firehose": "0.0.0.0/0"}
