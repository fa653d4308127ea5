"""What a front answers when it cannot answer with a prediction.

Every error carries the HTTP status that a client gets and a text that says what was wrong and what was
expected. The text goes to the client as it is: it never holds a path, a value of the payload or a secret.
"""


class ServingError(Exception):
    """Base of the errors that become an HTTP answer.

    `status`: HTTP status code. `retry_after_s`: seconds after which trying again makes sense, or None.
    """

    status = 500
    retry_after_s: int | None = None


class RequestError(ServingError):
    """The request cannot be served as it is; sending it again changes nothing."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ModelNotFound(ServingError):
    """No such model or version is served here."""

    status = 404


class ModelRefused(ServingError):
    """The model exists and must not be loaded: its bytes or its signature are not those of its manifest."""

    status = 503


class ModelUnavailable(ServingError):
    """The model could not be fetched for now: storage did not answer or there is no room for it."""

    status = 503
    retry_after_s = 5


class Overloaded(ServingError):
    """The server has as much to do as it may have at once."""

    status = 503
    retry_after_s = 1

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} requests are being served; no more are taken at once")


class InferenceFailed(ServingError):
    """The model failed on inputs that fit its signature."""


class DeliveryRefused(Exception):
    """A version does not go live; the text says why, for operators. No front raises it."""
