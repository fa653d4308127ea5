"""The Python environment: made whole, left alone when whole, repaired when not.

With the real venv and the real uv, and without a network.
"""

import ast
import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from toolchain import cli
from toolchain.bootstrap import Environment
from toolchain.progress import CommandError, Step, Stopped

SOURCE = Path(cli.__file__).parent
UV = Path(sys.prefix) / "bin" / "uv"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not UV.exists(), reason="the environment has no uv of its own"),
]


def wheel(directory: Path, name: str, version: str, script: str = "") -> str:
    """A package of one module, and of a script if it is given one; returns its line of a lock file."""
    path, about = directory / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    executable = zipfile.ZipInfo(f"{name}-{version}.data/scripts/{name}")
    executable.external_attr = 0o100755 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"version = '{version}'")
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
        if script:
            archive.writestr(executable, script)
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a lock of one package, which uv finds in a directory and nowhere else."""
    wheels, found, root = tmp_path / "wheels", tmp_path / "bin", tmp_path / "checkout"
    for directory in (wheels, found, root):
        directory.mkdir()
    (found / "uv").symlink_to(UV)
    (root / "requirements.lock").write_text(wheel(wheels, "shelf", "1.0"))
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{found}{os.pathsep}{os.defpath}")
    return root


class Recording(Step):
    """A step that notes which commands it runs; with `stop`, the run ends as it starts the first."""

    def __init__(self, *, stop: bool = False) -> None:
        ending = threading.Event()
        super().__init__("install", ending)
        self.ran: list[str] = []
        if stop:
            ending.set()

    def run(self, command: Sequence[str | Path], **options: Any) -> list[str]:
        self.ran.append(" ".join(map(str, command)))
        return super().run(command, **options)

    @property
    def makes_anew(self) -> bool:
        return any("venv --clear" in command for command in self.ran)


def ensure(root: Path) -> Recording:
    step = Recording()
    Environment(root).ensure(step)
    return step


def shelf(root: Path) -> str:
    code = "import shelf; print(shelf.version)"
    # To Python's cache of bytecode, two versions of one size from one second are the same.
    return subprocess.check_output([root / ".venv/bin/python", "-B", "-c", code], text=True).strip()


def test_it_is_made_then_left_alone_then_updated_with_the_lock(checkout: Path, tmp_path: Path) -> None:
    assert ensure(checkout).makes_anew
    assert shelf(checkout) == "1.0"
    assert (checkout / ".venv/bin/pip").exists()
    assert ensure(checkout).ran == []

    (checkout / "requirements.lock").write_text(wheel(tmp_path / "wheels", "shelf", "2.0"))
    updating = ensure(checkout)
    assert updating.ran and not updating.makes_anew
    assert shelf(checkout) == "2.0"
    assert ensure(checkout).ran == []

    (checkout / "requirements.lock").write_text(wheel(tmp_path / "wheels", "board", "1.0"))
    ensure(checkout)
    assert not list((checkout / ".venv").glob("lib/*/site-packages/shelf*"))

    (checkout / "requirements.lock").write_text(wheel(tmp_path / "wheels", "shelf", "3.0"))
    with pytest.raises(Stopped):
        Environment(checkout).ensure(Recording(stop=True))
    assert ensure(checkout).makes_anew  # an update that was interrupted may have left a package in pieces


def without_its_stamp(environment: Path) -> None:
    (environment / "bootstrap.json").unlink()


def half_stamped(environment: Path) -> None:
    (environment / "bootstrap.json").write_text('{"lock": "')


def without_its_python(environment: Path) -> None:
    (environment / "bin" / "python").unlink()
    (environment / "bin" / "python").symlink_to("/gone/python")


def of_another_python(environment: Path) -> None:
    text = (environment / "pyvenv.cfg").read_text()
    (environment / "pyvenv.cfg").write_text(text.replace("version = 3.", "version = 2."))


def moved(environment: Path) -> None:
    stamp = environment / "bootstrap.json"
    stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"path": "/elsewhere/.venv"}))


def test_what_the_stamp_does_not_vouch_for_is_made_anew(checkout: Path, tmp_path: Path) -> None:
    ensure(checkout)
    environment, aside = checkout / ".venv", tmp_path / "aside"
    for damage in (half_stamped, without_its_python, of_another_python, moved):
        shutil.copytree(environment, aside, symlinks=True)
        damage(environment)
        deciding = Recording(stop=True)
        with pytest.raises(Stopped):
            Environment(checkout).ensure(deciding)
        assert deciding.makes_anew, damage.__name__
        shutil.rmtree(environment)
        aside.rename(environment)
    assert ensure(checkout).ran == []

    without_its_stamp(environment)
    (next(environment.glob("lib/*/site-packages")) / "shelf.py").unlink()
    assert ensure(checkout).makes_anew
    assert shelf(checkout) == "1.0"


@pytest.mark.parametrize("digest", ["", f" --hash=sha256:{'0' * 64}"])
def test_a_package_without_its_hash_is_refused_and_nothing_is_stamped(checkout: Path, digest: str) -> None:
    (checkout / "requirements.lock").write_text(f"shelf==1.0{digest}\n")
    with pytest.raises(CommandError, match=r"(?i)hash"):
        ensure(checkout)
    assert not (checkout / ".venv/bootstrap.json").exists()


def test_without_uv_the_pinned_one_is_downloaded_once_and_kept(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server on this machine stands for the package index; then it is gone, as offline."""
    (tmp_path / "bin" / "uv").unlink()
    index = tmp_path / "index" / "uv"
    index.mkdir(parents=True)
    locked = wheel(index, "uv", "9.9.9", script=f'#!/bin/sh\nexec {UV} "$@"\n')
    (checkout / "requirements.lock").write_text((checkout / "requirements.lock").read_text() + locked)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    shutil.copy(next(index.iterdir()), tmp_path / "wheels")  # for uv itself, which is to find all of the lock
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path / "index")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as network:
        threading.Thread(target=network.serve_forever, daemon=True).start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{network.server_port}")
        assert any(" download " in command for command in ensure(checkout).ran)
        network.shutdown()
    assert shelf(checkout) == "1.0"

    shutil.rmtree(checkout / ".venv")
    assert not any(" download " in command for command in ensure(checkout).ran)
    assert (checkout / ".venv/bin/uv").exists()


