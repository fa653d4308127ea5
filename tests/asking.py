"""Requests without a pause, while something happens to what answers them."""

import threading
from collections.abc import Callable
from typing import Self


class Asking:
    """Runs each of `asks` in a thread of its own within the block, until `_stop` is set.

    `answers`: status and version of each answer, in the order in which they came.
    """

    def __init__(self, *asks: Callable[[], None]) -> None:
        self.answers: list[tuple[int, str]] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=ask) for ask in asks]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
