"""The app on loopback, which the conformance suite puts in the place of a component's own."""

from __future__ import annotations

from halflap.testing.app_server import ToServer, faulty_server


async def test_a_request_of_any_size_is_answered() -> None:
    async with faulty_server() as server:
        egress = ToServer(server)
        try:
            answer = await egress.request(
                "POST", "https://app.example/files", body=b"x" * 2_000_000
            )
        finally:
            await egress.close()
    assert (answer.status, len(server.asked[0].body)) == (200, 2_000_000)
