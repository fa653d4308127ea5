"""A server that speaks OpenAI's language model routes as vLLM does, with words for a model.

Written from https://platform.openai.com/docs/api-reference/chat and /completions, and from
https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html for what is vLLM's own: `/health` and its
errors. The answer to a prompt is the prompt's words, backwards; each word is a token.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

MODEL = "llama"
MAX_MODEL_LEN = 64


class VllmContract:
    """The application. `hold`: an event that an answer waits for before its last word, None to not wait."""

    def __init__(self) -> None:
        self.hold: asyncio.Event | None = None
        self.cancelled = 0
        self.application = Starlette(
            routes=[
                Route("/health", lambda _: Response()),
                Route("/v1/models", self.models),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/completions", self.completions, methods=["POST"]),
            ]
        )

    async def models(self, _: Request) -> Response:
        card = {
            "id": MODEL,
            "object": "model",
            "created": 1,
            "owned_by": "vllm",
            "max_model_len": MAX_MODEL_LEN,
        }
        return JSONResponse({"object": "list", "data": [card]})

    async def chat(self, request: Request) -> Response:
        body = await _body(request)
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages or "content" not in messages[-1]:
            return _error(400, "messages must be an array of messages")
        return self._answer(body, str(messages[-1]["content"]), "chatcmpl", "chat.completion", _ChatForm)

    async def completions(self, request: Request) -> Response:
        body = await _body(request)
        if not isinstance(body.get("prompt"), str):
            return _error(400, "prompt must be a string")
        return self._answer(body, body["prompt"], "cmpl", "text_completion", _TextForm)

    def _answer(self, body: Any, prompt: str, prefix: str, kind: str, form: type["_Form"]) -> Response:
        if body.get("model") != MODEL:
            return _error(404, f"The model `{body.get('model')}` does not exist.", "NotFoundError")
        limit = body.get("max_tokens", 16)
        words = prompt.split()[::-1]
        if type(limit) is not int or limit < 1:
            return _error(400, f"max_tokens must be at least 1, got {limit}.")
        if len(words) > MAX_MODEL_LEN:
            return _error(400, f"This model's maximum context length is {MAX_MODEL_LEN} tokens.")
        given = words[:limit]
        finish = "stop" if len(given) == len(words) else "length"
        head = {"id": f"{prefix}-1", "created": int(time.time()), "model": MODEL}
        usage = {
            "prompt_tokens": len(words),
            "completion_tokens": len(given),
            "total_tokens": len(words) + len(given),
        }
        if body.get("stream"):
            with_usage = (body.get("stream_options") or {}).get("include_usage", False)
            chunks = self._chunks(head, given, finish, form, usage if with_usage else None)
            return StreamingResponse(chunks, media_type="text/event-stream")
        choice = {"index": 0, "finish_reason": finish, "logprobs": None, **form.whole(" ".join(given))}
        return JSONResponse({**head, "object": kind, "choices": [choice], "usage": usage})

    async def _chunks(
        self, head: Any, words: list[str], finish: str, form: type["_Form"], usage: Any
    ) -> AsyncIterator[bytes]:
        def event(choices: list[Any], **more: Any) -> bytes:
            document = {**head, "object": form.chunk, "choices": choices, **more}
            return f"data: {json.dumps(document, ensure_ascii=False)}\n\n".encode()

        def choice(part: dict[str, Any], reason: str | None = None) -> list[Any]:
            return [{"index": 0, "logprobs": None, "finish_reason": reason, **part}]

        try:
            for part in form.first():
                yield event(choice(part))
            for number, word in enumerate(words):
                if self.hold is not None and number == len(words) - 1:
                    while not self.hold.is_set():
                        await asyncio.sleep(0.01)
                yield event(choice(form.part(word if number == 0 else f" {word}")))
            yield event(choice(form.part("") if form is _TextForm else {"delta": {}}, finish))
            if usage is not None:
                yield event([], usage=usage)
            yield b"data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class _Form:
    """How text is put into an answer of one route."""

    chunk: str
    first: Callable[[], list[dict[str, Any]]]
    part: Callable[[str], dict[str, Any]]
    whole: Callable[[str], dict[str, Any]]


class _ChatForm(_Form):
    chunk = "chat.completion.chunk"
    first = staticmethod(lambda: [{"delta": {"role": "assistant", "content": ""}}])
    part = staticmethod(lambda text: {"delta": {"content": text}})
    whole = staticmethod(lambda text: {"message": {"role": "assistant", "content": text, "refusal": None}})


class _TextForm(_Form):
    chunk = "text_completion"
    first = staticmethod(lambda: list[dict[str, Any]]())
    part = staticmethod(lambda text: {"text": text})
    whole = staticmethod(lambda text: {"text": text})


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _error(status: int, message: str, kind: str = "BadRequestError") -> Response:
    error = {"message": message, "type": kind, "param": None, "code": status}
    return JSONResponse({"error": error}, status_code=status)