@pytest.fixture
def whole(checkout: Path, tmp_path: Path) -> Path:
    """A checkout with the toolchain in it, on a machine that has a Pulumi CLI."""
    shutil.copytree(SOURCE, checkout / "toolchain", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in (("pulumi", f"echo {cli.VERSION}"), (cli.LANGUAGE_HOST, "")):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    return checkout


def start(root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "toolchain/bootstrap.py"]
    return subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ.copy()
    )


def test_the_command_does_both_steps_and_writes_their_seconds(whole: Path, tmp_path: Path) -> None:
    with start(whole) as process:
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "install " in said and "toolchain " in said and f"Pulumi CLI at {tmp_path}/bin/pulumi" in said
    times = json.loads((whole / ".local/times.json").read_text())
    assert set(times) == {"install_s", "kubernetes_s", "toolchain_s"} and times["install_s"] > 0


def test_a_failing_step_ends_the_other_and_is_told_once(whole: Path, tmp_path: Path) -> None:
    """The packages cannot be had, while the build of the CLI would take ten minutes."""
    (tmp_path / "bin" / "pulumi").unlink()
    (whole / "requirements.lock").write_text(f"shelf==3.0 --hash=sha256:{'0' * 64}\n")
    go = "case $1 in env) printf 'go1.99.0\\nlocal\\n' ;; *) exec sleep 600 ;; esac"
    (tmp_path / "bin" / "go").write_text(f"#!/bin/sh\n{go}\n")
    (tmp_path / "bin" / "go").chmod(0o755)
    with start(whole) as process:
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert said.count("`uv pip` ended with status") == 1 and "Traceback" not in said
    assert not (whole / ".local/times.json").exists()


def test_interrupted_it_leaves_no_process_and_the_next_run_finishes(whole: Path, tmp_path: Path) -> None:
    uv = tmp_path / "bin" / "uv"
    uv.unlink()
    uv.write_text("#!/bin/sh\necho $$ > pid\nexec sleep 600\n")
    uv.chmod(0o755)
    with start(whole) as process:
        while not (whole / "pid").exists() or not (whole / "pid").read_text():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in said
    with pytest.raises(ProcessLookupError):
        os.kill(int((whole / "pid").read_text()), 0)
    uv.unlink()
    uv.symlink_to(UV)
    with start(whole) as process:
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert shelf(whole) == "1.0"


def test_of_two_runs_at_once_one_makes_it_and_the_other_waits(whole: Path) -> None:
    running = [start(whole), start(whole)]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert sorted(".venv made" in each for each in said) == [False, True]
    assert shelf(whole) == "1.0"


OLD = """
import os, runpy, sys
sys.version_info = (3, 9, 6)
sys.argv = ["toolchain/bootstrap.py", "argument"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_an_older_python_is_refused_in_a_line(whole: Path) -> None:
    ast.parse((SOURCE / "bootstrap.py").read_text(), feature_version=(3, 6))  # it can be read by one
    answer = subprocess.run(
        [sys.executable, "-c", OLD], cwd=whole, env={"PATH": "/nowhere"}, capture_output=True, text=True
    )
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1 and "Python 3.11 or newer is needed" in answer.stderr


def test_an_older_python_hands_over_to_a_newer_one(whole: Path, tmp_path: Path) -> None:
    for name, text in (("python3.13", "exit 127"), ("python3.12", 'echo "$0" "$@"')):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    environment = {"PATH": str(tmp_path / "bin")}
    answer = subprocess.run(
        [sys.executable, "-c", OLD], cwd=whole, env=environment, capture_output=True, text=True
    )
    newer = tmp_path / "bin" / "python3.12"
    assert answer.stdout.splitlines()[-1] == f"{newer} toolchain/bootstrap.py argument"
