"""What the model server's image is built from, as a zip: the code of both its servers, and how to install it.

The same sources give the same bytes, whose digest is the image's tag.
"""

import hashlib
from pathlib import Path

from serving.package import closure, write_zip

NAME = "model-server-image.zip"
_HERE = Path(__file__).parent
# Model server and router, which share one image.
_SERVERS = ("serving.http_app", "serving.router_app")


def build(outdir: Path) -> Path:
    """Write the zip into a folder, and give its path; an unchanged one keeps its bytes."""
    files: dict[str, Path] = {}
    for server in _SERVERS:
        files |= closure(server)
    # The Dockerfile stands at the root of the context.
    files |= {path.name: path for path in sorted(_HERE.glob("Dockerfile*"))}
    files |= {path.name: path for path in sorted(_HERE.glob("requirements-image*.lock"))}
    target = outdir / NAME
    partial = target.with_suffix(".zip.partial")
    outdir.mkdir(parents=True, exist_ok=True)
    write_zip(partial, files)
    if target.is_file() and _digest(target) == _digest(partial):
        partial.unlink()
    else:
        partial.rename(target)
    return target


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
