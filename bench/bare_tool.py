"""FastMCP and nothing behind it: what a tool call costs before memsys does anything.

Over HTTP on a port, or without one over stdio.
"""

from __future__ import annotations

import sys

from fastmcp import FastMCP

server: FastMCP[None] = FastMCP("bare")


@server.tool
def echo(text: str) -> dict[str, str]:
    return {"text": text}


if __name__ == "__main__":
    if sys.argv[1:]:
        server.run(
            transport="http",
            host="127.0.0.1",
            port=int(sys.argv[1]),
            stateless_http=True,
            json_response=True,
            show_banner=False,
            log_level="WARNING",
        )
    else:
        server.run(transport="stdio", show_banner=False, log_level="WARNING")
