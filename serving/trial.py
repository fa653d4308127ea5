"""The trial of a published version: its bytes, its signature and its answers, before any backend sees it.

It runs with the model server's own package, so that what loads here loads there; on the CPU, whatever the
backend. A file that breaks the process breaks this function's process and nobody else's.
"""

from typing import Any

from botocore.exceptions import ClientError

from serving import golden
from serving.errors import DeliveryRefused, ServingError
from serving.manifest import FILE_NAME, version_prefix
from serving.runtime import Model
from serving.store import read_manifest, read_model


def try_version(s3: Any, bucket: str, name: str, version: str) -> dict[str, Any]:
    """Load a version, ask it its golden requests, and say what was found.

    Raises DeliveryRefused with the reason why it must not go live.
    """
    try:
        manifest = read_manifest(s3, bucket, name, version)
        model = Model(manifest, read_model(s3, bucket, manifest))
        report = golden.run(manifest, model.infer)
    except ServingError as error:
        if error.retry_after_s is not None:
            raise  # the storage is away: no word about the version
        raise DeliveryRefused(str(error)) from error
    if report.failed:
        reasons = [f"golden request {failed['golden']}: {failed['reason']}" for failed in report.failed]
        raise DeliveryRefused(f"{name} {version}: {'; '.join(reasons)}")
    return {"digest": manifest.sha256, "golden": report.passed, "metrics": dict(manifest.metrics)}


def publication(s3: Any, bucket: str, name: str, version: str) -> dict[str, str]:
    """Who published a version and why, as the publisher left it with the manifest; empty where nobody did."""
    try:
        held = s3.head_object(Bucket=bucket, Key=version_prefix(name, version) + FILE_NAME)
    except ClientError:
        return {}  # that the manifest is missing is for the trial to say
    return {name: text for name, text in held["Metadata"].items() if name in ("who", "why")}
