"""The routes that models have, whatever serves them."""

from collections.abc import Mapping

STAGE = "live"
"""Name of the stage; the last part of the API's URL."""

MODEL_OPERATIONS: Mapping[str, tuple[str, str]] = {
    "infer": ("POST", "/infer"),
    "metadata": ("GET", ""),
    "ready": ("GET", "/ready"),
}
"""Operation on a model -> its method, and the end of its path after `/v2/models/<model>`."""

OPENAI_OPERATIONS: Mapping[str, tuple[str, str]] = {
    "/v1/chat/completions": ("POST", "Continue a conversation"),
    "/v1/completions": ("POST", "Continue a text"),
    "/v1/embeddings": ("POST", "Vectors of texts"),
    "/v1/models": ("GET", "The language models of this platform"),
}
"""OpenAI-compatible path -> its method and summary; a request names its model in the body."""
