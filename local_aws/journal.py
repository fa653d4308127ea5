"""Creations under way, on disk: what a killed `up` leaves, so that the next one adopts it.

The engine writes a resource to its state only after the provider answered; a kill between the two would leave
a resource that nobody knows, and with a random name the next `up` would make a second one. So the name and,
once there is one, the id of each creation are noted here first, and struck out when the engine shows (by
asking about that id) that it knows the resource.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Creation:
    """A creation whose end the engine has not confirmed.

    `id` is empty while AWS has not answered; a request that is sent again then carries the same `attempt`.
    """

    urn: str
    name: str
    id: str = ""
    attempt: str = ""


class Journal:
    """The folder of creations under way, one small file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def pending(self, urn: str) -> Creation | None:
        try:
            return Creation(**json.loads(self._file(urn).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def note(self, creation: Creation) -> None:
        file = self._file(creation.urn)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_text(json.dumps(asdict(creation)), encoding="utf-8")
        part.replace(file)

    def confirm(self, urn: str, id: str) -> None:
        """The engine knows the resource `id`. Another one of the same URN, a replacement, stays noted."""
        creation = self.pending(urn)
        if creation is not None and creation.id == id:
            self.strike(urn)

    def strike(self, urn: str) -> None:
        self._file(urn).unlink(missing_ok=True)

    def _file(self, urn: str) -> Path:
        return self._folder / f"{hashlib.sha256(urn.encode()).hexdigest()[:32]}.json"
