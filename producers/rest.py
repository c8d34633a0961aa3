"""REST requests to a venue: bounded answers, addresses in turn."""

from __future__ import annotations

import aiohttp

from infra.runtime.logging import get_logger

__all__ = ["RestClient"]

_log = get_logger(__name__)
_CHUNK = 65_536


class RestClient:
    """Asks one address until it fails, then the next.

    Args:
        urls: Base addresses; where there are none every request fails.
        max_bytes: Bound on an answer.
    """

    def __init__(self, urls: tuple[str, ...], max_bytes: int) -> None:
        self._urls = urls
        self._max_bytes = max_bytes
        self._failures = 0

    async def get(self, path: str, http: aiohttp.ClientSession) -> bytes | None:
        """Give the body of a 200 answer, or None."""
        if not self._urls:
            return None
        base = self._urls[self._failures % len(self._urls)]
        body = await self._body(f"{base.rstrip('/')}/{path.lstrip('/')}", http)
        if body is None:
            self._failures += 1
        return body

    async def _body(self, url: str, http: aiohttp.ClientSession) -> bytes | None:
        try:
            async with http.get(url) as response:
                body = bytearray()
                async for chunk in response.content.iter_chunked(_CHUNK):
                    body += chunk
                    if len(body) > self._max_bytes:
                        _log.warning("answer too large", url=url, limit=self._max_bytes)
                        return None
                if response.status == 200:
                    return bytes(body)
                _log.warning("request refused", url=url, status=response.status)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            _log.warning("request failed", url=url, error=str(error) or type(error).__name__)
        return None
