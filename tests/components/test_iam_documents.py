"""Every IAM document of every environment: nothing wider than AWS forces it to be."""

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from policy_sentry.querying.actions import get_action_data

from components import deploy_permissions, iam
from tests.components.conftest import Deployed
from tests.components.deployments import DEPLOYMENTS
from tests.components.iam_documents import Document, documents, listed
from tests.components.recorded import Recorded

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports pkg_resources
    import parliament

# What needs them -> actions for which AWS knows no resource, proved below on the service authorization
# reference.
WITHOUT_RESOURCE = {
    "CodeBuild finds its network": {
        "ec2:DescribeDhcpOptions",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
    },
    "a token is for the whole registry": {"ecr:GetAuthorizationToken"},
    "flow logs look for their group": {"logs:DescribeLogGroups"},
    "canaries are judged by metrics": {"cloudwatch:GetMetricData"},
    "traces are written to the account": {"xray:PutTelemetryRecords", "xray:PutTraceSegments"},
    "Karpenter sees what the region offers and what runs": {
        "ec2:DescribeCapacityReservations",
        "ec2:DescribeImages",
        "ec2:DescribeInstanceStatus",
        "ec2:DescribeInstanceTypeOfferings",
        "ec2:DescribeInstanceTypes",
        "ec2:DescribeInstances",
        "ec2:DescribeLaunchTemplates",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSpotPriceHistory",
        "ec2:DescribeSubnets",
        "iam:ListInstanceProfiles",
        "pricing:GetProducts",
    },
    "metrics are written; a condition limits the namespace": {"cloudwatch:PutMetricData"},
    "the load balancer controller finds its targets": {
        "ec2:DescribeAvailabilityZones",
        "ec2:DescribeInstances",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeVpcs",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
    },
    "a pipeline compares and makes what has no ARN, which stands apart in its list": {
        f"{service}:{action}"
        for service, access in json.loads(
            Path(deploy_permissions.__file__).with_name("deploy_actions.json").read_text(encoding="utf-8")
        ).items()
        for kind in ("unscoped_reads", "unscoped_writes")
        for action in access.get(kind, ())
    },
}
UNLIMITED = {action for actions in WITHOUT_RESOURCE.values() for action in actions}

# Patterns of actions in what a role may do -> what they are.
ACTION_PATTERNS = {"kms:ReEncrypt*": "ReEncryptFrom and ReEncryptTo, one call with two permissions"}

# Statements that let in everybody who passes the condition: holder's type and Sid -> why.
ANY_PRINCIPAL = {
    ("aws:ec2/vpcEndpoint:VpcEndpoint", "OwnObjects"): "principal and resource are of this account",
    ("aws:ec2/vpcEndpoint:VpcEndpoint", "OwnItems"): "principal and resource are of this account",
    ("aws:ec2/vpcEndpoint:VpcEndpoint", "ImageLayers"): "ECR's presigned links have no principal",
}

# Services that send no aws:SourceAccount when they take a role -> why another account cannot use that.
TRUST_WITHOUT_ACCOUNT = {
    "ec2.amazonaws.com": "an instance gets its profile from who may pass the role, which is this account's",
    "ecr.amazonaws.com": "only repository creation templates of this account can name the role",
}

# Findings of parliament that are wrong: issue, holder's type, text, why.
ACCEPTED_FINDINGS = [
    (
        "RESOURCE_MISMATCH",
        r"^aws:iam/rolePolicy:RolePolicy$",
        r"ecr:BatchImportUpstreamImage",
        "newer than parliament's data: it acts on repositories",
    ),
    (
        "RESOURCE_MISMATCH",
        r"^aws:iam/rolePolicy:RolePolicy$",
        r"^\[{'action': 'states:DescribeExecution', 'required_format': '[^']*:express:[^']*'}\]$",
        "parliament wants every kind of execution named; deliveries are standard ones",
    ),
    (
        "RESOURCE_MISMATCH",
        r"^aws:iam/policy:Policy$",
        r"^\[({'action': 'athena:(ListTagsFor|Tag|Untag)Resource', "
        r"'required_format': '[^']*:(capacity-reservation|datacatalog)/\*'}(, )?)+\]$",
        "parliament wants everything named that has tags; the platform has a workgroup only",
    ),
    (
        "RESOURCE_MISMATCH",
        r"^aws:iam/rolePolicy:RolePolicy$",
        r"^\[({'action': 'ec2:(RunInstances|CreateFleet)', 'required_format': 'arn:[^']*'}(, )?)+\]$",
        "parliament wants each statement to name all that a launch touches; several statements do together",
    ),
    (
        "RESOURCE_MISMATCH",
        r"^aws:iam/rolePolicy:RolePolicy$",
        r"^\[{'action': 'ssm:GetParameter', 'required_format': 'arn:\*:ssm:\*:\*:parameter/\*'}\]$",
        "parliament wants an account in it; AWS's public parameters are of none",
    ),
    (
        "RESOURCE_MISMATCH",
        r"^aws:iam/policy:Policy$",
        r"^\[{'action': 'config:PutConfigurationRecorder', 'required_format': '\*'}\]$",
        "newer than parliament's data: it acts on configuration recorders",
    ),
    ("RESOURCE_STAR", r"^aws:kms/key:Key$", r"kms:", "in a key policy, * is the key"),
    (
        "UNKNOWN_CONDITION_FOR_ACTION",
        r"^aws:kms/key:Key$",
        r"kms:EncryptionContext:aws:logs:arn for action kms:Describe",
        "the documented statement for CloudWatch Logs; DescribeKey has no encryption context to limit",
    ),
    (
        "MISMATCHED_TYPE",
        r"^aws:kms/key:Key$",
        r"Arn(Like|Equals) requires a value of type Arn but given String",
        "parliament takes the encryption context for text; it is a log group's ARN, or a trail's",
    ),
    (
        "MISMATCHED_TYPE",
        r"^aws:s3/bucketPolicy:BucketPolicy$",
        r"s3:TlsVersion requires a value of type Numeric but given \['1.2'\]",
        "parliament takes whole numbers only; 1.2 is what S3 documents",
    ),
    (
        "UNKNOWN_CONDITION_FOR_ACTION",
        r"^aws:s3/bucketPolicy:BucketPolicy$",
        r"s3:TlsVersion for action s3:",
        "the statement denies all of S3, also the few actions that know no TLS version",
    ),
]


