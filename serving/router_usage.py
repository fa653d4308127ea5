"""What a request through the router used, read from its answer while that passes.

The model server says rows and tokens in headers. vLLM says tokens in the answer's `usage`; for a stream, only
to who asks for it, in one more event at its end. So the router asks for it, and takes the event out again
where the client has not asked.
https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html
"""

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from serving.router_asgi import Message, Refused, Send
from serving.usage import ROWS_HEADER, TENANT_HEADER, TENANT_NAME, TOKENS_HEADER, Used

_OWN = frozenset({ROWS_HEADER, TOKENS_HEADER})
# Inside a string of the answer each quotation mark has a backslash before it: no text can pass for these.
_MARK = b'"usage"'
_USAGE = re.compile(rb'"usage"\s*:\s*(null|\{(?:[^{}]|\{[^{}]*\})*\})')
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_EVENT_END = re.compile(rb"\r?\n\r?\n")
_LONGEST_USAGE = 4096
"""Bytes of a `usage` object, which has five or six numbers."""


def tenant_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The tenant that the gateway names; None for a request from inside, which is nobody's.

    The gateway's value takes the place of any other. Were there two all the same, one of them were a
    client's own, and no one could say which.

    Raises:
        Refused: there are several values, or one that is no tenant's name.
    """
    values = [value for name, value in headers if name == TENANT_HEADER]
    if not values:
        return None
    if len(values) > 1 or not TENANT_NAME.fullmatch(values[0]):
        raise Refused(400, {"error": f"{TENANT_HEADER.decode()} is the gateway's own; send none"})
    return values[0].decode()


def asking_for_usage(body: bytes, document: Mapping[str, Any]) -> tuple[bytes, bool]:
    """An OpenAI request whose streamed answer ends with its usage, and whether the client did not ask so."""
    options = document.get("stream_options")
    if document.get("stream") is not True or not isinstance(options, dict | None):
        return body, False  # not streamed, or for vLLM to refuse
    if options and options.get("include_usage"):
        return body, False
    return orjson.dumps({**document, "stream_options": {**(options or {}), "include_usage": True}}), True


def inputs_of(document: Mapping[str, Any]) -> int:
    """Rows of an OpenAI request: its prompts or texts. Messages are one, and so are numbers of tokens."""
    given = document.get("prompt", document.get("input"))
    several = isinstance(given, list) and bool(given) and isinstance(given[0], str | list)
    return len(given) if several and given else 1


class Meter:
    """Stands in for `send`: takes note of what an answer says of its use, and passes it on.

    Args:
        inputs: rows of the request, where the answer does not say it in a header.
        hidden: whether the event with the usage is not for the client.
    """

    def __init__(self, send: Send, inputs: int = 0, *, hidden: bool = False) -> None:
        self._send, self._inputs, self._hidden = send, inputs, hidden
        self._started = time.perf_counter()
        self._status, self._rows, self._tokens = 0, inputs, 0
        self._streamed = self._counted = self._told = False
        self._events = 0
        self._tail = self._held = b""

    async def __call__(self, message: Message) -> None:
        """Pass on one message of the answer."""
        if message["type"] == "http.response.start":
            self._begin(message["status"], dict(message["headers"]))
            kept = [(name, value) for name, value in message["headers"] if name not in _OWN]
            await self._send({**message, "headers": kept})
            return
        part = message.get("body", b"")
        if not self._counted:
            self._read(part)
        if self._hidden and self._streamed:
            message = {**message, "body": self._without_usage(part, last=not message.get("more_body"))}
        await self._send(message)

    def used(self) -> Used | None:
        """None for a fault of ours. To be asked once the answer has ended or its client has left.

        Who leaves a stream before its usage came is counted an event for a token, without the prompt's.
        """
        if self._status >= 500:
            return None
        left = self._streamed and not (self._counted or self._told)
        return Used(
            requests=1,
            rows=self._rows if 0 < self._status < 400 else 0,
            tokens=self._events if left else self._tokens,
            compute_ms=(time.perf_counter() - self._started) * 1e3,
        )

    def _begin(self, status: int, headers: Mapping[bytes, bytes]) -> None:
        self._status = status
        self._streamed = headers.get(b"content-type", b"").startswith(b"text/event-stream")
        self._rows = int(headers.get(ROWS_HEADER, self._inputs))
        if TOKENS_HEADER in headers:  # what follows may be tensors, in which any bytes may stand
            self._tokens, self._counted = int(headers[TOKENS_HEADER]), True

    def _read(self, part: bytes) -> None:
        """Look for the last `usage` of the answer; no more of it is kept than may be the beginning of one."""
        self._events += len(_EVENT_END.findall(part))
        window = self._tail + part
        at = window.rfind(_MARK)
        if at < 0:
            self._tail = window[1 - len(_MARK) :]
        elif (found := _USAGE.match(window, at)) is None:
            self._tail = window[at:] if len(window) - at < _LONGEST_USAGE else b""
        else:
            self._tail = window[found.end() :][1 - len(_MARK) :]
            usage = orjson.loads(found[1])
            if usage is not None:
                self._tokens, self._told = int(usage.get("total_tokens") or 0), True

    def _without_usage(self, part: bytes, *, last: bool) -> bytes:
        """The events that are whole by now, but for the one with nothing but the usage."""
        window, start, kept = self._held + part, 0, b""
        for end in _EVENT_END.finditer(window):
            event = window[start : end.end()]
            if not (_NO_CHOICES.search(event) and _MARK in event):
                kept += event
            start = end.end()
        self._held = b"" if last else window[start:]
        return kept + window[start:] if last else kept
