"""Every way in which a command ends early, said in words: what happened, why, and what to run next."""

from dataclasses import dataclass

import httpx
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from inferctl.errors import CommandFailed, Exit
from local_aws.emulator import EmulatorError

EXPECTED = (CommandFailed, EmulatorError, ClientError, BotoCoreError, httpx.HTTPError)
"""What the world does to a command. Anything else is a defect and shows its traceback."""

_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "InvalidClientTokenId")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An error, for people and for scripts."""

    what: str
    next_step: str
    code: Exit = Exit.FAILED


def explain(error: Exception, env: str = "ENV") -> Failure:
    """What an expected error means and what to do about it.

    Args:
        error: one of `EXPECTED`.
        env: the environment's name, for the next command.
    """
    doctor = f"run `inferctl doctor --env {env}`: it says what is missing"
    match error:
        case CommandFailed():
            return Failure(what=str(error), next_step=error.next_step, code=error.code)
        case EmulatorError():
            return Failure(what=str(error), next_step="run `make up`: it starts the embedded AWS again")
        case NoCredentialsError() | NoRegionError():
            return Failure(
                what=f"AWS cannot be asked: {error}", next_step="log in (`aws sso login`), then retry"
            )
        case ClientError():
            found = error.response.get("Error", {})
            what = f"AWS refused {error.operation_name}: {found.get('Code')}: {found.get('Message')}"
            denied = found.get("Code") in _DENIED
            return Failure(
                what=what,
                next_step=f"use a role that may {error.operation_name}; {doctor}" if denied else doctor,
            )
        case httpx.HTTPError():
            return Failure(
                what=f"the API did not answer: {type(error).__name__}: {error}",
                next_step=f"run `inferctl verify --env {env}`: it says which part does not work",
            )
    return Failure(what=f"{type(error).__name__}: {error}", next_step=doctor)
