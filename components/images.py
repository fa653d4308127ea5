"""Container images: the platform's own repositories, who fills them, and the cache of other registries."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pulumi
import pulumi_aws as aws

from components import iam
from components.build_project import (
    Architecture,
    BuildDefaults,
    BuildNetwork,
    BuildProject,
    BuildProjectArgs,
)
from components.ecr import lifecycle_policy, registry_host
from components.image_cache import ImageCache, ImageCacheArgs
from components.packages import Package
from naming import Names

MODEL_SERVER = "model-server"
"""Repository of the HTTP model server."""


@dataclass(frozen=True, kw_only=True)
class ImagesArgs:
    """Arguments of `Images`."""

    builds: BuildDefaults
    """Names, tags, keys and logs, shared by the build projects."""
    repositories: Sequence[str] = (MODEL_SERVER,)
    """Last parts of the names of the platform's own repositories."""
    model_server_source: Package | None = None
    """Build context of the model server's image; None when this environment builds none."""
    architectures: Sequence[Architecture] = ("x86_64",)
    """Machines that the model server's image is built for: GPU instances are x86_64, Graviton is arm64."""
    build_network: BuildNetwork | None = None
    """Where images are built; None is outside the VPC."""
    registries: Mapping[str, str | None] = field(default_factory=dict)
    """Registries to cache, each with its secret; see `ImageCacheArgs`."""
    cached_images: Mapping[Architecture, Sequence[str]] = field(default_factory=dict)
    """Images that the cache must hold before nodes ask for them; see `ImageCacheArgs`."""
    keep_images: int = 30
    """Newest tagged images that a repository keeps."""
    force_delete: bool = False
    """Whether a repository that holds images can be deleted."""
    registry_scanning: Literal["BASIC", "ENHANCED"] | None = None
    """Scanning of the whole registry, which is one setting of the account and region; None leaves it alone.
    Cached images are scanned only by it, because a creation template has no setting for that."""


