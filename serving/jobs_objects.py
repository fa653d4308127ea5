"""Many objects of S3 at once, in bounded memory: parts that are written, read in order, and put together."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

MULTIPART_BYTES = 8 * 2**20  # S3 wants 5 MiB at least for all parts but the last


class Uploads:
    """Some uploads at once; no more wait than run, so memory is bounded. Errors come out at the end."""

    def __init__(self, at_once: int) -> None:
        self._threads, self._at_once = ThreadPoolExecutor(at_once), at_once
        self._running: set[Future[Any]] = set()

    def __enter__(self) -> "Uploads":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._threads.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for upload in self._running:
                upload.result()

    def add(self, put: Callable[..., Any], **arguments: Any) -> None:
        """Start an upload as soon as one may."""
        while len(self._running) >= self._at_once:
            done, self._running = wait(self._running, return_when=FIRST_COMPLETED)
            for upload in done:
                upload.result()
        self._running.add(self._threads.submit(put, **arguments))


def read_ahead(s3: Any, bucket: str, keys: Iterable[str], at_once: int) -> Iterator[bytes]:
    """The contents of objects in the order of their keys; some are fetched while one is used."""

    def read(key: str) -> bytes:
        return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    rest = iter(keys)
    with ThreadPoolExecutor(at_once) as threads:
        coming = deque(threads.submit(read, key) for key in islice(rest, at_once))
        while coming:
            content = coming.popleft().result()
            coming.extend(threads.submit(read, key) for key in islice(rest, 1))
            yield content


def write_object(s3: Any, bucket: str, key: str, chunks: Iterator[bytes]) -> None:
    """Write an object of any size; it is there as a whole or not at all."""
    target = {"Bucket": bucket, "Key": key}
    data = _filled(chunks)
    if len(data) < MULTIPART_BYTES:
        s3.put_object(**target, Body=data)
        return
    upload = target | {"UploadId": s3.create_multipart_upload(**target)["UploadId"]}
    written: list[dict[str, Any]] = []
    while data:
        number = len(written) + 1
        tag = s3.upload_part(**upload, PartNumber=number, Body=data)["ETag"]
        written.append({"PartNumber": number, "ETag": tag})
        data = _filled(chunks)
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": written})


def _filled(chunks: Iterator[bytes]) -> bytes:
    """Chunks put together until they are enough for a part of a multipart upload."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        if len(buffer) >= MULTIPART_BYTES:
            break
    return bytes(buffer)
