"""Where things are, and the surroundings in which the engine runs.

Three modes. `local` provisions into the AWS embedded on this machine, `plan` into nothing at all (a scratch
backend of its own), `aws` into an account, with Pulumi's official plug-ins and the user's own login.
"""

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from inferctl.errors import CommandFailed, Exit
from local_aws.emulator import Emulator, Endpoints
from local_aws.plugins import install_plugins
from toolchain import cli

Mode = Literal["local", "plan", "aws"]

ROOT = Path(__file__).resolve().parent.parent
PROJECT = yaml.safe_load((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))["name"]
SCRATCH_MARKER = ".scratch-backend"


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A checkout and its `.local` folder, which holds everything that is made on this machine."""

    local: Path

    @classmethod
    def here(cls) -> "Workspace":
        """The checkout's own, or the folder that INFERENCE_LOCAL_DIR names (tests have one each)."""
        return cls(local=Path(os.environ.get("INFERENCE_LOCAL_DIR", ROOT / ".local")).resolve())

    @property
    def packages(self) -> Path:
        return self.local / "packages"

    def pulumi(self) -> Path:
        """The Pulumi CLI to run, with a language host for Python beside it.

        Raises:
            CommandFailed: `make setup` has not got one yet.
        """
        found = cli.find()
        if found is None:
            raise CommandFailed("the Pulumi CLI has not been set up", "run `make setup`", Exit.NOT_THERE)
        if cli.needs_language_host(found):
            return cli.install_language_host(found, self.local / "bin", Path(sys.executable))
        return found

    def emulator(self) -> Emulator:
        return Emulator(self.local)

    def backend(self, env: str, mode: Mode) -> Path:
        """Folder of the state that this mode keeps on this machine."""
        return self.local / ("state" if mode == "local" else f"plan/{env}/state")

    def manifests(self, env: str) -> Path:
        """Folder of the Kubernetes objects of a plan that was brought up."""
        return self.backend(env, "plan").with_name("manifests")

    def project(self, env: str, mode: Mode) -> Path:
        """Folder of a copy of the stack's config file.

        Creating a stack writes its salt into that file; the one under `environments/` belongs to git.
        """
        return self.backend(env, mode).with_name("config")

    def config_file(self, env: str, mode: Mode) -> Path:
        return self.project(env, mode) / f"Pulumi.{env}.yaml"

    def write_config(self, env: str, mode: Mode) -> None:
        """Refresh the copy from `environments/`, keeping its salt."""
        source = yaml.safe_load((ROOT / f"environments/Pulumi.{env}.yaml").read_text(encoding="utf-8"))
        target = self.config_file(env, mode)
        kept = yaml.safe_load(target.read_text(encoding="utf-8")) if target.exists() else {}
        content = {"config": source["config"]}
        if salt := (kept or {}).get("encryptionsalt"):
            content["encryptionsalt"] = salt
        target.parent.mkdir(parents=True, exist_ok=True)
        project = {"name": PROJECT, "runtime": "python", "stackConfigDir": "."}
        (target.parent / "Pulumi.yaml").write_text(yaml.safe_dump(project), encoding="utf-8")
        target.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def engine_environment(
        self, env: str, mode: Mode, pulumi: Path, endpoints: Endpoints | None
    ) -> dict[str, str]:
        """Environment variables of the engine, its plug-ins and the program."""
        own = {
            **os.environ,
            "PATH": os.pathsep.join([str(pulumi.parent), os.environ.get("PATH", "")]),
            "INFERENCE_PACKAGES": str(self.packages),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DEBUG_COMMANDS": "true",  # gives --event-log, as the Automation API has it
        }
        if mode == "aws":
            return own
        home, backend = self.local / "pulumi-home", self.backend(env, mode)
        install_plugins(home, sys.executable)
        backend.mkdir(parents=True, exist_ok=True)
        if mode == "plan":
            (backend / SCRATCH_MARKER).touch()
            own["LOCAL_KUBERNETES_RENDER_DIR"] = str(self.manifests(env))
        own |= {
            "PULUMI_HOME": str(home),
            "PULUMI_BACKEND_URL": f"file://{backend}",
            "PULUMI_CONFIG_PASSPHRASE": self._passphrase(),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "LOCAL_AWS_MODE": "emulate" if mode == "local" else "plan",
            "LOCAL_AWS_DIR": str(self.local),
        }
        for variable in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_CONFIG_FILE"):
            own.pop(variable, None)
        if endpoints:
            own |= {
                "LOCAL_AWS_ENDPOINT": endpoints.ministack,
                "LOCAL_AWS_MOTO_ENDPOINT": endpoints.moto,
                **self.emulator().credentials(),
            }
        return own

    def _passphrase(self) -> str:
        """What encrypts the secrets in this checkout's state files; made once, for the user's eyes alone."""
        path = self.local / "passphrase"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(os.urandom(24).hex())
        return path.read_text(encoding="utf-8").strip()

    def forget(self, env: str, mode: Mode) -> None:
        """Remove the state that this mode keeps on this machine."""
        kept = (self.backend(env, mode), self.project(env, mode))
        for folder in (*kept, self.manifests(env)) if mode == "plan" else kept:
            shutil.rmtree(folder, ignore_errors=True)

    def times(self) -> dict[str, float]:
        """Seconds that setting up took, as the bootstrap measured them."""
        path = self.local / "times.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
