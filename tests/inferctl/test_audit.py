"""Remarks of linters that are not ours, their answers, and the plan that checkov reads."""

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from inferctl import audit, checkov
from inferctl.errors import CommandFailed
from inferctl.iam_linters import Remark, parliament_remarks, star_remarks
from inferctl.terraform_plan import terraform_plan, terraform_type
from inferctl.workspace import ROOT

SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:x"}


def resource(type_: str, name: str, inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    urn = f"urn:pulumi:dev::p::{type_}::{name}"
    return {"urn": urn, "type": type_, "custom": True, "inputs": inputs, **more}


def export(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"deployment": {"resources": list(resources)}}


def planned(*resources: dict[str, Any]) -> dict[str, Any]:
    plan = terraform_plan(export(*resources))
    return {each["address"]: each["values"] for each in plan["planned_values"]["root_module"]["resources"]}


def test_objects_and_lists_of_objects_are_blocks_and_maps_stay_maps() -> None:
    rule = {"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms"}, "bucketKeyEnabled": True}
    values = planned(
        resource(
            "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
            "data-encryption",
            {"bucket": "b", "rules": [rule], "__defaults": []},
        ),
        resource("aws:lambda/function:Function", "f", {"name": "n", "tags": {"costCenter": "ml"}}),
    )
    encryption = values["aws_s3_bucket_server_side_encryption_configuration.data_encryption"]
    assert encryption == {
        "bucket": "b",
        "rule": [
            {
                "apply_server_side_encryption_by_default": [{"sse_algorithm": "aws:kms"}],
                "bucket_key_enabled": True,
            }
        ],
    }
    assert values["aws_lambda_function.f"] == {"function_name": "n", "tags": {"costCenter": "ml"}}


def test_a_property_that_names_another_resource_is_a_reference_to_it() -> None:
    key = resource("aws:kms/key:Key", "key", {}, id="1", outputs={"arn": "arn:key"})
    logs = resource(
        "aws:cloudwatch/logGroup:LogGroup",
        "logs",
        {"kmsKeyId": "arn:key", "name": "made of arn:key"},
        propertyDependencies={"kmsKeyId": [key["urn"]], "name": [key["urn"]]},
    )
    plan = terraform_plan(export(key, logs))
    assert plan["configuration"]["root_module"]["resources"][1]["expressions"] == {
        "kms_key_id": {"references": ["aws_kms_key.key.id", "aws_kms_key.key"]}
    }
    assert plan["planned_values"]["root_module"]["resources"][1]["values"] == {"name": "made of arn:key"}


def test_secrets_and_what_is_not_of_aws_stay_out() -> None:
    parameter = resource("aws:ssm/parameter:Parameter", "p", {"value": SECRET})
    other = resource("kubernetes:core/v1:Pod", "pod", {})
    assert planned(parameter, other, resource("aws:s3/nothing:Nothing", "n", {})) == {
        "aws_ssm_parameter.p": {"value": "(secret)"}
    }


@pytest.mark.parametrize(
    ("token", "terraform"),
    [
        ("aws:ec2/vpc:Vpc", "aws_vpc"),
        ("aws:apigateway/restApi:RestApi", "aws_api_gateway_rest_api"),
        ("aws:cloudtrail/trail:Trail", "aws_cloudtrail"),
        ("aws:s3/bucketObjectv2:BucketObjectv2", "aws_s3_object"),
        ("aws:wafv2/webAcl:WebAcl", "aws_wafv2_web_acl"),
    ],
)
def test_types_have_terraforms_names(token: str, terraform: str) -> None:
    assert terraform_type(token) == terraform


def test_kubernetes_objects_are_written_beside_the_plan(tmp_path: Path) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "__x": 1}
    checkov.write(export(resource("kubernetes:core/v1:Pod", "pod", pod)), tmp_path)
    (item,) = json.loads((tmp_path / "objects.json").read_text())["items"]
    assert item == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}


def test_failed_checks_are_remarks_on_the_programs_own_names() -> None:
    found = {"check_id": "CKV_1", "check_name": "Be safe", "resource": "aws_kms_key.keys_data"}
    failed = {"results": {"failed_checks": [found], "parsing_errors": []}}
    key = export(resource("aws:kms/key:Key", "keys-data", {}))
    expected = [Remark("checkov", "CKV_1", "keys-data", "Be safe")]
    assert list(checkov.read(failed, key)) == expected
    assert list(checkov.read([failed, {"passed": 0}], key)) == expected
    with pytest.raises(CommandFailed, match=r"plan\.json"):
        list(checkov.read({"results": {"parsing_errors": ["plan.json"]}}, key))


def policy(**statement: Any) -> dict[str, Any]:
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}
    return export(resource("aws:iam/rolePolicy:RolePolicy", "p", {"policy": json.dumps(document)}))


def test_the_linters_see_stars_and_actions_that_there_are_not() -> None:
    too_wide = policy(Action=["s3:GetObject", "xray:PutTraceSegments", "s3:Nonsense"], Resource=["*"])
    first, second = star_remarks(too_wide)
    assert first.said.startswith("s3:GetObject can be limited to arn:") and first.resource == "p"
    assert second.said == "AWS knows no s3:Nonsense"
    (unknown,) = parliament_remarks(policy(Action=["s3:Nonsense"], Resource=["*"]))
    assert (unknown.judge, unknown.check) == ("parliament", "UNKNOWN_ACTION")


REMARK = Remark("checkov", "CKV_1", "gateway-stage", "Be safe")


def answer(**changes: str) -> audit.Answer:
    given = {"judge": "checkov", "check": "CKV_1", "resource": "*-stage", "reason": "r"}
    return audit.Answer(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "answers"),
    [
        ({}, True),
        ({"said": "Be*"}, True),
        ({"said": "Be kind"}, False),
        ({"resource": "stage"}, False),
        ({"check": "CKV_2"}, False),
        ({"judge": "parliament"}, False),
    ],
)
def test_an_answer_is_to_one_check_on_matching_resources(changes: dict[str, str], answers: bool) -> None:
    assert answer(**changes).to(REMARK) is answers
    assert audit.unanswered([REMARK], [answer(**changes)]) == ([] if answers else [REMARK])


def test_the_report_shows_answers_and_what_has_none() -> None:
    other = Remark("checkov", "CKV_2", "x", "Be fast")
    assert list(audit.report("dev", [REMARK, other], [answer(reason="it is"), answer(check="CKV_3")])) == [
        "dev: 2 remarks, 1 without an answer",
        "  checkov CKV_1: Be safe",
        "      on     gateway-stage",
        "      answer it is",
        "  OPEN checkov CKV_2 x: Be fast",
    ]


def test_every_committed_answer_says_why_and_names_a_resource_of_some_environment() -> None:
    baselines = [file.read_text() for file in (ROOT / "environments/baseline").glob("*.txt")]
    names = [
        line.split()[0].split("/")[-1] for text in baselines for line in text.splitlines() if "[aws:" in line
    ]
    known = audit.answers()
    assert known
    for each in known:
        assert len(each.reason) >= 40, each
        kind, _, pattern = each.resource.rpartition(".")  # Kubernetes objects have their kind before the name
        assert kind or any(fnmatchcase(name, pattern) for name in names), each
        assert each.resource.strip("*-"), f"{each} answers for everything"


def test_a_malformed_answer_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "answers.yaml"
    file.write_text("checkov: {CKV_1: [{resource: a, because: b}]}")
    with pytest.raises(CommandFailed, match="because"):
        audit.answers(file)
