"""Zips of the functions, as Lambda takes them.

    python -m serving.package --target {local,aws-arm64,aws-x86_64} OUTDIR

writes model-server.zip and authorizer.zip into OUTDIR. `local` has our code only, for an AWS whose functions
run in an environment with the dependencies; the others have the dependencies too, from the hashed locks
beside this file, except botocore, which Lambda brings. The same inputs give the same bytes and are not built
twice.
"""

import argparse
import ast
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import uv

PYTHON_VERSION = "3.13"
# glibc of Amazon Linux 2023, which Lambda's Python 3.13 runs on.
PLATFORMS = {"aws-arm64": "aarch64-manylinux_2_34", "aws-x86_64": "x86_64-manylinux_2_34"}
TARGETS = ("local", *PLATFORMS)
# Function -> the module of its handler.
FUNCTIONS = {"model-server": "serving.lambda_app", "authorizer": "serving.authorizer"}
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_UNZIPPED_BYTES = 250 * 2**20

_HERE = Path(__file__).parent
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can tell
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


@dataclass(frozen=True, slots=True)
class Package:
    """A built zip. Sizes in bytes; `contents`: unzipped size by top-level name; `built`: False when kept."""

    path: Path
    sha256: str
    zipped: int
    contents: dict[str, int]
    built: bool

    @property
    def unzipped(self) -> int:
        """Size that counts against Lambda's limit."""
        return sum(self.contents.values())


def build(outdir: Path, target: str, python_version: str = PYTHON_VERSION) -> list[Package]:
    """Build every function's zip for `target`, or keep it where its inputs are unchanged.

    Raises ValueError when a package is beyond Lambda's limit, and CalledProcessError when its dependencies
    cannot be installed; a zip that was there before stays as it was.
    """
    outdir.mkdir(parents=True, exist_ok=True)
    return [_build(outdir / f"{function}.zip", function, target, python_version) for function in FUNCTIONS]


def _build(path: Path, function: str, target: str, python_version: str) -> Package:
    code = closure(FUNCTIONS[function])
    lock = _HERE / f"requirements-{function}.lock"
    inputs = hashlib.sha256(json.dumps([target, python_version]).encode())
    for file in (*code.values(), lock, Path(__file__)):
        inputs.update(hashlib.sha256(file.read_bytes()).digest())
    stamp = path.with_suffix(".zip.json")
    if (kept := _kept(path, stamp, inputs.hexdigest())) is not None:
        return kept
    with tempfile.TemporaryDirectory(prefix="package-") as folder:
        files = dict(code)
        if target != "local":
            _install(Path(folder), lock, PLATFORMS[target], python_version)
            files |= _needed(Path(folder))
        contents = Counter[str]()
        for name, file in files.items():
            contents[name.split("/")[0]] += file.stat().st_size
        if contents.total() > MAX_UNZIPPED_BYTES:
            largest = ", ".join(f"{name} {size / 2**20:.0f}" for name, size in contents.most_common(5))
            total = f"{contents.total() / 2**20:.0f} MiB"
            raise ValueError(f"{path.name} has {total} unzipped, Lambda takes 250; largest: {largest}")
        temporary = path.with_suffix(".zip.partial")
        write_zip(temporary, files)
    digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    temporary.rename(path)
    stamp.write_text(json.dumps({"inputs": inputs.hexdigest(), "sha256": digest, "contents": contents}))
    return Package(path, digest, path.stat().st_size, dict(contents), built=True)


def _kept(path: Path, stamp: Path, inputs: str) -> Package | None:
    """The zip that is there, when it is whole and was built from these inputs."""
    try:
        stamped = json.loads(stamp.read_text())
        data = path.read_bytes()
        if (stamped["inputs"], stamped["sha256"]) != (inputs, hashlib.sha256(data).hexdigest()):
            return None
        return Package(path, stamped["sha256"], len(data), stamped["contents"], built=False)
    except (OSError, ValueError, KeyError):
        return None


def closure(module: str) -> dict[str, Path]:
    """The files of `module` and of every module of this package that it imports, by name in the zip."""
    files = {"serving/__init__.py": _HERE / "__init__.py"}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        relative = f"{name.replace('.', '/')}.py"
        path = _HERE.parent / relative
        if relative in files or not path.is_file():
            continue  # seen, or a name imported from a module and no module
        files[relative] = path
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return dict(sorted(files.items()))


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


def write_zip(path: Path, files: dict[str, Path]) -> None:
    """Write a zip whose bytes depend on the names and contents of the files alone."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, file in sorted(files.items()):
            entry = zipfile.ZipInfo(name, date_time=_EPOCH)
            entry.create_system = 3  # Unix, whose modes follow
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())


def main() -> None:
    """Command line: build and report what is in the zips."""
    parser = argparse.ArgumentParser(description="Build the functions' zips.")
    parser.add_argument("--target", choices=TARGETS, required=True)
    parser.add_argument("outdir", type=Path)
    arguments = parser.parse_args()
    try:
        packages = build(arguments.outdir, arguments.target)
    except (ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"package: {error}")
    for package in packages:
        state = "built" if package.built else "unchanged"
        print(
            f"{package.path}: {state}, {package.zipped / 2**20:.1f} MiB zipped, "
            f"{package.unzipped / 2**20:.1f} MiB unzipped (limit 250), sha256 {package.sha256}"
        )
        for name, size in sorted(package.contents.items(), key=lambda item: -item[1]):
            print(f"    {size / 2**20:7.2f} MiB  {name}")


if __name__ == "__main__":
    main()