class Images(pulumi.ComponentResource):
    """Repositories with immutable tags, scanned on push, encrypted and cleaned up.

    Images are built from a zip in S3, not from a Git connection: the zip's digest is the image's tag, it is
    what was built and tested beforehand, and no account needs a connection that someone authorises by hand.

    Raises:
        ValueError: the cache cannot be set up as asked; see `ImageCache`.
    """

    repository_urls: Mapping[str, pulumi.Output[str]]
    model_server_images: Mapping[Architecture, pulumi.Output[str]]
    """URI of the model server's image for each architecture that it is built for."""
    build_projects: Sequence[pulumi.Output[str]]
    """Projects to start, and wait for, before what uses their images is deployed."""

    def __init__(self, name: str, args: ImagesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:images:Images", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._names = args.builds.names
        self._tags = args.builds.tags.component("images")
        projects = []
        self.repository_urls = {repository: self._repository(repository) for repository in args.repositories}
        if args.registries or args.cached_images:
            filler = self._cache().filler
            projects += [filler] if filler is not None else []
        self.model_server_images = {}
        if args.model_server_source is not None:
            for architecture in args.architectures:
                tag = image_tag(args.model_server_source.sha256_base64, architecture)
                projects.append(self._build(args.model_server_source, architecture, tag).project_name)
                self.model_server_images[architecture] = pulumi.Output.concat(
                    self.repository_urls[MODEL_SERVER], ":", tag
                )
        if args.registry_scanning is not None:
            self._scanning(args.registry_scanning)
        self.build_projects = projects
        self.register_outputs(
            {
                "repository_urls": self.repository_urls,
                "model_server_images": self.model_server_images,
                "build_projects": self.build_projects,
            }
        )

    def _repository(self, repository: str) -> pulumi.Output[str]:
        created = aws.ecr.Repository(
            f"{self._name}-{repository}",
            name=f"{self._names.prefix}/{repository}",
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration={"scan_on_push": True},
            encryption_configurations=[{"encryption_type": "KMS", "kms_key": self._args.builds.data_key_arn}],
            force_delete=self._args.force_delete,
            tags=self._tags,
            opts=self._child,
        )
        aws.ecr.LifecyclePolicy(
            f"{self._name}-{repository}-lifecycle",
            repository=created.name,
            policy=lifecycle_policy(self._args.keep_images),
            opts=self._child,
        )
        return created.repository_url

    def _cache(self) -> ImageCache:
        return ImageCache(
            f"{self._name}-cache",
            ImageCacheArgs(
                builds=self._args.builds,
                registries=self._args.registries,
                images=self._args.cached_images,
                keep_images=self._args.keep_images,
            ),
            opts=self._child,
        )

    def _build(self, source: Package, architecture: Architecture, tag: str) -> BuildProject:
        repository = f"{self._names.prefix}/{MODEL_SERVER}"
        return BuildProject(
            f"{self._name}-{MODEL_SERVER}-{architecture}",
            BuildProjectArgs(
                defaults=self._args.builds,
                role_name=f"{MODEL_SERVER}-{architecture}",
                description=f"Builds the model server's image for {architecture}",
                architecture=architecture,
                buildspec=image_buildspec(),
                source=pulumi.Output.concat(source.bucket, "/", source.key),
                environment={
                    "REGISTRY": registry_host(self._names),
                    "REPOSITORY": repository,
                    "TAG": tag,
                },
                statements=pulumi.Output.all(source.bucket, source.key, self._args.builds.data_key_arn).apply(
                    lambda known: _build_statements(self._names, repository, *known)
                ),
                network=self._args.build_network,
            ),
            opts=self._child,
        )

    def _scanning(self, scan_type: Literal["BASIC", "ENHANCED"]) -> None:
        aws.ecr.RegistryScanningConfiguration(
            f"{self._name}-scanning",
            scan_type=scan_type,
            rules=[
                {
                    # Enhanced scanning also finds what becomes known after the push.
                    "scan_frequency": "CONTINUOUS_SCAN" if scan_type == "ENHANCED" else "SCAN_ON_PUSH",
                    "repository_filters": [{"filter": "*", "filter_type": "WILDCARD"}],
                }
            ],
            opts=self._child,
        )


def image_tag(sha256_base64: str, architecture: Architecture) -> str:
    """Tag of the image built from a source of this digest: the same bytes are never built twice."""
    return f"{base64.b64decode(sha256_base64).hex()[:16]}-{architecture.replace('_', '-')}"


def image_buildspec() -> str:
    """A buildspec that builds and pushes `$REGISTRY/$REPOSITORY:$TAG`, unless the tag is there already.

    The Dockerfile stands at the root of the source and pins its base images by digest. SageMaker takes no
    image index, which attestations would make of the image.
    """
    script = """\
set -euo pipefail
image="$REGISTRY/$REPOSITORY:$TAG"
found=$(aws ecr batch-get-image --repository-name "$REPOSITORY" --image-ids imageTag="$TAG" \
--query 'length(images)' --output text)
if [ "$found" = 1 ]; then
  echo "$image is there already: nothing to build"
else
  aws ecr get-login-password | docker login --username AWS --password-stdin "$REGISTRY"
  docker build --pull --tag "$image" .
  docker push "$image"
fi
"""
    return json.dumps(
        {
            "version": 0.2,
            "env": {"shell": "bash", "variables": {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}},
            "phases": {"build": {"on-failure": "ABORT", "commands": [script]}},
        },
        indent=2,
    )


def _build_statements(
    names: Names, repository: str, bucket: str, key: str, data_key_arn: str
) -> list[iam.Statement]:
    return [
        iam.allow("Source", ["s3:GetObject", "s3:GetObjectVersion"], [f"arn:aws:s3:::{bucket}/{key}"]),
        iam.allow("Decrypt", ["kms:Decrypt"], [data_key_arn]),
        iam.allow("Login", ["ecr:GetAuthorizationToken"], ["*"]),  # a token is for the whole registry
        iam.allow(
            "Push",
            [
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:CompleteLayerUpload",
                "ecr:InitiateLayerUpload",
                "ecr:PutImage",
                "ecr:UploadLayerPart",
            ],
            [names.arn("ecr", f"repository/{repository}")],
        ),
    ]
