"""The sender of the load copes with servers that close a connection once it is idle."""

import asyncio

from bench.load import steady
from bench.workload import WORKLOADS
from halflap.cli.load import OK, LoadClient
from tests.polling import DEADLINE


async def test_a_connection_that_was_closed_meanwhile_is_not_used_again() -> None:
    opened = 0
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        writer.write(OK)
        writer.close()
        await writer.wait_closed()
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        client = LoadClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        for number in range(3):
            assert (await client.post(b"{}"))[0] == 200
            assert opened == number + 1
            await asyncio.wait_for(closed.wait(), DEADLINE)
            closed.clear()
            for _ in range(10):  # the loop reads that end
                await asyncio.sleep(0)
        await client.close()


def test_an_event_that_nobody_answers_is_refused_and_the_others_are_sent() -> None:
    sent = steady("http://127.0.0.1:9/", WORKLOADS["W1"], "run", 0.2)
    assert (sent.refused, sent.executions) == (4, [])
