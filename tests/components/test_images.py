"""Images: repositories that cannot be overwritten, a cache with the same properties, and builds that run."""

import base64
import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.build_project import BuildDefaults, BuildNetwork
from components.image_cache import cached_image, pull_buildspec
from components.images import Images, ImagesArgs, image_buildspec, image_tag
from components.packages import Package
from components.tags import Tags
from naming import Names
from tests.components.recorded import Recorded, deployed

ACCOUNT = "111111111111"
NAMES = Names(platform="inference-platform", environment="dev", account_id=ACCOUNT, region="us-east-1")
TAGS = Tags(platform="inference-platform", environment="dev", owner="team", cost_center="ml")
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/data"
LOGS_KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/logs"
SECRET = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:ecr-pullthroughcache/hub-AbCdEf"
REGISTRY = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
PROJECT, REPOSITORY = "aws:codebuild/project:Project", "aws:ecr/repository:Repository"
TEMPLATE = "aws:ecr/repositoryCreationTemplate:RepositoryCreationTemplate"
RULE = "aws:ecr/pullThroughCacheRule:PullThroughCacheRule"
DIGEST = hashlib.sha256(b"build context").digest()


def source() -> Package:
    return Package(
        bucket=pulumi.Output.from_input("models-bucket"),
        key=pulumi.Output.from_input("packages/model-server-image.zip"),
        sha256_base64=base64.b64encode(DIGEST).decode(),
    )


def images(**more: Any) -> Recorded:
    builds = BuildDefaults(
        names=NAMES, tags=TAGS, data_key_arn=KEY, logs_key_arn=LOGS_KEY, log_retention_days=14
    )

    def build() -> None:
        given = {name: value() if callable(value) else value for name, value in more.items()}
        Images("images", ImagesArgs(builds=builds, **given))

    return deployed(build)


def statements_of(recorded: Recorded, role: str) -> dict[str, Any]:
    """Sid -> statement of a role's policy."""
    [policy] = [
        p.inputs["policy"]
        for p in recorded.all("aws:iam/rolePolicy:RolePolicy")
        if p.name == f"{role}-role-policy"
    ]
    return {statement["Sid"]: statement for statement in json.loads(policy)["Statement"]}


def test_repositories_are_immutable_scanned_encrypted_and_cleaned_up() -> None:
    recorded = images(repositories=("model-server", "router"), keep_images=12)
    repositories = {r.inputs["name"]: r.inputs for r in recorded.all(REPOSITORY)}
    assert set(repositories) == {"inference-platform-dev/model-server", "inference-platform-dev/router"}
    for repository in repositories.values():
        assert repository["imageTagMutability"] == "IMMUTABLE"
        assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
        assert repository["encryptionConfigurations"] == [{"encryptionType": "KMS", "kmsKey": KEY}]
        assert repository["forceDelete"] is False
    policies = recorded.all("aws:ecr/lifecyclePolicy:LifecyclePolicy")
    assert {p.inputs["repository"] for p in policies} == set(repositories)
    for policy in policies:
        untagged, tagged = (rule["selection"] for rule in json.loads(policy.inputs["policy"])["rules"])
        assert (untagged["tagStatus"], untagged["countUnit"], untagged["countNumber"]) == (
            "untagged",
            "days",
            7,
        )
        assert (tagged["tagStatus"], tagged["countNumber"]) == ("tagged", 12)


