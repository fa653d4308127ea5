"""A pull-through cache: images of public registries, kept in this account's own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

from components import iam
from components.build_project import Architecture, BuildDefaults, BuildProject, BuildProjectArgs
from components.ecr import lifecycle_policy, registry_host
from naming import Names

SECRET_PREFIX = "ecr-pullthroughcache/"  # noqa: S105 - a name, not a secret
"""What ECR wants the name of a registry's secret to begin with."""


@dataclass(frozen=True, kw_only=True)
class _Registry:
    """A registry that ECR can cache."""

    prefix: str
    """Where its images appear, below the environment's name."""
    upstream: str
    needs_credential: bool = False


# https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html
_REGISTRIES: Mapping[str, _Registry] = {
    "public.ecr.aws": _Registry(prefix="ecr-public", upstream="public.ecr.aws"),
    "registry.k8s.io": _Registry(prefix="k8s", upstream="registry.k8s.io"),
    "quay.io": _Registry(prefix="quay", upstream="quay.io"),
    "ghcr.io": _Registry(prefix="github", upstream="ghcr.io", needs_credential=True),
    "docker.io": _Registry(prefix="docker-hub", upstream="registry-1.docker.io", needs_credential=True),
}


@dataclass(frozen=True, kw_only=True)
class ImageCacheArgs:
    """Arguments of `ImageCache`."""

    builds: BuildDefaults
    registries: Mapping[str, str | None]
    """Registry host -> ARN of the Secrets Manager secret to log in with (Docker Hub and GitHub need one;
    its name begins with `ecr-pullthroughcache/`), or None."""
    images: Mapping[Architecture, Sequence[str]] = field(default_factory=dict)
    """Images to hold before nodes ask for them: upstream name with tag or digest, by architecture."""
    keep_images: int = 30


