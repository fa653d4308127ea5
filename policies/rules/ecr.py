"""Container images: that a tag stays what it was, and that nobody else has them."""

import json
from typing import Any

from policies.documents import judge_allows
from policies.resources import Resource, Stack
from policies.rule import Finding, Findings, Sample, Settings, expect, is_true, resource_rule, stack_rule

REPOSITORY = "aws:ecr/repository:Repository"
TEMPLATE = "aws:ecr/repositoryCreationTemplate:RepositoryCreationTemplate"
LIFECYCLE = "aws:ecr/lifecyclePolicy:LifecyclePolicy"
REPOSITORY_POLICY = "aws:ecr/repositoryPolicy:RepositoryPolicy"
REGISTRY_POLICY = "aws:ecr/registryPolicy:RegistryPolicy"
PUBLIC_REPOSITORY = "aws:ecrpublic/repository:Repository"


@resource_rule(
    id="ecr-immutable-tags",
    title="An image's tag always means the same image",
    severity="high",
    why="Whoever overwrites a tag changes what the next pod runs, without a trace in any plan.",
    fix='set image_tag_mutability="IMMUTABLE"',
    types=[REPOSITORY, TEMPLATE],
    good={"imageTagMutability": "IMMUTABLE"},
    bad={"imageTagMutability": "MUTABLE"},
)
def immutable_tags(repository: Resource, settings: Settings) -> Findings:
    kinds = ("IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION")
    yield from expect(repository, "imageTagMutability", lambda kind: kind in kinds, "IMMUTABLE")


@resource_rule(
    id="ecr-scan-on-push",
    title="Images are scanned for known vulnerabilities when they are pushed",
    severity="high",
    why="A vulnerable library is found before the image runs, not after.",
    fix="set image_scanning_configuration scan_on_push=True",
    types=[REPOSITORY],
    good={"imageScanningConfiguration": {"scanOnPush": True}},
    bad={},
    remedy=lambda repository, settings: [{"imageScanningConfiguration": {"scanOnPush": True}}],
)
def scan_on_push(repository: Resource, settings: Settings) -> Findings:
    yield from expect(repository, "imageScanningConfiguration.scanOnPush", is_true, "true")


@resource_rule(
    id="ecr-kms",
    title="Images are encrypted with a customer managed key",
    severity="medium",
    why="Then pulling an image takes the key's permission as well.",
    fix='set encryption_configurations=[{"encryption_type": "KMS", "kms_key": ...}]',
    types=[REPOSITORY, TEMPLATE],
    good={"encryptionConfigurations": [{"encryptionType": "KMS"}]},
    bad={"encryptionConfigurations": [{"encryptionType": "AES256"}]},
)
def kms(repository: Resource, settings: Settings) -> Findings:
    configurations = list(repository.parts("encryptionConfigurations"))
    if not configurations:
        yield Finding("`encryptionConfigurations` is not set")
    kinds = ("KMS", "KMS_DSSE")
    for each in configurations:
        yield from expect(each, "encryptionType", lambda kind: kind in kinds, "KMS")


def _lifecycle(*statuses: str) -> Sample:
    rules = [
        {"selection": {"tagStatus": status, "countType": "imageCountMoreThan", "countNumber": 20}}
        for status in statuses
    ]
    return Sample(
        type=LIFECYCLE, props={"policy": json.dumps({"rules": rules})}, refers_to={"repository": "vllm"}
    )


_REPOSITORY = Sample(type=REPOSITORY, name="vllm", props={"name": "vllm"})


@stack_rule(
    id="ecr-lifecycle-policy",
    title="Repositories forget old images",
    severity="medium",
    why="A CUDA image has 10 to 20 GB: each build adds 1 to 2 USD a month for ever.",
    fix="add a LifecyclePolicy that expires untagged images and keeps a number of the others",
    types=[REPOSITORY],
    good=[_REPOSITORY, _lifecycle("untagged", "any")],
    bad=[_REPOSITORY, _lifecycle("untagged")],
)
def lifecycle_policy(repository: Resource, stack: Stack, settings: Settings) -> Findings:
    policies = stack.companions(repository, LIFECYCLE, "repository")
    if not policies:
        yield Finding("it has no LifecyclePolicy")
    for policy in policies:
        statuses = {rule.get("selection", {}).get("tagStatus") for rule in _rules(policy)}
        if "untagged" not in statuses and "any" not in statuses:
            yield Finding(f"`policy` of {policy.name} expires no untagged images")
        if not statuses & {"any", "tagged"}:
            yield Finding(f"`policy` of {policy.name} keeps every tagged image")


def _rules(policy: Resource) -> list[dict[str, Any]]:
    content = policy.get("policy", "{}")
    try:
        document = json.loads(content) if isinstance(content, str) else content
    except ValueError:
        return []
    return [rule for rule in document.get("rules", []) if isinstance(rule, dict)]


@resource_rule(
    id="ecr-not-public",
    title="Nobody outside the organisation gets the images",
    severity="critical",
    why="Images hold code and sometimes weights; a public one can be pulled by anyone.",
    fix="name the principals in the policy; use a private repository",
    types=[REPOSITORY_POLICY, REGISTRY_POLICY, TEMPLATE, PUBLIC_REPOSITORY],
    good={"policy": {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "111111111111"}}]}},
    bad={"policy": {"Statement": [{"Effect": "Allow", "Principal": "*"}]}},
)
def not_public(resource: Resource, settings: Settings) -> Findings:
    if resource.type == PUBLIC_REPOSITORY:
        yield Finding("it is a repository of the public gallery")
        return
    path = "repositoryPolicy" if resource.type == TEMPLATE else "policy"
    yield from judge_allows(
        resource, path, lambda statement: ["allows everyone"] if statement.trusts_everyone() else []
    )


RULES = (immutable_tags, scan_on_push, kms, lifecycle_policy, not_public)
