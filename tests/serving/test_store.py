"""The model store against a real S3 API: verified, cached, bounded, and safe with several processes."""

import hashlib
import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from serving.errors import ModelNotFound, ModelRefused, ModelUnavailable
from serving.manifest import FILE_NAME, Manifest
from serving.store import ModelStore

LARGE = 10**9


class CountingS3:
    """A real client that counts what it reads."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.keys: list[str] = []

    def get_object(self, **arguments: Any) -> Any:
        self.keys.append(arguments["Key"])
        return self._client.get_object(**arguments)


def put(s3: Any, bucket: str, manifest: Manifest, data: bytes) -> None:
    s3.put_object(Bucket=bucket, Key=manifest.prefix + manifest.file, Body=data)
    s3.put_object(Bucket=bucket, Key=manifest.prefix + FILE_NAME, Body=manifest.encode())


def of_size(scale_manifest: Callable[..., Manifest], version: str, size: int) -> tuple[Manifest, bytes]:
    """The store does not look into the file: any bytes do."""
    data = hashlib.sha256(version.encode()).digest() * (size // 32)
    return scale_manifest(data, version), data


@pytest.fixture
def s3(aws: Any) -> Any:
    return CountingS3(aws.client("s3"))


@pytest.fixture
def raw(aws: Any) -> Any:
    return aws.client("s3")


@pytest.mark.integration
class TestModelStore:
    def test_the_second_fetch_comes_from_the_cache(
        self, s3: Any, raw: Any, bucket: str, tmp_path: Path, scale_manifest: Callable[..., Manifest]
    ) -> None:
        manifest, data = of_size(scale_manifest, "v1", 3200)
        put(raw, bucket, manifest, data)
        store = ModelStore(s3, bucket, tmp_path / "cache", LARGE)
        read = store.manifest("scale", "v1")
        assert read == manifest
        assert store.fetch(read) == store.fetch(read) == data
        assert s3.keys == ["models/scale/v1/manifest.json", "models/scale/v1/model.onnx"]
        assert (tmp_path / "cache" / "scale" / manifest.sha256).read_bytes() == data

    def test_a_damaged_copy_in_the_cache_is_fetched_again(
        self, s3: Any, raw: Any, bucket: str, tmp_path: Path, scale_manifest: Callable[..., Manifest]
    ) -> None:
        manifest, data = of_size(scale_manifest, "v1", 3200)
        put(raw, bucket, manifest, data)
        store = ModelStore(s3, bucket, tmp_path, LARGE)
        store.fetch(manifest)
        cached = tmp_path / "scale" / manifest.sha256
        for damage in (data[:-1], b"", b"\0" + data[1:]):
            cached.write_bytes(damage)
            assert store.fetch(manifest) == data
            assert cached.read_bytes() == data
        assert len(s3.keys) == 4

    @pytest.mark.parametrize("change", [lambda d: d + b"!", lambda d: d[:-1], lambda d: b"\1" + d[1:]])
    def test_bytes_that_do_not_match_the_manifest_are_refused_and_not_kept(
        self,
        s3: Any,
        raw: Any,
        bucket: str,
        tmp_path: Path,
        scale_manifest: Callable[..., Manifest],
        change: Callable[[bytes], bytes],
    ) -> None:
        manifest, data = of_size(scale_manifest, "v1", 3200)
        put(raw, bucket, manifest, change(data))
        with pytest.raises(ModelRefused, match=r"longer than 3200 bytes|manifest says 3200"):
            ModelStore(s3, bucket, tmp_path, LARGE).fetch(manifest)
        assert not list(tmp_path.glob("*/*"))

    def test_a_manifest_about_another_version_is_refused(
        self, s3: Any, raw: Any, bucket: str, tmp_path: Path, scale_manifest: Callable[..., Manifest]
    ) -> None:
        manifest, _ = of_size(scale_manifest, "v1", 3200)
        raw.put_object(Bucket=bucket, Key="models/scale/v2/manifest.json", Body=manifest.encode())
        with pytest.raises(ModelRefused, match="the manifest of scale v2 is about scale v1"):
            ModelStore(s3, bucket, tmp_path, LARGE).manifest("scale", "v2")

    def test_a_version_without_manifest_does_not_exist(
        self, s3: Any, raw: Any, bucket: str, tmp_path: Path
    ) -> None:
        raw.put_object(Bucket=bucket, Key="models/scale/v1/model.onnx", Body=b"uploaded, not published")
        with pytest.raises(ModelNotFound, match="the manifest of scale v1 is not in the store"):
            ModelStore(s3, bucket, tmp_path, LARGE).manifest("scale", "v1")

    def test_path_tricks_never_reach_storage(self, s3: Any, bucket: str, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFound):
            ModelStore(s3, bucket, tmp_path, LARGE).manifest("../secrets", "v1")
        assert s3.keys == []

    def test_the_least_recently_used_leaves_when_the_bound_is_reached(
        self, s3: Any, raw: Any, bucket: str, tmp_path: Path, scale_manifest: Callable[..., Manifest]
    ) -> None:
        store = ModelStore(s3, bucket, tmp_path, max_bytes=10_000)
        versions = {v: of_size(scale_manifest, v, 3200) for v in ("v1", "v2", "v3", "v4")}
        for manifest, data in versions.values():
            put(raw, bucket, manifest, data)
        for version in ("v1", "v2", "v3", "v1", "v4"):
            store.fetch(versions[version][0])
        kept = {path.name for path in tmp_path.glob("*/*")}
        assert kept == {versions[v][0].sha256 for v in ("v1", "v3", "v4")}

    def test_a_model_larger_than_the_bound_removes_nothing(
        self, s3: Any, raw: Any, bucket: str, tmp_path: Path, scale_manifest: Callable[..., Manifest]
    ) -> None:
        small, data = of_size(scale_manifest, "v1", 3200)
        put(raw, bucket, small, data)
        store = ModelStore(s3, bucket, tmp_path, max_bytes=5000)
        store.fetch(small)
        with pytest.raises(ModelUnavailable, match="scale v2 is 6400 bytes, the cache holds 5000"):
            store.fetch(of_size(scale_manifest, "v2", 6400)[0])
        assert [path.name for path in tmp_path.glob("*/*")] == [small.sha256]

    def test_what_a_killed_download_left_is_removed(
        self, s3: Any, raw: Any, bucket: str, tmp_path: Path, scale_manifest: Callable[..., Manifest]
    ) -> None:
        (tmp_path / ".download-left").write_bytes(b"half")
        manifest, data = of_size(scale_manifest, "v1", 3200)
        put(raw, bucket, manifest, data)
        ModelStore(s3, bucket, tmp_path, LARGE).fetch(manifest)
        assert not list(tmp_path.glob(".download-*"))

    def test_storage_that_does_not_answer_is_unavailable_and_says_so(
        self, aws: Any, tmp_path: Path, scale_manifest: Callable[..., Manifest]
    ) -> None:
        gone = type(aws)("http://127.0.0.1:9").client("s3")
        with pytest.raises(ModelUnavailable, match="cannot be read: EndpointConnectionError") as error:
            ModelStore(gone, "models", tmp_path, LARGE).manifest("scale", "v1")
        assert error.value.retry_after_s

    def test_a_refusal_of_storage_is_unavailable_with_its_code(self, tmp_path: Path) -> None:
        class Denying:
            def get_object(self, **_: Any) -> Any:
                raise ClientError({"Error": {"Code": "AccessDenied", "Message": "arn:aws:..."}}, "GetObject")

        with pytest.raises(ModelUnavailable, match=r"storage answered AccessDenied$"):
            ModelStore(Denying(), "models", tmp_path, LARGE).manifest("scale", "v1")

    def test_a_cache_that_cannot_be_written_is_unavailable_without_its_path(
        self, s3: Any, tmp_path: Path, scale_manifest: Callable[..., Manifest]
    ) -> None:
        (tmp_path / "file").touch()
        manifest, _ = of_size(scale_manifest, "v1", 3200)
        with pytest.raises(ModelUnavailable, match="cannot be cached") as error:
            ModelStore(s3, "models", tmp_path / "file" / "cache", LARGE).fetch(manifest)
        assert str(tmp_path) not in str(error.value)

    def test_processes_that_share_the_cache_all_get_whole_models_and_keep_its_bound(
        self, aws: Any, raw: Any, bucket: str, tmp_path: Path, scale_manifest: Callable[..., Manifest]
    ) -> None:
        for version in ("v1", "v2", "v3"):
            put(raw, bucket, *of_size(scale_manifest, version, 64_000))
        context = multiprocessing.get_context("spawn")
        arguments = (aws.endpoint, bucket, tmp_path)
        processes = [context.Process(target=_fetch_repeatedly, args=(*arguments, n)) for n in range(3)]
        watcher = _SizeWatcher(tmp_path)
        watcher.start()
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
        watcher.stop.set()
        watcher.join()
        assert [process.exitcode for process in processes] == [0, 0, 0]
        assert 0 < watcher.largest <= 130_000


def _fetch_repeatedly(endpoint: str, bucket: str, cache: Path, offset: int) -> None:
    import boto3

    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    store = ModelStore(s3, bucket, cache, max_bytes=130_000)  # room for two of the three
    for turn in range(12):
        manifest = store.manifest("scale", f"v{(turn + offset) % 3 + 1}")
        assert hashlib.sha256(store.fetch(manifest)).hexdigest() == manifest.sha256


class _SizeWatcher(threading.Thread):
    """Looks at the cache while it is used and keeps the largest size that it saw."""

    def __init__(self, cache: Path) -> None:
        super().__init__()
        self.cache, self.largest, self.stop = cache, 0, threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.002):
            sizes = []
            for path in self.cache.glob("*/*"):
                try:
                    sizes.append(path.stat().st_size)
                except FileNotFoundError:
                    continue
            self.largest = max(self.largest, sum(sizes))
