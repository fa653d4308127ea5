"""The zips: reproducible, complete, lean, and never half written."""

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from serving import archive, package

SERVING = Path(package.__file__).parent
HOST = f"{sys.version_info.major}.{sys.version_info.minor}"


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def test_local_zips_have_the_handlers_and_all_of_our_modules_that_they_import(tmp_path: Path) -> None:
    server, authorizer, deliveries, *_ = package.build(tmp_path, "local")
    assert {"serving/lambda_app.py", "serving/runtime.py", "serving/oip.py"} <= set(names(server.path))
    assert names(authorizer.path) == ["serving/__init__.py", "serving/authorizer.py", "serving/logs.py"]
    assert "serving/runtime.py" not in names(deliveries.path)
    for path in (server.path, authorizer.path, deliveries.path):
        unpacked = tmp_path / path.stem
        zipfile.ZipFile(path).extractall(unpacked)
        present = {file.relative_to(unpacked).as_posix() for file in unpacked.rglob("*.py")}
        for file in present:
            for node in ast.walk(ast.parse((unpacked / file).read_bytes())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("serving."):
                    assert f"{str(node.module).replace('.', '/')}.py" in present


def test_nothing_that_runs_only_while_developing_is_in_a_zip(tmp_path: Path) -> None:
    for built in package.build(tmp_path, "local"):
        assert not [
            name for name in names(built.path) if re.search(r"package|publication|recipes|\.pyc", name)
        ]


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    first = package.build(tmp_path / "a", "local")
    second = package.build(tmp_path / "b", "local")
    for one, other in zip(first, second, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()
    with zipfile.ZipFile(first[0].path) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert {(entry.date_time, entry.external_attr) for entry in entries} == {
        ((1980, 1, 1, 0, 0, 0), 0o100644 << 16)
    }


def test_unchanged_inputs_are_not_built_again_and_damage_is(tmp_path: Path) -> None:
    first = package.build(tmp_path, "local")
    assert [built.built for built in first] == [True] * len(first)
    again = package.build(tmp_path, "local")
    assert [built.built for built in again] == [False] * len(first)
    assert [built.contents for built in again] == [built.contents for built in first]
    good = first[0].path.read_bytes()
    first[0].path.write_bytes(good[:-1])
    assert [built.built for built in package.build(tmp_path, "local")] == [True] + [False] * (len(first) - 1)
    assert first[0].path.read_bytes() == good


def test_changed_code_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "serving"
    copy.mkdir()
    for file in [*SERVING.glob("*.py"), *SERVING.glob("*.lock"), SERVING / "Dockerfile"]:
        (copy / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(package, "_HERE", copy)
    package.build(tmp_path / "out", "local")
    (copy / "logs.py").write_text((copy / "logs.py").read_text() + "\n")
    assert [built.built for built in package.build(tmp_path / "out", "local")] == [True] * (
        len(package.FUNCTIONS) + 1
    )
    (copy / "runtime.py").write_text((copy / "runtime.py").read_text() + "\n")
    again = package.build(tmp_path / "out", "local")
    assert [built.path.stem for built in again if built.built] == ["model-server", "model-server-image"]


def test_a_package_beyond_the_limit_says_what_is_large_and_leaves_the_zip_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = package.build(tmp_path, "local")[0].path.read_bytes()
    monkeypatch.setattr(package, "MAX_UNZIPPED_BYTES", 1000)
    monkeypatch.setattr(archive, "kept", lambda *_: None)
    with pytest.raises(
        ValueError, match=r"model-server.zip has .* unzipped, Lambda takes 250; largest: serving"
    ):
        package.build(tmp_path, "local")
    assert (tmp_path / "model-server.zip").read_bytes() == before


@pytest.mark.parametrize("name", [*sorted(package.FUNCTIONS), "image", "image-gpu"])
def test_locks_are_hashed_name_no_host_and_agree_with_the_environments_lock(name: str) -> None:
    pin = re.compile(r"^([a-z0-9_.-]+)==(\S+)", re.MULTILINE)
    text = (SERVING / f"requirements-{name}.lock").read_text()
    environment = set(pin.findall((SERVING.parent / "requirements.lock").read_text()))
    # Of NVIDIA's own packages this environment has none.
    pins = {found for found in pin.findall(text) if not re.match("nvidia-|onnxruntime-gpu", found[0])}
    assert pins
    assert pins <= environment
    assert "://" not in text
    for block in re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in block
    names = {found[0] for found in pins}
    assert "huggingface-hub" not in names
    if name in package.FUNCTIONS:
        assert not names & {"boto3", "botocore"}  # Lambda brings them


@pytest.mark.integration
@pytest.mark.parametrize("target", ["aws-arm64", "aws-x86_64"])
def test_aws_zips_are_reproducible_hold_that_platforms_libraries_and_are_far_below_the_limit(
    target: str, tmp_path: Path
) -> None:
    first, second = (package.build(tmp_path / folder, target) for folder in ("a", "b"))
    machine = {"aws-arm64": b"\xb7\x00", "aws-x86_64": b"\x3e\x00"}[target]  # e_machine of ELF
    for one, other in zip(first, second, strict=True):
        assert one.sha256 == other.sha256
        assert one.unzipped < (200 if one.path.stem == "jobs-files" else 100) * 2**20
        files = names(one.path)
        assert not [
            name for name in files if re.search(r"(^|/)(tests|__pycache__|boto3|botocore)(/|$)", name)
        ]
        with zipfile.ZipFile(one.path) as archive:
            libraries = [name for name in files if name.endswith(".so")]
            assert bool(libraries) == (one.path.stem in package.FUNCTIONS)
            assert {archive.read(name)[18:20] for name in libraries} <= {machine}
            assert all("cpython-313" in name for name in libraries if "cpython" in name)


@pytest.mark.integration
def test_dependencies_whose_hash_is_not_the_locks_are_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "serving"
    copy.mkdir()
    for file in [*SERVING.glob("*.py"), *SERVING.glob("*.lock"), SERVING / "Dockerfile"]:
        text = re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", file.read_text())
        (copy / file.name).write_text(text if file.suffix == ".lock" else file.read_text())
    monkeypatch.setattr(package, "_HERE", copy)
    with pytest.raises(subprocess.CalledProcessError):
        package.build(tmp_path / "out", "aws-x86_64", HOST)
    assert not list((tmp_path / "out").glob("*.zip"))
