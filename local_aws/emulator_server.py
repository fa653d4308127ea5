"""One process of the embedded AWS: ministack or moto's server, behind a guard.

`local_aws.emulator` runs this file as a script in isolated mode, so that the modules beside it shadow none of
the emulators'; it imports nothing of local_aws, and loads `completions` by its path.
The parent hands over two open descriptors. The listening socket is bound before this process exists: no other
program can take the port in between. The pid file is locked, and the lock lives exactly as long as the
process: whoever finds it locked knows that the emulator of this directory runs, however it was started, and
whoever finds it unlocked but not empty knows that the last one did not end cleanly.

The guard is needed because a request that creates a Lambda function runs code as the user. Moto checks no
credentials at all. ministack 1.5.33 under AUTH=true checks the signature of every key but a root key, and
what it takes for root is the key id `test`, any twelve digits, and no key at all under an Authorization
header of another kind. A web page can send such a request to a local port without asking.
"""

import argparse
import asyncio
import json
import logging
import os
import re
import signal
import socket
import sys
import threading
from hmac import compare_digest
from importlib import util
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

HEALTH_PATH = "/_ministack/health"
CHECKPOINT_PATH = "/_ministack/checkpoint"
CREATION_HEADER = b"x-creation"  # of the requests that `local_aws.emulate` may have to send twice
MOTO_USED = "moto-used"  # exists once moto has served a request: its state ends with the process

# What AWS serves without a signature, and what ministack answers from the path alone: every other route is
# chosen by headers and query too, so that an open prefix would be open to all services.
OPEN_ROUTES = [
    ("GET", re.compile(HEALTH_PATH)),
    ("[A-Z]+", re.compile(r"/_aws/execute-api/[0-9a-z]+/.*", re.DOTALL)),
    ("POST", re.compile(r"/oauth2/token")),
    ("GET|POST", re.compile(r"/oauth2/userInfo")),
]
OPEN_DOCUMENTS = re.compile(r"/[a-z0-9-]+_[A-Za-z0-9]+/\.well-known/(jwks\.json|openid-configuration)")
# An access key id has at least 16 characters, so `test` and an account's twelve digits are none.
_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=[A-Z0-9]{16,128}/")
_PRESIGNED = re.compile(r"[A-Z0-9]{16,128}/")
REFUSAL = (  # the AWS SDKs read this as an error of any service, whatever its protocol
    "<ErrorResponse><Error><Code>AccessDenied</Code><Message>The embedded AWS wants a request with one SigV4 "
    "credential, of a key of its own.</Message></Error></ErrorResponse>"
)


class MinistackGuard:
    """ASGI application: ministack for signed requests and open routes, plus a checkpoint of its state."""

    def __init__(self) -> None:
        import ministack.app
        from ministack.core import iam_evaluator

        self.ministack = ministack.app
        iam_evaluator._is_root_key = lambda key: False  # check the root key's signatures as everyone's
        self.creations: dict[bytes, asyncio.Task[list[Any]]] = {}
        self.completions = _completions()
        self.completions.complete()
        self.unsaved: list[str] = []  # of the last save; ministack only logs such a failure and goes on
        handler = logging.Handler(logging.ERROR)
        handler.emit = lambda record: self.unsaved.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("persistence").addHandler(handler)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":  # its end is the clean shutdown, which saves everything
            watching = asyncio.create_task(self.completions.keep_watching())
            await self.ministack.app(scope, receive, send)
            watching.cancel()
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["path"] == CHECKPOINT_PATH and _holds_secret(scope):
            self.unsaved.clear()
            self.ministack.save_all(self.ministack._build_persistence_save_dict())
            await _respond(send, 500 if self.unsaved else 200, json.dumps(self.unsaved))
        elif scope["method"] == "GET" and OPEN_DOCUMENTS.fullmatch(scope["path"]):
            plain = scope | {"headers": [h for h in scope["headers"] if h[0] == b"host"], "query_string": b""}
            await self.ministack.app(plain, receive, send)
        elif not self._admits(scope):
            await _respond(send, 403, REFUSAL)
        elif _has_one_credential(scope) and (creation := dict(scope["headers"]).get(CREATION_HEADER)):
            await self._once(creation, scope, receive, send)
        else:
            await self.ministack.app(scope, receive, send)

    async def _once(self, creation: bytes, scope: Any, receive: Any, send: Any) -> None:
        """Carry a creation out once; whoever asks again, because nobody heard the answer, gets it then."""
        if creation not in self.creations:
            self.creations[creation] = asyncio.create_task(self._answer(creation, scope, receive))
        # A client that is gone takes nothing with it.
        for message in await asyncio.shield(self.creations[creation]):
            await send(message)

    async def _answer(self, creation: bytes, scope: Any, receive: Any) -> list[Any]:
        said: list[Any] = []

        async def note(message: Any) -> None:
            said.append(message)

        try:
            await self.ministack.app(scope, receive, note)
        finally:
            if not said or said[0]["status"] >= 300:  # nothing was created
                del self.creations[creation]
        return said

    def _admits(self, scope: Any) -> bool:
        """Whether ministack may see the request; it then checks the signature itself."""
        method, path = scope["method"], scope["path"]
        if any(re.fullmatch(methods, method) and route.fullmatch(path) for methods, route in OPEN_ROUTES):
            return True
        if path.startswith(
            ("/_ministack", "/_localstack")
        ):  # reset, configuration and code need no signature
            return False
        return _has_one_credential(scope)


