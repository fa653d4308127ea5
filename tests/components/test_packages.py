"""Function packages: named by their content, and refused with the remedy where they are not built."""

import base64
import hashlib
from pathlib import Path

import pytest

from components.packages import Packages, PackagesArgs
from tests.components.platform_args import DATA_KEY, TAGS
from tests.components.recorded import Recorded, deployed

ZIPS = ("model-server", "authorizer", "canary", "jobs", "jobs-files", "delivery")
OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"


def packages(folder: Path) -> tuple[Recorded, Packages]:
    made: list[Packages] = []
    args = PackagesArgs(tags=TAGS, bucket="models-bucket", kms_key_arn=DATA_KEY, folder=folder)
    recorded = deployed(lambda: made.append(Packages("packages", args)))
    return recorded, made[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ZIPS:
        (tmp_path / f"{name}.zip").write_bytes(name.encode())
    return tmp_path


def test_each_zip_is_uploaded_under_its_digest_and_encrypted(folder: Path) -> None:
    recorded, made = packages(folder)
    uploaded = {upload.inputs["key"]: upload.inputs for upload in recorded.all(OBJECT)}
    for name in ZIPS:
        digest = hashlib.sha256(name.encode())
        upload = uploaded[f"packages/{name}-{digest.hexdigest()[:16]}.zip"]
        assert (upload["bucket"], upload["kmsKeyId"]) == ("models-bucket", DATA_KEY)
        assert upload["serverSideEncryption"] == "aws:kms"
        assert upload["source"].path == str(folder / f"{name}.zip")
        package = getattr(made, name.replace("-", "_"))
        assert package.sha256_base64 == base64.b64encode(digest.digest()).decode()


def test_a_changed_zip_is_a_new_object_and_an_unchanged_one_is_not(folder: Path) -> None:
    before, _ = packages(folder)
    (folder / "authorizer.zip").write_bytes(b"changed")
    after, _ = packages(folder)
    keys = [{r.name: r.inputs["key"] for r in recorded.all(OBJECT)} for recorded in (before, after)]
    assert keys[0]["packages-authorizer"] != keys[1]["packages-authorizer"]
    assert keys[0]["packages-model-server"] == keys[1]["packages-model-server"]


@pytest.mark.parametrize("missing", ZIPS)
def test_a_zip_that_is_not_built_is_named_with_the_command_that_builds_it(folder: Path, missing: str) -> None:
    (folder / f"{missing}.zip").unlink()
    with pytest.raises(FileNotFoundError, match=rf"{missing}\.zip is missing; build it with `make package`"):
        packages(folder)
