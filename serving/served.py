"""The one model version that a front serves, and what is known about it while it is not there."""

import logging
from collections.abc import Callable

from serving import golden
from serving.capture import Capture
from serving.errors import ModelNotFound, ModelUnavailable, ServingError
from serving.oip import InferRequest, InferResponse
from serving.runtime import Model

# A model that takes longer than this is run in threads; below it, the hop there costs more than it gives.
INLINE_MS = 2.0

logger = logging.getLogger(__name__)


class ServedModel:
    """One version of one model, brought by `load_model`, which may fail now and work later.

    A failure is kept as the reason that clients get, so that neither a storage that is away nor a bad file
    makes the process restart without end. Another version of the same model is not served even where storage
    has it: only a delivery decides what goes live.
    """

    def __init__(
        self, name: str, version: str, load_model: Callable[[], Model], capture: Capture | None = None
    ) -> None:
        self.name = name
        self.version = version
        self.slow = False
        """Whether a request takes so long that others must not wait for it."""
        self._load_model = load_model
        self._capture = capture
        self._model: Model | None = None
        self._failure: ServingError = ModelUnavailable(f"{name} {version} is being loaded")

    @property
    def loaded(self) -> bool:
        """Whether requests can be answered."""
        return self._model is not None

    def load(self) -> None:
        """Load the model unless it is loaded; keep and log the reason where that fails."""
        if self._model is not None:
            return
        try:
            self._model = self._load_model()
        except ServingError as error:
            logger.error("%s %s is not loaded: %s", self.name, self.version, error)
            # It is configured here: that it is missing is not the fault of a request.
            self._failure = ModelUnavailable(str(error)) if isinstance(error, ModelNotFound) else error
        except Exception as error:
            # Whatever it is, a process that starts again and again tells less than one that answers. The text
            # may hold a path or a secret of the configuration: the type must do.
            logger.error("%s %s is not loaded: unexpected %s", self.name, self.version, type(error).__name__)
            self._failure = ModelUnavailable(f"{self.name} {self.version} could not be loaded")

    def time(self, model: Model) -> None:
        """See how long a model's requests take."""
        self.slow |= golden.run(model.manifest, model.infer).slowest_ms > INLINE_MS

    def observed(self, model: Model, request: InferRequest, response: InferResponse) -> None:
        """Count a request that was answered, where statistics are captured."""
        if self._capture is not None:
            self._capture(model.manifest, request, response)

    def get(self, name: str, version: str | None) -> Model:
        """The model, when it is the one that is asked for. Raises ModelNotFound, or why it is not loaded."""
        if name != self.name:
            raise ModelNotFound(f"no such model here; this serves {self.name}")
        if version not in (None, self.version):
            raise ModelNotFound(f"no such version is live; {self.name} serves {self.version}")
        if self._model is None:
            raise self._failure.with_traceback(None)  # raised many times, it would grow with each
        return self._model
