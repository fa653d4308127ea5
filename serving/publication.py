"""Publishing: a folder with a model and its manifest becomes a version in the models bucket.

A version exists once its manifest does, and never changes after: it can be published again with the same
bytes only, which also puts right what an interruption left.
"""

import gzip
import io
import tarfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from serving import golden
from serving.errors import DeliveryRefused, ModelNotFound, ModelRefused, ServingError
from serving.manifest import FILE_NAME, Manifest
from serving.store import read_folder, read_manifest, read_model

ARCHIVE = "model.tar.gz"
"""Both files once more, beside them: a serverless endpoint of SageMaker takes nothing but an archive.
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ContainerDefinition.html (ModelDataSource)"""


def publish(
    s3: Any, bucket: str, folder: Path, metadata: Mapping[str, str] | None = None
) -> tuple[Manifest, bool]:
    """Put a version into the bucket, its manifest last, and say whether that made the version exist.

    `metadata`: of the manifest's object, who publishes and why. The same bytes again change nothing.

    Raises DeliveryRefused when the folder is not what its manifest says, or the version exists with other
    bytes.
    """
    manifest, document, data = _read_folder(folder)
    what = f"{manifest.name} {manifest.version}"
    key = manifest.prefix + FILE_NAME
    # Listed first: who may not list the whole bucket is denied what is missing, and not told so.
    held = _keys(s3, bucket, manifest.prefix)
    existing = _get(s3, bucket, key) if key in held else None
    created = False
    if existing == document and _intact(s3, bucket, manifest, held):
        return manifest, False
    if existing in (None, document):
        # Without its manifest, or with another file than it says, the version was left by a publish that was
        # interrupted: the manifest says which bytes belong there.
        s3.put_object(Bucket=bucket, Key=manifest.prefix + manifest.file, Body=data)
        packed = archive({manifest.file: data, FILE_NAME: document})
        s3.put_object(Bucket=bucket, Key=manifest.prefix + ARCHIVE, Body=packed)
        try:
            s3.put_object(
                Bucket=bucket,
                Key=key,
                Body=document,
                ContentType="application/json",
                IfNoneMatch="*",
                Metadata=dict(metadata or {}),
            )
            created = True
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
            existing = _get(s3, bucket, key)  # ours already, or of another publisher who was faster
    if existing not in (None, document):
        raise DeliveryRefused(f"{what} exists with other bytes; a version never changes: publish a new one")
    return verify(s3, bucket, manifest.name, manifest.version), created


def verify(s3: Any, bucket: str, name: str, version: str) -> Manifest:
    """The manifest of a version whose file is in the bucket with the size and digest that it states."""
    try:
        manifest = read_manifest(s3, bucket, name, version)
        read_model(s3, bucket, manifest)
    except (ModelRefused, ModelNotFound) as error:
        raise DeliveryRefused(str(error)) from error
    return manifest


def _read_folder(folder: Path) -> tuple[Manifest, bytes, bytes]:
    """A folder's manifest, its bytes and the model's, once they and the golden requests are known to fit."""
    try:
        manifest, document, data = read_folder(folder)
        for request in manifest.golden:
            golden.decode(request, manifest.signature)
    except ServingError as error:
        raise DeliveryRefused(f"{folder}: {error}") from error
    return manifest, document, data


def _intact(s3: Any, bucket: str, manifest: Manifest, held: Collection[str]) -> bool:
    if not {manifest.prefix + manifest.file, manifest.prefix + ARCHIVE} <= set(held):
        return False
    try:
        read_model(s3, bucket, manifest)
    except ModelRefused:
        return False
    return True


def archive(files: Mapping[str, bytes]) -> bytes:
    """Files as a gzipped tar that is the same for the same bytes."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def _keys(s3: Any, bucket: str, prefix: str) -> set[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {item["Key"] for page in pages for item in page.get("Contents", ())}


def _get(s3: Any, bucket: str, key: str) -> bytes | None:
    try:
        return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            return None
        raise