def _completions() -> Any:
    """The package beside this file, under a name of its own."""
    folder = Path(__file__).with_name("completions")
    spec = util.spec_from_file_location("completions", folder / "__init__.py")
    assert spec and spec.loader
    module = sys.modules["completions"] = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _has_one_credential(scope: Any) -> bool:
    """Whether there is one SigV4 credential in header or query, of a key of AWS's form."""
    headers = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    claims = [_SIGNED.match(header) for header in headers]
    claims += [_PRESIGNED.match(value) for name, value in query if name.lower() == "x-amz-credential"]
    return len(claims) == 1 and claims[0] is not None


def _holds_secret(scope: Any) -> bool:
    given = dict(scope["headers"]).get(b"authorization", b"")
    return compare_digest(given, f"Bearer {os.environ['AWS_SECRET_ACCESS_KEY']}".encode())


async def _respond(send: Any, status: int, body: str) -> None:
    headers = [(b"content-type", b"text/xml"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})


def serve_ministack(listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT; ministack writes its state on the way out."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 5
    guard = MinistackGuard()
    asyncio.run(serve(guard, config))
    if guard.unsaved:
        raise SystemExit(f"state was not saved: {guard.unsaved}")


def serve_moto(listener: socket.socket) -> None:
    """Serve until SIGTERM; of moto's callers only the root access key id is asked for, which is random."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    moto = DomainDispatcherApplication(create_backend_app)
    creations: dict[str, tuple[Any, list[bytes]]] = {}
    creating = threading.Lock()
    credential = f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/".encode()

    def guarded(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == HEALTH_PATH:
            start_response("200 OK", [("Content-Type", "application/json")])
            return [b"{}"]
        if not compare_digest(environ.get("HTTP_AUTHORIZATION", "").encode()[: len(credential)], credential):
            start_response("403 Forbidden", [("Content-Type", "text/xml")])
            return [REFUSAL.encode()]
        Path(MOTO_USED).touch()
        creation = environ.get("HTTP_X_CREATION")
        if not creation:
            return moto(environ, start_response)
        with creating:
            if creation not in creations:
                said: list[Any] = []
                body = list(moto(environ, lambda *head, **_: said.append(head)))
                if said[0][0] >= "3":  # nothing was created
                    start_response(*said[0])
                    return body
                creations[creation] = said[0], body
        start_response(*creations[creation][0])
        return creations[creation][1]

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends serve_forever as Ctrl-C would
    host, port = listener.getsockname()
    make_server(
        host, port, guarded, threaded=True, request_handler=MotoRequestHandler, fd=listener.fileno()
    ).serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", choices=["ministack", "moto"])
    parser.add_argument("--listener", type=int, required=True, help="descriptor of the bound socket")
    parser.add_argument("--pid-file", type=int, required=True, help="descriptor of the locked pid file")
    args = parser.parse_args()
    for descriptor in (args.listener, args.pid_file):  # a Lambda worker must keep neither alive
        os.set_inheritable(descriptor, False)
    listener = socket.socket(fileno=args.listener)
    os.pwrite(args.pid_file, json.dumps({"pid": os.getpid(), "port": listener.getsockname()[1]}).encode(), 0)
    {"ministack": serve_ministack, "moto": serve_moto}[args.server](listener)
    os.ftruncate(args.pid_file, 0)  # ended cleanly: nothing was lost


if __name__ == "__main__":
    main()
