"""Function packages: zips built beforehand, uploaded once, shared by every function that runs them."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_aws as aws

from components.tags import Tags


@dataclass(frozen=True, kw_only=True)
class Package:
    """An uploaded zip, as a Lambda function refers to it."""

    bucket: pulumi.Output[str]
    """Bucket that holds it."""
    key: pulumi.Output[str]
    """S3 key, which carries the content's digest."""
    sha256_base64: str
    """Digest of the content as Lambda states it."""


@dataclass(frozen=True, kw_only=True)
class PackagesArgs:
    """Arguments of `Packages`."""

    tags: Tags
    bucket: pulumi.Input[str]
    """Bucket that receives the zips."""
    kms_key_arn: pulumi.Input[str]
    """KMS key that encrypts them."""
    folder: Path
    """Folder that holds the zips, one for each attribute of `Packages` (see `serving/package.py`)."""
    with_image: bool = False
    """Whether a container image is built, too, from `model-server-image.zip` in that folder."""


class Packages(pulumi.ComponentResource):
    """The zips of the platform's functions in S3 (larger than what the Lambda API takes directly).

    Keys carry the content's digest, so a changed zip is a new object and an unchanged one is left alone.

    Raises:
        FileNotFoundError: a zip has not been built; the message names the command that builds it.
    """

    model_server: Package
    authorizer: Package
    canary: Package
    jobs: Package
    jobs_files: Package
    model_server_image: Package | None
    """Build context of the model server's image, where one is built."""
    delivery: Package

    def __init__(self, name: str, args: PackagesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:packages:Packages", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        def upload(package: str) -> Package:
            path = args.folder / f"{package}.zip"
            if not path.exists():
                raise FileNotFoundError(f"{path} is missing; build it with `make package`")
            digest = hashlib.sha256(path.read_bytes()).digest()
            uploaded = aws.s3.BucketObjectv2(
                f"{name}-{package}",
                bucket=args.bucket,
                key=f"packages/{package}-{digest.hex()[:16]}.zip",
                source=pulumi.FileAsset(str(path)),
                kms_key_id=args.kms_key_arn,
                server_side_encryption="aws:kms",
                tags=args.tags.component("packages"),
                opts=child,
            )
            return Package(
                bucket=uploaded.bucket, key=uploaded.key, sha256_base64=base64.b64encode(digest).decode()
            )

        self.model_server = upload("model-server")
        self.authorizer = upload("authorizer")
        self.canary = upload("canary")
        self.jobs = upload("jobs")
        self.jobs_files = upload("jobs-files")
        self.model_server_image = upload("model-server-image") if args.with_image else None
        self.delivery = upload("delivery")
        self.register_outputs({})