@pytest.fixture
def found(deployment: Recorded) -> list[Document]:
    """The documents of one deployment."""
    return documents(deployment)


def of_kind(found: list[Document], kind: str) -> list[Document]:
    return [document for document in found if document.kind == kind]


def allowed(found: list[Document], kind: str) -> Iterator[tuple[Document, Mapping[str, Any]]]:
    for document in of_kind(found, kind):
        for statement in document.statements:
            if statement["Effect"] == "Allow":
                yield document, statement


def test_no_role_may_do_a_whole_family_of_actions(found: list[Document]) -> None:
    for document, statement in allowed(found, "identity"):
        assert "NotAction" not in statement
        for action in listed(statement["Action"]):
            exact = re.fullmatch(r"[a-z0-9-]+:[A-Za-z0-9]+", action)
            assert exact or action in ACTION_PATTERNS, (document.holder.name, action)


def test_a_role_may_act_on_anything_only_where_aws_knows_no_resource(found: list[Document]) -> None:
    for document, statement in allowed(found, "identity"):
        assert "NotResource" not in statement
        if "*" in listed(statement["Resource"]):
            unaccounted = set(listed(statement["Action"])) - UNLIMITED
            assert not unaccounted, (document.holder.name, statement["Sid"])


def test_patterns_of_resources_stay_within_a_named_place(found: list[Document]) -> None:
    """`*` may end an ARN; the service and the beginning of the resource are always spelled out."""
    for document, statement in allowed(found, "identity"):
        for arn in listed(statement["Resource"]):
            if arn == "*":
                continue
            _, partition, service, _, _, resource = arn.split(":", 5)
            assert partition == "aws", (document.holder.name, arn)
            assert service != "*"
            assert not resource.startswith("*"), (document.holder.name, arn)


@pytest.mark.parametrize("action", sorted(UNLIMITED))
def test_aws_knows_no_resource_for_the_listed_actions(action: str) -> None:
    service, name = action.split(":")
    data = get_action_data(service, name)
    assert data, f"{action} is unknown"
    assert {entry["resource_arn_format"] for entry in data[service]} == {"*"}


def test_every_kind_is_judged_and_no_exception_is_without_use(deployment_of: Deployed) -> None:
    found = [document for which in DEPLOYMENTS for document in documents(deployment_of(which))]
    assert {document.kind for document in found} == {"trust", "identity", "boundary", "resource"}
    used = {
        action
        for _, statement in allowed(found, "identity")
        if "*" in listed(statement["Resource"])
        for action in listed(statement["Action"])
    }
    assert used == UNLIMITED
    open_to_all = {
        (document.holder.type, statement["Sid"])
        for document, statement in allowed(found, "resource")
        if statement["Principal"] == "*"
    }
    assert open_to_all == ANY_PRINCIPAL.keys()
    trusted = {s["Principal"].get("Service") for d in of_kind(found, "trust") for s in d.statements}
    assert trusted >= TRUST_WITHOUT_ACCOUNT.keys()


def test_every_action_exists(found: list[Document]) -> None:
    for document in (*of_kind(found, "identity"), *of_kind(found, "boundary"), *of_kind(found, "resource")):
        for statement in document.statements:
            for action in listed(statement["Action"]):
                if (document.kind, action) == ("boundary", "*"):
                    continue
                service, name = action.split(":")
                known = "*" in name or get_action_data(service, name)
                assert known, f"{document.holder.name}: {action} is no action of AWS"