class ImageCache(pulumi.ComponentResource):
    """Cache rules, and the properties of the repositories that ECR makes for them: as those of our own.

    The prefix carries the environment's name, because rules belong to the account and region. A tag that
    upstream moves stays where it was first cached: what was tested is what runs.

    ECR does not fetch an image that it does not hold yet for a VPC that reaches it through an endpoint and
    has no NAT (https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html). So a build
    project outside the VPC pulls `images` once.

    Raises:
        ValueError: a registry is unknown, its credential is missing or unusable, or an image has no tag or
            comes from a registry without a cache.
    """

    filler: pulumi.Output[str] | None
    """Project that pulls `images`, where there are any."""

    def __init__(self, name: str, args: ImageCacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:image_cache:ImageCache", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._names = args.builds.names
        self._tags = args.builds.tags.component("images")
        registries = {host: _registry(host, secret) for host, secret in args.registries.items()}
        _refuse_uncached(args)
        role = self._role()
        for host, registry in registries.items():
            self._rule(host, registry, role)
        self.filler = self._filler().project_name if args.images else None
        self.register_outputs({"filler": self.filler})

    def _role(self) -> aws.iam.Role:
        """What ECR creates the cached repositories as.

        https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-creation-templates-create-iam.html
        """
        return iam.role(
            f"{self._name}-creator",
            # AWS documents no condition for it; only templates of this account can name the role.
            trust_policy=iam.policy(
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "ecr.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ),
            statements=pulumi.Output.from_input(self._args.builds.data_key_arn).apply(
                lambda key: [
                    iam.allow(
                        "CreateRepositories",
                        ["ecr:CreateRepository", "ecr:TagResource"],
                        [_repositories_arn(self._names)],
                    ),
                    iam.allow("Encrypt", ["kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant"], [key]),
                ]
            ),
            description="ECR creates the repositories of the pull-through cache",
            tags=self._tags,
            opts=self._child,
        )

    def _rule(self, host: str, registry: _Registry, role: aws.iam.Role) -> None:
        prefix = f"{self._names.environment}/{registry.prefix}"
        template = aws.ecr.RepositoryCreationTemplate(
            f"{self._name}-{registry.prefix}-template",
            prefix=prefix,
            description=f"Cache of {host}",
            applied_fors=["PULL_THROUGH_CACHE"],
            image_tag_mutability="IMMUTABLE",
            encryption_configurations=[{"encryption_type": "KMS", "kms_key": self._args.builds.data_key_arn}],
            lifecycle_policy=lifecycle_policy(self._args.keep_images),
            custom_role_arn=role.arn,
            resource_tags=self._tags,
            opts=self._child,
        )
        aws.ecr.PullThroughCacheRule(
            f"{self._name}-{registry.prefix}-rule",
            ecr_repository_prefix=prefix,
            upstream_registry_url=registry.upstream,
            credential_arn=self._args.registries[host],
            # A pull before the template is there would make a repository without its properties.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[template]),
        )

    def _filler(self) -> BuildProject:
        builds = self._args.builds
        images = {
            architecture: [cached_image(self._names, image) for image in images]
            for architecture, images in self._args.images.items()
        }
        return BuildProject(
            f"{self._name}-filler",
            BuildProjectArgs(
                defaults=builds,
                role_name="image-cache",
                description="Pulls images once, so that the cache holds them",
                architecture="arm64",  # pulls for any architecture, at the lower price
                buildspec=pull_buildspec(registry_host(self._names), images),
                statements=pull_statements(self._names),
                network=None,
            ),
            opts=self._child,
        )


def cached_image(names: Names, image: str) -> str:
    """Where the cache has an image, e.g. `quay.io/org/app:v1` -> `<registry>/dev/quay/org/app:v1`.

    Raises:
        ValueError: its registry is not one that can be cached, or it has neither tag nor digest.
    """
    host, _, path = image.partition("/")
    if host not in _REGISTRIES:
        raise ValueError(
            f"{image}: {host!r} is no registry that can be cached; begin the name with one of "
            + ", ".join(_REGISTRIES)
        )
    if ":" not in path:
        raise ValueError(f"{image}: has no tag; name the tag or the digest that was tested")
    return f"{registry_host(names)}/{names.environment}/{_REGISTRIES[host].prefix}/{path}"


def pull_statements(names: Names) -> list[iam.Statement]:
    """What a role needs to pull through this environment's cache, whether it holds the image yet or not."""
    return [
        iam.allow("Login", ["ecr:GetAuthorizationToken"], ["*"]),  # a token is for the whole registry
        iam.allow(
            "PullThroughCache",
            [
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:BatchImportUpstreamImage",
                "ecr:CreateRepository",
                "ecr:GetDownloadUrlForLayer",
            ],
            [_repositories_arn(names)],
        ),
    ]


def pull_buildspec(registry: str, images: Mapping[Architecture, Sequence[str]]) -> str:
    """A buildspec that pulls each image for its architecture and keeps none."""
    platforms = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}
    lines = [
        "set -euo pipefail",
        f"aws ecr get-login-password | docker login --username AWS --password-stdin {registry}",
    ]
    for architecture, names in sorted(images.items()):
        for image in names:
            lines.append(f"docker pull --platform {platforms[architecture]} {image}")
            lines.append(f"docker image rm {image}")
    return json.dumps(
        {
            "version": 0.2,
            "env": {"shell": "bash"},
            "phases": {"build": {"on-failure": "ABORT", "commands": ["\n".join(lines)]}},
        },
        indent=2,
    )


def _refuse_uncached(args: ImageCacheArgs) -> None:
    for image in (image for images in args.images.values() for image in images):
        host = image.partition("/")[0]
        if host not in args.registries:
            raise ValueError(f"{image}: {host} has no cache here; add it to the registries")


def _repositories_arn(names: Names) -> str:
    return names.arn("ecr", f"repository/{names.environment}/*")


def _registry(host: str, secret_arn: str | None) -> _Registry:
    """The registry of that host, once its credential is known to fit."""
    if host not in _REGISTRIES:
        raise ValueError(f"{host}: is no registry that can be cached; choose from " + ", ".join(_REGISTRIES))
    registry = _REGISTRIES[host]
    if registry.needs_credential and secret_arn is None:
        raise ValueError(
            f"{host}: lets nobody cache without logging in; give the ARN of a Secrets Manager secret "
            f"named {SECRET_PREFIX}<name> that holds `username` and `accessToken`"
        )
    if secret_arn is not None and f":secret:{SECRET_PREFIX}" not in secret_arn:
        raise ValueError(f"{host}: ECR reads only secrets named {SECRET_PREFIX}<name>, not {secret_arn}")
    return registry
