"""One environment, ready to be worked on: its settings, engine and client, in one mode."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from environments import loader
from environments.schema import Environment
from inferctl.client import Client
from inferctl.engine import Engine
from inferctl.errors import CommandFailed, Exit
from inferctl.workspace import PROJECT, Mode, Workspace
from local_aws.emulator import Endpoints
from naming import Names


@dataclass(frozen=True, kw_only=True)
class Session:
    """What commands work with."""

    env: Environment
    mode: Mode
    workspace: Workspace
    engine: Engine
    endpoints: Endpoints | None

    def aws(self, service: str) -> Any:
        """A boto3 client for the environment's AWS, whatever is deployed there."""
        return self._client({}).aws(service)

    def client(self) -> Client:
        """A client of the deployed API.

        Raises:
            CommandFailed: the environment is not deployed.
        """
        outputs = self.engine.outputs()
        if "url" not in outputs:
            raise CommandFailed(
                f"environment {self.env.name} is not up",
                f"run `make up ENV={self.env.name}`",
                Exit.NOT_THERE,
            )
        return self._client(outputs)

    def _client(self, outputs: Mapping[str, Any]) -> Client:
        credentials = self.workspace.emulator().credentials() if self.endpoints else None
        return Client(
            outputs=outputs, region=self.env.region, endpoints=self.endpoints, credentials=credentials
        )


def environment(name: str) -> Environment:
    """The validated settings of an environment.

    Raises:
        CommandFailed: a setting is wrong; the message names each.
    """
    try:
        return loader.from_file(name)
    except loader.EnvironmentInvalid as error:
        raise CommandFailed(str(error), "correct the file and run the command again", Exit.SETTINGS) from None


def deployed(name: str) -> Session:
    """A session on what `up` made: in the embedded AWS, which must be running, or in an account."""
    env = environment(name)
    if not env.embedded_aws:
        return open_session(env, "aws", Workspace.here())
    running = running_locally(env)
    if running is None:
        raise _not_running(name)
    return running


def _not_running(name: str) -> CommandFailed:
    return CommandFailed(
        f"the embedded AWS of {name} is not running", f"run `make up ENV={name}`", Exit.NOT_THERE
    )


def by_names(name: str) -> tuple[Environment, Client]:
    """An environment, and a client whose outputs are those that follow from the settings.

    It asks neither the engine nor the state: who publishes a model has no right to read it.
    """
    env = environment(name)
    outputs = named_outputs(env)
    if not env.embedded_aws:
        return env, Client(outputs=outputs, region=env.region)
    workspace = Workspace.here()
    endpoints = endpoints_of(workspace)
    if endpoints is None:
        raise _not_running(name)
    credentials = workspace.emulator().credentials()
    return env, Client(outputs=outputs, region=env.region, endpoints=endpoints, credentials=credentials)


def named_outputs(env: Environment) -> dict[str, str]:
    """The stack's outputs about deliveries: they have fixed names."""
    names = Names(platform=PROJECT, environment=env.name, account_id=env.account_id, region=env.region)
    return {
        "models_bucket": names.bucket("models"),
        "delivery_machine": names.arn("states", f"stateMachine:{names.function('delivery')}"),
        "delivery_table": names.function("delivery"),
        "model_parameters": names.parameter("models"),
    }


def running_locally(env: Environment) -> Session | None:
    """A session on the environment in the embedded AWS of this machine; None when it does not run."""
    workspace = Workspace.here()
    if not env.embedded_aws or not workspace.backend(env.name, "local").exists():
        return None
    endpoints = endpoints_of(workspace)
    return open_session(env, "local", workspace, endpoints) if endpoints else None


def endpoints_of(workspace: Workspace) -> Endpoints | None:
    """Where the embedded AWS of this checkout listens; None when it does not run."""
    instances = workspace.emulator().status()
    urls = {server: f"http://127.0.0.1:{found.port}" for server, found in instances.items() if found}
    return Endpoints(**urls) if len(urls) == len(instances) else None


def open_session(
    env: Environment, mode: Mode, workspace: Workspace, endpoints: Endpoints | None = None
) -> Session:
    """A session in a given mode; creates the stack where it is kept on this machine."""
    pulumi = workspace.pulumi()
    environ = workspace.engine_environment(env.name, mode, pulumi, endpoints)
    engine = Engine(workspace, env.name, mode, environ, pulumi, env.policy_profile)
    engine.ensure_stack()
    return Session(env=env, mode=mode, workspace=workspace, engine=engine, endpoints=endpoints)