def test_cached_repositories_have_the_properties_of_our_own() -> None:
    recorded = images(registries={"quay.io": None, "docker.io": SECRET})
    rules = {r.inputs["upstreamRegistryUrl"]: r.inputs for r in recorded.all(RULE)}
    assert rules["quay.io"]["ecrRepositoryPrefix"] == "dev/quay"
    assert "credentialArn" not in rules["quay.io"]
    assert rules["registry-1.docker.io"]["ecrRepositoryPrefix"] == "dev/docker-hub"
    assert rules["registry-1.docker.io"]["credentialArn"] == SECRET
    templates = {t.inputs["prefix"]: t.inputs for t in recorded.all(TEMPLATE)}
    assert set(templates) == {"dev/quay", "dev/docker-hub"}
    for template in templates.values():
        assert template["imageTagMutability"] == "IMMUTABLE"
        assert template["encryptionConfigurations"] == [{"encryptionType": "KMS", "kmsKey": KEY}]
        assert len(json.loads(template["lifecyclePolicy"])["rules"]) == 2
        assert template["resourceTags"]["cost-center"] == "ml"
    create = statements_of(recorded, "images-cache-creator")
    assert create["CreateRepositories"]["Resource"] == [f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/dev/*"]
    assert create["Encrypt"]["Resource"] == [KEY]


def test_a_cache_prefix_fits_ecr_s_30_characters_with_the_longest_environment_name() -> None:
    names = Names(platform="p", environment="e" * 16, account_id=ACCOUNT, region="us-east-1")
    builds = BuildDefaults(names=names, tags=TAGS, data_key_arn=KEY, logs_key_arn=LOGS_KEY)
    registries = {
        "public.ecr.aws": None,
        "registry.k8s.io": None,
        "quay.io": None,
        "ghcr.io": SECRET,
        "docker.io": SECRET,
    }
    recorded = deployed(lambda: Images("images", ImagesArgs(builds=builds, registries=registries)))
    prefixes = [rule.inputs["ecrRepositoryPrefix"] for rule in recorded.all(RULE)]
    assert len(prefixes) == 5
    assert max(map(len, prefixes)) <= 30


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"registries": {"nvcr.io": None}}, "nvcr.io: is no registry that can be cached"),
        ({"registries": {"docker.io": None}}, "docker.io: lets nobody cache without logging in"),
        ({"registries": {"ghcr.io": None}}, "ghcr.io: lets nobody cache without logging in"),
        (
            {"registries": {"docker.io": SECRET.replace("ecr-pullthroughcache/", "")}},
            "reads only secrets named ecr-pullthroughcache/",
        ),
        (
            {"registries": {"quay.io": None}, "cached_images": {"arm64": ["ghcr.io/a/b:1"]}},
            "ghcr.io has no cache here",
        ),
        ({"cached_images": {"arm64": ["quay.io/a/b:1"]}}, "quay.io has no cache here"),
        ({"registries": {"quay.io": None}, "cached_images": {"arm64": ["quay.io/a/b"]}}, "has no tag"),
    ],
)
def test_a_cache_that_cannot_work_is_refused_with_the_reason(more: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        images(**more)


@pytest.mark.parametrize(
    ("image", "cached"),
    [
        ("quay.io/org/app:v1", f"{REGISTRY}/dev/quay/org/app:v1"),
        ("docker.io/vllm/vllm-openai:v0.11.0", f"{REGISTRY}/dev/docker-hub/vllm/vllm-openai:v0.11.0"),
        ("public.ecr.aws/a/b@sha256:abc", f"{REGISTRY}/dev/ecr-public/a/b@sha256:abc"),
    ],
)
def test_an_upstream_name_says_where_the_cache_has_the_image(image: str, cached: str) -> None:
    assert cached_image(NAMES, image) == cached


def test_a_name_without_its_registry_is_refused() -> None:
    with pytest.raises(ValueError, match="'vllm' is no registry"):
        cached_image(NAMES, "vllm/vllm-openai:v0.11.0")


def test_the_model_server_s_image_is_built_from_its_zip_on_each_architecture() -> None:
    recorded = images(model_server_source=source, architectures=("x86_64", "arm64"))
    projects = {p.inputs["name"].removeprefix("inference-platform-dev-"): p for p in recorded.all(PROJECT)}
    assert set(projects) == {"model-server-x86_64", "model-server-arm64"}
    for architecture, environment_type in (("x86_64", "LINUX_CONTAINER"), ("arm64", "ARM_CONTAINER")):
        project = projects[f"model-server-{architecture}"].inputs
        assert project["environment"]["type"] == environment_type
        assert project["environment"]["privilegedMode"] is True
        variables = {v["name"]: v["value"] for v in project["environment"]["environmentVariables"]}
        assert variables["TAG"].startswith(DIGEST.hex()[:16])
        assert variables["REPOSITORY"] == "inference-platform-dev/model-server"
        assert project["source"]["type"] == "S3"
        assert project["source"]["location"] == "models-bucket/packages/model-server-image.zip"
        assert "vpcConfig" not in project


def test_a_build_may_read_its_source_and_push_its_repository_and_nothing_else() -> None:
    recorded = images(model_server_source=source)
    statements = statements_of(recorded, "images-model-server-x86_64")
    assert statements["Source"]["Resource"] == ["arn:aws:s3:::models-bucket/packages/model-server-image.zip"]
    assert statements["Push"]["Resource"] == [
        f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/inference-platform-dev/model-server"
    ]
    group = "/aws/codebuild/inference-platform-dev-model-server-x86_64"
    assert statements["Logs"]["Resource"] == [f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{group}:*"]
    assert [sid for sid, statement in statements.items() if "*" in statement["Resource"]] == ["Login"]
    [log_group] = recorded.all("aws:cloudwatch/logGroup:LogGroup")
    assert log_group.inputs["kmsKeyId"] == LOGS_KEY
    assert log_group.inputs["retentionInDays"] == 14


def test_a_build_in_the_vpc_may_use_its_subnets_for_codebuild_only() -> None:
    network = BuildNetwork(vpc_id="vpc-1", subnet_ids=["subnet-1", "subnet-2"])
    recorded = images(model_server_source=source, build_network=network)
    vpc = recorded.one(PROJECT).inputs["vpcConfig"]
    assert (vpc["vpcId"], vpc["subnets"]) == ("vpc-1", ["subnet-1", "subnet-2"])
    [egress] = recorded.all("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")
    assert (egress.inputs["fromPort"], egress.inputs["toPort"]) == (443, 443)
    assert not recorded.all("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    use = statements_of(recorded, "images-model-server-x86_64")["UseInterface"]
    assert use["Condition"] == {
        "StringEquals": {"ec2:AuthorizedService": "codebuild.amazonaws.com"},
        "ArnEquals": {
            "ec2:Subnet": [
                f"arn:aws:ec2:us-east-1:{ACCOUNT}:subnet/subnet-1",
                f"arn:aws:ec2:us-east-1:{ACCOUNT}:subnet/subnet-2",
            ]
        },
    }


def test_cached_images_are_pulled_by_a_project_outside_the_vpc() -> None:
    recorded = images(
        registries={"quay.io": None},
        cached_images={"arm64": ["quay.io/org/app:v1"]},
        build_network=BuildNetwork(vpc_id="vpc-1", subnet_ids=["subnet-1"]),
    )
    project = recorded.one(PROJECT).inputs
    assert project["source"]["type"] == "NO_SOURCE"
    assert f"{REGISTRY}/dev/quay/org/app:v1" in project["source"]["buildspec"]
    assert "vpcConfig" not in project
    pull = statements_of(recorded, "images-cache-filler")["PullThroughCache"]
    assert pull["Resource"] == [f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/dev/*"]
    assert {"ecr:BatchImportUpstreamImage", "ecr:CreateRepository"} <= set(pull["Action"])


def test_nothing_builds_and_nothing_is_cached_unless_asked() -> None:
    recorded = images()
    assert not recorded.all(PROJECT)
    assert not recorded.all(RULE)
    assert not recorded.all("aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration")


@pytest.mark.parametrize(
    ("scan_type", "frequency"), [("BASIC", "SCAN_ON_PUSH"), ("ENHANCED", "CONTINUOUS_SCAN")]
)
def test_the_registry_is_scanned_as_asked(scan_type: str, frequency: str) -> None:
    recorded = images(registry_scanning=scan_type)
    scanning = recorded.one("aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration").inputs
    assert scanning["scanType"] == scan_type
    assert [rule["scanFrequency"] for rule in scanning["rules"]] == [frequency]


def test_the_tag_is_the_digest_of_the_source_and_the_machine() -> None:
    tag = DIGEST.hex()[:16]
    assert image_tag(base64.b64encode(DIGEST).decode(), "arm64") == f"{tag}-arm64"
    assert image_tag(base64.b64encode(DIGEST).decode(), "x86_64") == f"{tag}-x86-64"


def run_build(buildspec: str, folder: Path, *, found: str = "0", failing: str = "") -> tuple[int, list[str]]:
    """Runs a buildspec's commands with an `aws` and a `docker` that only write down how they are called.

    Args:
        found: how many images the `aws` says there are of the tag.
        failing: beginning of the call that fails.
    """
    calls = folder / "calls"
    calls.touch()
    for program in ("aws", "docker"):
        script = folder / program
        script.write_text(
            "#!/bin/sh\n"
            f'echo "{program} $*" >> {calls}\n'
            f'case "{program} $*" in "{failing or "nothing fails"}"*) exit 1;; esac\n'
            f'case "$*" in *batch-get-image*) echo {found};; *get-login-password*) echo secret;; '
            "login*) cat > /dev/null;; esac\n"
        )
        script.chmod(0o755)
    [command] = json.loads(buildspec)["phases"]["build"]["commands"]
    done = subprocess.run(
        ["bash", "-c", command],
        env={
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "REGISTRY": REGISTRY,
            "REPOSITORY": "r",
            "TAG": "t",
        },
        capture_output=True,
        check=False,
    )
    return done.returncode, calls.read_text().splitlines()


def test_a_build_logs_in_builds_and_pushes(tmp_path: Path) -> None:
    status, calls = run_build(image_buildspec(), tmp_path)
    assert status == 0
    assert f"docker login --username AWS --password-stdin {REGISTRY}" in calls
    assert calls[-2:] == [f"docker build --pull --tag {REGISTRY}/r:t .", f"docker push {REGISTRY}/r:t"]


def test_a_build_of_a_tag_that_is_there_succeeds_and_does_nothing(tmp_path: Path) -> None:
    status, calls = run_build(image_buildspec(), tmp_path, found="1")
    assert status == 0
    assert not [call for call in calls if call.startswith("docker")]


@pytest.mark.parametrize(
    "failing", ["aws ecr batch-get-image", "aws ecr get-login-password", "docker build", "docker push"]
)
def test_a_build_stops_at_the_first_failure(tmp_path: Path, failing: str) -> None:
    status, calls = run_build(image_buildspec(), tmp_path, failing=failing)
    assert status != 0
    assert not [call for call in calls if call.startswith("docker push")] or failing == "docker push"


def test_the_cache_filler_pulls_each_image_for_its_architecture(tmp_path: Path) -> None:
    buildspec = pull_buildspec(REGISTRY, {"x86_64": ["a:1"], "arm64": ["b:2", "c:3"]})
    status, calls = run_build(buildspec, tmp_path)
    assert status == 0
    assert [call for call in calls if call.startswith("docker pull")] == [
        "docker pull --platform linux/arm64 b:2",
        "docker pull --platform linux/arm64 c:3",
        "docker pull --platform linux/amd64 a:1",
    ]
    status, calls = run_build(buildspec, tmp_path, failing="docker pull --platform linux/arm64 c:3")
    assert status != 0
