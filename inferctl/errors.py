"""What stops a command: said in words, never as a traceback."""


class CommandFailed(Exception):
    """A command cannot go on.

    `what` happened and why, and `next_step`: what to do or run now.
    """

    exit_code = 1

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(what)
        self.next_step = next_step


class Refused(CommandFailed):
    """The policies refuse the change: nothing is broken, and running it again will not help."""

    exit_code = 3
