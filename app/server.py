"""Serves the page and the reports of runs, and nothing else of the disk."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import fastapi

    from dlkd.app.scored import Scored

GRADIO = 6
"""Gradio's first major version that has what the page needs."""

POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; frame-ancestors 'self'"
"""The page asks nothing of any other server: the browser refuses to."""


def check_gradio() -> None:
    """Raise ValueError where Gradio is not installed, or is too old."""
    try:
        found = version("gradio")
    except PackageNotFoundError:
        raise ValueError('dlkd app needs Gradio: pip install "dlkd[app]"') from None
    if int(found.split(".")[0]) < GRADIO:
        raise ValueError(f'dlkd app needs Gradio {GRADIO} or newer, this is {found}: pip install "dlkd[app]"')


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address; port 0 is any free one. Raises ValueError where it cannot."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ValueError(
            f"cannot serve at {host}, port {port}: {error.strerror or error}; --port 0 takes a free port"
        ) from None


def address(listening: socket.socket) -> str:
    """The URL of what listens there, for a browser on this machine."""
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def make_app(scored: Scored) -> fastapi.FastAPI:
    """The page at /, and the report of the n-th run at /reports/n."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import fastapi
    import gradio as gr
    from fastapi.responses import FileResponse

    from dlkd.app.page import Page

    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    reports = [report.file for report in scored.offer.reports]

    @app.middleware("http")
    async def stay_here(
        request: fastapi.Request, call_next: Callable[[fastapi.Request], Awaitable[fastapi.Response]]
    ) -> fastapi.Response:
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        return response

    @app.get("/reports/{number}")
    def report(number: int) -> FileResponse:
        if not 0 <= number < len(reports) or not reports[number].is_file():
            raise fastapi.HTTPException(404)
        return FileResponse(reports[number], media_type="text/html")

    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    css = files("dlkd.app").joinpath("style.css").read_text(encoding="utf-8")
    gr.mount_gradio_app(
        app, Page(scored).build(), path="/", css=css, theme=theme, footer_links=[],
        run_history=False, ssr_mode=False, pwa=False, mcp_server=False, enable_monitoring=False,
    )  # fmt: skip
    return app


def serve(scored: Scored, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until Ctrl-C. `ready` is called once the page can be opened."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            await asyncio.to_thread(ready)

    config = uvicorn.Config(make_app(scored), log_level="warning", timeout_graceful_shutdown=1)
    with suppress(KeyboardInterrupt):  # the ordinary end
        Server(config).run(sockets=[listening])
