"""What stops a command: said in words, never as a traceback."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of inferctl, for scripts that call it. 130 is an interrupt, as in a shell."""

    DONE = 0
    FAILED = 1
    """AWS, the engine or the platform failed; the message says which."""
    USAGE = 2
    """The command line is wrong."""
    REFUSED = 3
    """The policies, or a protection, refuse the change: running it again will not help."""
    SETTINGS = 4
    """A setting in environments/ is wrong."""
    NOT_THERE = 5
    """Nothing is deployed, or `make setup` has not run."""
    FOUND = 6
    """The command worked and found something wrong, which it lists (`doctor`, `verify`, `destroy`, ...)."""


class CommandFailed(Exception):
    """A command cannot go on.

    `what` happened and why, and `next_step`: what to do or run now.
    """

    def __init__(self, what: str, next_step: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(what)
        self.next_step, self.code = next_step, code


class Refused(CommandFailed):
    """The policies, or a protection, refuse the change: nothing is broken."""

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(what, next_step, Exit.REFUSED)
