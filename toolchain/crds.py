"""Definitions of custom Kubernetes resources, out of the Go modules of those who make them.

`go mod download` fetches the modules of the pinned versions and checks them against the hashes here; the YAML
files that the platform needs are copied into the tool cache. Without Go, or without the network, there are
none, and a plan judges custom resources by less.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

from toolchain import cli
from toolchain.progress import CommandError, Step

MODULES = {
    # Module and version -> (hash as go.sum has it, files of definitions in it)
    "github.com/aws/karpenter-provider-aws@v1.14.1": (
        "h1:WGtIQTQcxpElYMdWfWuPwaF2+9muR+hYhPZsTtoY8Gs=",
        ("pkg/apis/crds/karpenter.k8s.aws_ec2nodeclasses.yaml", "pkg/apis/crds/karpenter.sh_nodepools.yaml"),
    ),
    "github.com/kedacore/keda/v2@v2.21.0": (
        "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
        (
            "config/crd/bases/keda.sh_scaledobjects.yaml",
            "config/crd/bases/keda.sh_triggerauthentications.yaml",
        ),
    ),
}


def folder() -> Path:
    """Where the definitions of these versions are kept, once they are there."""
    digest = hashlib.sha256(json.dumps(MODULES, sort_keys=True).encode()).hexdigest()
    return cli.cache_directory() / f"crds-{digest[:12]}"


def ensure(step: Step) -> None:
    """Get what is not there yet. A failure is told and is no error: see above."""
    if folder().is_dir():
        step.result = f"definitions of custom resources at {folder()}"
        return
    go = shutil.which("go")
    if go is None:
        step.result = "no definitions of custom resources: there is no `go` on PATH"
        return
    step.detail = "downloading the definitions of custom resources"
    partial = folder().with_name(f".{folder().name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for module, (wanted, files) in MODULES.items():
            downloaded = _download(step, go, module)
            if downloaded["Sum"] != wanted:
                raise ValueError(f"{module} has the hash {downloaded['Sum']}, not {wanted}")
            for file in files:
                shutil.copyfile(Path(downloaded["Dir"], file), partial / Path(file).name)
        partial.rename(folder())
        step.result = f"definitions of custom resources at {folder()}"
    except (OSError, ValueError, CommandError) as error:
        step.result = f"no definitions of custom resources: {str(error)[:200]}"
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _download(step: Step, go: str, module: str) -> dict[str, str]:
    """What `go mod download` says of a module: one JSON object, after lines about its progress."""
    environment = {**os.environ, "GOWORK": "off", "GOFLAGS": "-mod=mod"}
    lines = step.run([go, "mod", "download", "-json", module], cwd="/", env=environment)
    said: dict[str, str] = json.loads("\n".join(lines[lines.index("{") :]))
    return said