def test_roles_are_taken_by_one_service_for_this_account(found: list[Document]) -> None:
    for document in of_kind(found, "trust"):
        for statement in document.statements:
            assert statement["Effect"] == "Allow"
            [(kind, service)] = statement["Principal"].items()
            if kind == "Federated":
                continue
            assert kind == "Service", document.holder.name
            assert re.fullmatch(r"[a-z0-9.-]+\.amazonaws\.com", service), document.holder.name
            account = statement.get("Condition", {}).get("StringEquals", {}).get("aws:SourceAccount")
            assert (account is None) == (service in TRUST_WITHOUT_ACCOUNT), document.holder.name
            assert account is None or re.fullmatch(r"\d{12}", account)


def test_only_a_named_repository_takes_a_role_from_outside_of_aws(found: list[Document]) -> None:
    for document in of_kind(found, "trust"):
        for statement in document.statements:
            if "Federated" in statement["Principal"]:
                provider = statement["Principal"]["Federated"]
                assert re.fullmatch(r"arn:aws:iam::\d{12}:oidc-provider/[a-z.]+", provider)
                issuer = provider.rpartition("/")[2]
                assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
                condition = statement["Condition"]
                assert condition["StringEquals"] == {f"{issuer}:aud": "sts.amazonaws.com"}
                subjects = listed(condition["StringLike"][f"{issuer}:sub"])
                assert subjects
                for subject in subjects:
                    # A subject of a branch alone is a publisher's.
                    named = r"repo:[\w.-]+/[\w.-]+:((environment|pull_request):|ref:refs/heads/[\w./-]+$)"
                    assert re.match(named, subject), subject


def test_a_boundary_hangs_on_roles_as_a_limit_only(found: list[Document]) -> None:
    """It allows everything that it does not deny, so nothing may attach it as a permission."""
    for document in of_kind(found, "boundary"):
        allows = [statement for statement in document.statements if statement["Effect"] == "Allow"]
        assert allows == [{"Sid": "UpToHere", "Effect": "Allow", "Action": "*", "Resource": "*"}]
        assert len(document.statements) > len(allows)


def test_nobody_unknown_is_let_in(found: list[Document]) -> None:
    for document, statement in allowed(found, "resource"):
        if statement["Principal"] in ("*", {"AWS": "*"}):
            known = (document.holder.type, statement["Sid"])
            assert known in ANY_PRINCIPAL, f"{document.holder.name}: {statement['Sid']}"
            if known[1].startswith("Own"):
                accounts = statement["Condition"]["StringEquals"]
                assert accounts.keys() == {"aws:PrincipalAccount", "aws:ResourceAccount"}


def test_a_service_in_a_resource_policy_acts_for_this_account(found: list[Document]) -> None:
    for document, statement in allowed(found, "resource"):
        principal = statement["Principal"]
        if isinstance(principal, dict) and "Service" in principal:
            conditions = json.dumps(statement.get("Condition", {}))
            assert re.search(r"\b\d{12}\b", conditions), (document.holder.name, statement["Sid"])


def test_key_policies_speak_of_the_key_only(whole_program: Recorded) -> None:
    keys = [d for d in documents(whole_program) if d.holder.type == "aws:kms/key:Key"]
    assert len(keys) >= 3
    for document in keys:
        assert all(statement["Resource"] == "*" for statement in document.statements)


def test_parliament_finds_nothing(whole_program: Recorded) -> None:
    found = documents(whole_program)
    for document in (*of_kind(found, "identity"), *of_kind(found, "resource")):
        for finding in parliament.analyze_policy_string(document.text).findings:
            accepted = any(
                finding.issue == issue
                and re.search(type_, document.holder.type)
                and re.search(text, str(finding.detail))
                for issue, type_, text, _ in ACCEPTED_FINDINGS
            )
            assert accepted, f"{document.holder.name}: {finding.issue} {finding.detail}"


def test_parliament_finds_what_is_wrong() -> None:
    wrong = iam.policy(iam.allow("Read", ["s3:GetObjects"], ["*"]))
    assert [f.issue for f in parliament.analyze_policy_string(wrong).findings] == ["UNKNOWN_ACTION"]


def test_every_document_is_of_the_current_language_and_fits(found: list[Document]) -> None:
    """An old version would take variables such as `${aws:username}` for text.

    Sizes: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html, and of key policies
    https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html
    """
    limits = {"trust": 2_048, "identity": 10_240, "boundary": 6_144, "resource": 20_480}
    managed = 6_144
    for document in found:
        assert json.loads(document.text)["Version"] == "2012-10-17"
        limit = managed if document.holder.type == "aws:iam/policy:Policy" else limits[document.kind]
        assert len(re.sub(r"\s", "", document.text)) <= limit, document.holder.name
