"""The model store: versions in S3, verified copies in a local cache.

The bytes that `fetch` returns are the bytes that were hashed: a model is loaded from memory and never read
again from a file that something else could have changed in between.
"""

import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from serving.errors import ModelNotFound, ModelRefused, ModelUnavailable
from serving.manifest import FILE_NAME, Manifest, version_prefix

# Golden requests and statistics are a few hundred KiB at most; a larger document is a mistake or an attack.
MAX_MANIFEST_BYTES = 8 * 2**20
_TEMPORARY = ".download-"
# Of the file system that holds the cache, for models; the rest is left to others.
_CACHE_SHARE = 0.9
# Together below the gateway's 29 seconds, so that a client hears of a storage that is away.
_S3 = Config(connect_timeout=2, read_timeout=8, retries={"mode": "standard", "total_max_attempts": 2})

logger = logging.getLogger(__name__)


def read_manifest(s3: Any, bucket: str, name: str, version: str) -> Manifest:
    """The manifest of a version in S3, which must be about that version and no other."""
    key = version_prefix(name, version) + FILE_NAME
    manifest = Manifest.parse(_read(s3, bucket, key, MAX_MANIFEST_BYTES, f"the manifest of {name} {version}"))
    if (manifest.name, manifest.version) != (name, version):
        raise ModelRefused(f"the manifest of {name} {version} is about {manifest.name} {manifest.version}")
    return manifest


def read_folder(folder: Path) -> tuple[Manifest, bytes, bytes]:
    """A version in a local folder: its manifest, the manifest's bytes, and the model's, which match it."""
    try:
        with (folder / FILE_NAME).open("rb") as file:
            document = file.read(MAX_MANIFEST_BYTES + 1)
        if len(document) > MAX_MANIFEST_BYTES:
            raise ModelRefused(f"the folder's manifest is longer than {MAX_MANIFEST_BYTES} bytes")
        manifest = Manifest.parse(document)
        data = (folder / manifest.file).read_bytes()
    except OSError as error:
        raise ModelNotFound(f"the folder misses {Path(error.filename).name}: {error.strerror}") from None
    _verify(data, manifest, f"the folder's {manifest.file}")
    return manifest, document, data


def read_model(s3: Any, bucket: str, manifest: Manifest) -> bytes:
    """A model's bytes in S3, equal to the manifest's digest."""
    what = f"the file of {manifest.name} {manifest.version}"
    data = _read(s3, bucket, manifest.prefix + manifest.file, manifest.size, what)
    _verify(data, manifest, what)
    return data


class ModelStore:
    """Model versions of one bucket, cached in one directory as `<name>/<sha256>`.

    `max_bytes` bounds the cached files together; the least recently used leave first. Processes may share
    the directory: one at a time fetches, under a lock that ends with the process that holds it.
    """

    def __init__(self, s3: Any, bucket: str, cache_dir: Path, max_bytes: int) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._cache_dir = cache_dir
        self._max_bytes = max_bytes

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """The store of MODEL_BUCKET, cached in MODEL_CACHE_DIR (default: `models` in the temporary folder).

        The client is botocore's own: boto3 adds imports for resources that are not used here.
        """
        cache = Path(environment.get("MODEL_CACHE_DIR") or Path(tempfile.gettempdir(), "models"))
        try:
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            max_bytes = int(shutil.disk_usage(cache).total * _CACHE_SHARE)
        except OSError as error:
            raise ModelUnavailable(f"the model cache cannot be used: {error.strerror}") from error
        s3 = botocore.session.get_session().create_client("s3", config=_S3)
        return cls(s3, environment["MODEL_BUCKET"], cache, max_bytes)

    def manifest(self, name: str, version: str) -> Manifest:
        """The manifest of a version."""
        return read_manifest(self._s3, self._bucket, name, version)

    def fetch(self, manifest: Manifest) -> bytes:
        """The model's bytes, from the cache or from S3, equal to the manifest's digest."""
        what = f"{manifest.name} {manifest.version}"
        if manifest.size > self._max_bytes:
            raise ModelUnavailable(f"{what} is {manifest.size} bytes, the cache holds {self._max_bytes}")
        path = self._cache_dir / manifest.name / manifest.sha256
        try:
            with self._locked():
                data = _cached(path, manifest)
                if data is None:
                    data = read_model(self._s3, self._bucket, manifest)
                    self._keep(path, data)
        except OSError as error:
            raise ModelUnavailable(f"{what} cannot be cached: {error.strerror}") from error
        return data

    def _keep(self, path: Path, data: bytes) -> None:
        """Write the file so that no reader and no crash ever sees a part of it under its name."""
        self._make_room(len(data))
        path.parent.mkdir(mode=0o700, exist_ok=True)
        temporary = self._cache_dir / f"{_TEMPORARY}{path.name}"
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _make_room(self, size: int) -> None:
        """Remove the least recently used files until `size` more bytes fit the bound."""
        for leftover in self._cache_dir.glob(f"{_TEMPORARY}*"):
            leftover.unlink()  # of a process that died: whoever holds the lock is the only one that writes
        files = [(path, path.stat()) for path in self._cache_dir.glob("*/*")]
        total = sum(status.st_size for _, status in files)
        for path, status in sorted(files, key=lambda file: file[1].st_mtime_ns):
            if total + size <= self._max_bytes:
                break
            path.unlink()
            total -= status.st_size
            logger.info(
                "removed %s/%s from the model cache: least recently used", path.parent.name, path.name
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._cache_dir / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _read(s3: Any, bucket: str, key: str, max_bytes: int, what: str) -> bytes:
    """An object of `max_bytes` at most; one byte more is read so that a longer one shows."""
    try:
        with s3.get_object(Bucket=bucket, Key=key)["Body"] as body:
            data = bytes(body.read(max_bytes + 1))
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        if code in ("NoSuchKey", "404"):
            raise ModelNotFound(f"{what} is not in the store") from None
        raise ModelUnavailable(f"{what} cannot be read: storage answered {code}") from error
    except BotoCoreError as error:
        raise ModelUnavailable(f"{what} cannot be read: {type(error).__name__}") from error
    if len(data) > max_bytes:
        raise ModelRefused(f"{what} is longer than {max_bytes} bytes")
    return data


def _verify(data: bytes, manifest: Manifest, what: str) -> None:
    digest = hashlib.sha256(data).hexdigest()
    if (len(data), digest) != (manifest.size, manifest.sha256):
        raise ModelRefused(
            f"{what} has {len(data)} bytes and sha256 {digest}; "
            f"its manifest says {manifest.size} and {manifest.sha256}"
        )


def _cached(path: Path, manifest: Manifest) -> bytes | None:
    """The cached file when it still has the manifest's digest; a damaged one is dropped."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    if hashlib.sha256(data).hexdigest() != manifest.sha256:
        logger.warning("dropped a damaged copy of %s %s from the cache", manifest.name, manifest.version)
        path.unlink()
        return None
    os.utime(path)  # the file's time is when it was last used
    return data
