"""Objects of S3 in bounded numbers: written, read ahead in order, and put together."""

import io
import threading
from typing import Any

import pytest

from serving.jobs_objects import MULTIPART_BYTES, Uploads, read_ahead, write_object
from tests.serving.conftest import Aws


class S3:
    """Goes on with uploads, and with the first downloads, when so many are under way at once."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._all = threading.Barrier(at_once, timeout=30)
        self.asked: list[str] = []

    def put_object(self, **_: Any) -> None:
        self._all.wait()

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        self.asked.append(Key)
        if int(Key) < self._at_once:
            self._all.wait()
        return {"Body": io.BytesIO(f"{Bucket}/{Key}".encode())}


def test_no_more_uploads_are_held_than_run() -> None:
    s3 = S3(3)
    with Uploads(3) as uploads:
        for _ in range(21):
            uploads.add(s3.put_object, Body=b"x")
            assert len(uploads._running) <= 3


def test_an_upload_that_fails_is_an_error_even_if_it_is_the_last() -> None:
    def fails(**_: Any) -> None:
        raise ConnectionError("S3 does not answer")

    with pytest.raises(ConnectionError), Uploads(3) as uploads:
        uploads.add(fails)


def test_objects_come_in_order_and_only_so_many_are_fetched_ahead() -> None:
    s3, keys = S3(4), [f"{number:02}" for number in range(20)]
    contents = read_ahead(s3, "b", keys, 4)
    assert next(contents) == b"b/00"
    assert len(s3.asked) <= 5, "memory holds what nobody has asked for"
    assert list(contents) == [f"b/{key}".encode() for key in keys[1:]]
    assert list(read_ahead(s3, "b", [], 4)) == []


@pytest.mark.parametrize("size", [0, 100, MULTIPART_BYTES, 2 * MULTIPART_BYTES + 17])
def test_an_object_of_any_size_is_written_as_it_is(aws: Aws, bucket: str, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    chunks = (data[start : start + 3 * 2**20] for start in range(0, size, 3 * 2**20))
    write_object(aws.client("s3"), bucket, "x", chunks)
    assert aws.client("s3").get_object(Bucket=bucket, Key="x")["Body"].read() == data
