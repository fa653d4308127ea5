"""Zips of the functions, as Lambda takes them, and of the container image's build context.

    python -m serving.package [--target {local,aws-arm64,aws-x86_64}] OUTDIR

writes a zip for each function and model-server-image.zip into OUTDIR/<target>. `local` has our code only, for
an AWS whose functions run in an environment with the dependencies; the others have the dependencies too, from
the hashed locks beside this file, except boto3, which Lambda brings. The same inputs give the same bytes
and are not built twice.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import uv

from serving import archive
from serving.archive import Package

PYTHON_VERSION = "3.13"
# glibc of Amazon Linux 2023, which Lambda's Python 3.13 runs on.
PLATFORMS = {"aws-arm64": "aarch64-manylinux_2_34", "aws-x86_64": "x86_64-manylinux_2_34"}
TARGETS = ("local", *PLATFORMS)
# Zip -> the modules of the handlers in it. What has no lock beside this file needs no more than boto3.
FUNCTIONS = {
    "model-server": ("serving.lambda_app", "serving.trial_app", "serving.drift_app"),
    "authorizer": ("serving.authorizer",),
    "delivery": ("serving.delivery_app",),
    "jobs": ("serving.jobs_api_app", "serving.jobs_worker_app"),
    "jobs-files": ("serving.jobs_control_app",),
    "canary": ("serving.canary", "serving.parking"),
}
# The container image, and the modules that it can be started with.
IMAGE = "model-server-image"
IMAGE_MODULES = (
    "serving.http_app",
    "serving.candidate_app",
    "serving.router_app",
    "serving.jobs_poller",
    "serving.live",
)
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_UNZIPPED_BYTES = 250 * 2**20

_HERE = Path(__file__).parent
_LOCK = "requirements"
# What no import at run time reaches: tests, headers and types for compilers, scripts with this machine's
# paths, records of the installation; of ONNX Runtime its offline tools, and the C library, a second copy of
# the engine that the Python extension holds already (33 of 129 MiB; nothing links to it).
_UNNEEDED_PARTS = {"__pycache__", "tests", "bin", "include", "f2py"}
_UNNEEDED_SUFFIXES = {".pyc", ".pyi", ".a", ".h", ".pxd"}
_UNNEEDED_NAMES = {"RECORD", "INSTALLER", "REQUESTED", ".lock"}
_UNNEEDED_PREFIXES = tuple(
    f"onnxruntime/{name}"
    for name in (
        "backend/",
        "datasets/",
        "quantization/",
        "tools/",
        "transformers/",
        "capi/libonnxruntime.so",
    )
)


def build(outdir: Path, target: str, python_version: str = PYTHON_VERSION) -> list[Package]:
    """Build every function's zip for `target` and the image's context, or keep what is unchanged.

    Raises ValueError when a package is beyond Lambda's limit, and CalledProcessError when its dependencies
    cannot be installed; a zip that was there before stays as it was.
    """
    outdir.mkdir(parents=True, exist_ok=True)
    functions = [_build(outdir / f"{name}.zip", name, target, python_version) for name in FUNCTIONS]
    return [*functions, build_context(outdir / f"{IMAGE}.zip")]


def build_context(path: Path) -> Package:
    """Zip what `docker build` takes; it is the same for every machine."""
    files = archive.closure(_HERE, *IMAGE_MODULES)
    files |= {name: _HERE / name for name in ("Dockerfile", f"{_LOCK}-image.lock", f"{_LOCK}-image-gpu.lock")}
    inputs = _inputs(files.values())
    return archive.kept(path, inputs) or archive.write(path, files, inputs)


def _build(path: Path, function: str, target: str, python_version: str) -> Package:
    code = archive.closure(_HERE, *FUNCTIONS[function])
    lock = _HERE / f"{_LOCK}-{function}.lock"
    locked = [lock] if lock.exists() else []
    inputs = _inputs([*code.values(), *locked], target, python_version)
    if (kept := archive.kept(path, inputs)) is not None:
        return kept
    with tempfile.TemporaryDirectory(prefix="package-") as folder:
        files = dict(code)
        if target != "local" and locked:
            _install(Path(folder), lock, PLATFORMS[target], python_version)
            files |= _needed(Path(folder))
        contents = archive.sizes(files)
        if contents.total() > MAX_UNZIPPED_BYTES:
            largest = ", ".join(f"{name} {size / 2**20:.0f}" for name, size in contents.most_common(5))
            total = f"{contents.total() / 2**20:.0f} MiB"
            raise ValueError(f"{path.name} has {total} unzipped, Lambda takes 250; largest: {largest}")
        return archive.write(path, files, inputs)


def _inputs(files: Iterable[Path], *settings: str) -> str:
    """Digest of all that decides a zip's content, the way of building it included."""
    digest = hashlib.sha256(json.dumps(settings).encode())
    for file in (*files, Path(__file__), Path(archive.__file__)):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _install(folder: Path, lock: Path, platform: str, python_version: str) -> None:
    """Install the locked wheels of another platform into `folder`. Nothing of them is run."""
    command = [
        uv.find_uv_bin(),
        "pip",
        "install",
        "--quiet",
        "--target",
        str(folder),
        "--python",
        sys.executable,
    ]
    command += ["--python-platform", platform, "--python-version", python_version]
    command += ["--only-binary", ":all:", "--require-hashes", "--no-deps", "-r", str(lock)]
    subprocess.run(command, check=True)


def _needed(folder: Path) -> dict[str, Path]:
    """Installed files that can be needed at run time, by name in the zip."""
    files: dict[str, Path] = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        pure = PurePosixPath(name)
        if (
            path.is_file()
            and _UNNEEDED_PARTS.isdisjoint(pure.parts)
            and pure.suffix not in _UNNEEDED_SUFFIXES
            and pure.name not in _UNNEEDED_NAMES
            and not name.startswith(_UNNEEDED_PREFIXES)
        ):
            files[name] = path
    return files


def main() -> None:
    """Command line: build and report what is in the zips."""
    parser = argparse.ArgumentParser(description="Build the functions' zips and the image's context.")
    parser.add_argument("--target", choices=TARGETS, action="append", help="default: both of AWS")
    parser.add_argument("outdir", type=Path)
    arguments = parser.parse_args()
    try:
        for target in arguments.target or PLATFORMS:
            print(f"building for {target}", file=sys.stderr, flush=True)
            for package in build(arguments.outdir / target, target):
                _report(package)
    except (ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"package: {error}")


def _report(package: Package) -> None:
    state = "built" if package.built else "unchanged"
    limit = "" if package.path.stem == IMAGE else f" (limit {MAX_UNZIPPED_BYTES / 2**20:.0f})"
    print(
        f"{package.path}: {state}, {package.zipped / 2**20:.1f} MiB zipped, "
        f"{package.unzipped / 2**20:.1f} MiB unzipped{limit}, sha256 {package.sha256}"
    )
    for name, size in sorted(package.contents.items(), key=lambda item: -item[1]):
        print(f"    {size / 2**20:7.2f} MiB  {name}")


if __name__ == "__main__":
    main()
