"""What the SDK's runtime does too often for a program of this size (ADR 49).

Three of its habits took half of a preview's time. What is done without them says the same.
"""

import asyncio
import gc
import os

import pulumi
from pulumi.runtime.settings import SETTINGS

DEBUG = "PULUMI_PROGRAM_DEBUG"
"""Variable with which the SDK's debug messages go to the engine, for `pulumi up --debug` to show."""


def quick() -> None:
    """Collect no cycles and send no debug messages; called before anything large is imported.

    The process ends with the program, so collecting frees memory that nobody waits for. The SDK sends several
    debug messages a resource and waits for each; the engine drops them unless `--debug` is given.
    """
    gc.disable()
    if DEBUG not in os.environ:
        pulumi.log.debug = _unsaid


async def settled() -> None:
    """Wait until every output is known, or one has failed; the SDK says then which, and why.

    The SDK itself waits for the first output that is ready, puts the others back and starts again: work that
    grows with the square of the resources. After this its own wait has nothing left to do.
    """
    while pending := _pending():
        done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
        if any(output.cancelled() or output.exception() for output in done):
            return


def _pending() -> list[asyncio.Future[object]]:
    with SETTINGS.lock:
        return list(SETTINGS.outputs)


def _unsaid(*_: object, **__: object) -> None:
    """Stands for `pulumi.log.debug`."""
