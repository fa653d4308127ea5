"""Zips whose bytes depend on names and contents alone, and which of our files belong into one."""

import ast
import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can tell


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


def closure(folder: Path, *modules: str) -> dict[str, Path]:
    """The files of `modules` and of every module of the package in `folder` that they import, by name."""
    package = folder.name
    files = {f"{package}/__init__.py": folder / "__init__.py"}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        relative = f"{name.replace('.', '/')}.py"
        path = folder.parent / relative
        if relative in files or not name.startswith(f"{package}.") or not path.is_file():
            continue  # seen, or a name imported from a module and no module
        files[relative] = path
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return dict(sorted(files.items()))


def sizes(files: Mapping[str, Path]) -> Counter[str]:
    """Unzipped bytes by top-level name."""
    contents = Counter[str]()
    for name, file in files.items():
        contents[name.split("/")[0]] += file.stat().st_size
    return contents


def write(path: Path, files: Mapping[str, Path], inputs: str) -> Package:
    """Write the zip and, beside it, from which `inputs` it was built; never half of it."""
    temporary = path.with_suffix(".zip.partial")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, file in sorted(files.items()):
            entry = zipfile.ZipInfo(name, date_time=_EPOCH)
            entry.create_system = 3  # Unix, whose modes follow
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())
    digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    contents = dict(sizes(files))
    temporary.rename(path)
    _stamp(path).write_text(json.dumps({"inputs": inputs, "sha256": digest, "contents": contents}))
    return Package(path, digest, path.stat().st_size, contents, built=True)


def kept(path: Path, inputs: str) -> Package | None:
    """The zip that is there, when it is whole and was built from these inputs."""
    try:
        stamped = json.loads(_stamp(path).read_text())
        data = path.read_bytes()
        if (stamped["inputs"], stamped["sha256"]) != (inputs, hashlib.sha256(data).hexdigest()):
            return None
        return Package(path, stamped["sha256"], len(data), stamped["contents"], built=False)
    except (OSError, ValueError, KeyError):
        return None


def _stamp(path: Path) -> Path:
    return path.with_suffix(".zip.json")
