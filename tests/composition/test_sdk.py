"""The SDK's runtime without its costly habits: nothing is left waiting, and nothing goes wrong unsaid."""

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest
from pulumi.runtime.settings import SETTINGS

from composition import sdk


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pulumi.log, "debug", pulumi.log.debug)
    SETTINGS.outputs.clear()
    yield
    gc.enable()
    SETTINGS.outputs.clear()


def test_waits_for_outputs_that_outputs_make() -> None:
    known: list[str] = []

    async def program() -> None:
        loop = asyncio.get_running_loop()

        def output() -> "pulumi.Output[Any]":
            ready: asyncio.Future[Any] = loop.create_future()
            loop.call_later(0.01, ready.set_result, "ready")
            return pulumi.Output.from_input(ready)

        def another(_: str) -> None:
            output().apply(known.append)

        output().apply(another)
        await sdk.settled()
        assert known == ["ready"]
        assert not SETTINGS.outputs

    asyncio.run(asyncio.wait_for(program(), 10))


def test_an_output_that_fails_is_left_for_the_sdk_to_report() -> None:
    async def program() -> None:
        never: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        waiting: pulumi.Output[Any] = pulumi.Output.from_input(never)
        broken = pulumi.Output.from_input("x").apply(lambda _: 1 / 0)
        await sdk.settled()
        assert {waiting._data, broken._data} <= SETTINGS.outputs
        with pytest.raises(ZeroDivisionError):
            await broken.future()
        never.cancel()

    asyncio.run(asyncio.wait_for(program(), 10))


def test_debug_messages_are_sent_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    before = pulumi.log.debug
    monkeypatch.setenv(sdk.DEBUG, "1")
    sdk.quick()
    assert pulumi.log.debug is before
    monkeypatch.delenv(sdk.DEBUG)
    sdk.quick()
    assert pulumi.log.debug is not before
    assert not gc.isenabled()
