"""Pass TCP connections on from one loopback port to another, for a service that cannot be told its port."""

from __future__ import annotations

import asyncio
import contextlib

from infra.local.ports import LOOPBACK

__all__ = ["relay"]

_CHUNK_BYTES = 256 * 1024


async def relay(port: int, upstream_port: int) -> asyncio.Server:
    """Start to pass connections on; close the server to stop."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(LOOPBACK, upstream_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pass_on(reader, upstream_writer), _pass_on(upstream_reader, writer))

    return await asyncio.start_server(serve, LOOPBACK, port)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
