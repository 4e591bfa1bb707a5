"""Serving the page until Ctrl-C."""

from __future__ import annotations

import os
import socket
import sys
import threading
import webbrowser
from ipaddress import ip_address

import uvicorn

from llarp_cli.errors import UsageProblem
from llarp_cli.evaluation.session import Session
from llarp_cli.page.app import make_app

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Listening:
    """A place where visitors may come, from now on.

    Args:
        host: a name or address of this machine; 127.0.0.1 is seen from nowhere else.
        port: 0 takes any that is free.

    Attributes:
        url: what to open.
        hosts: under which names the page is served; None for any.

    Raises:
        UsageProblem: it cannot be had.
    """

    def __init__(self, host: str, port: int):
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self.socket = socket.socket(family, kind, protocol)
            if os.name == "posix":  # elsewhere it would let two listen at once
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(address)
            self.socket.listen(64)
        except (OSError, UnicodeError, OverflowError) as error:
            why = str(getattr(error, "strerror", None) or error).lower()
            raise UsageProblem(
                f"cannot listen on {host}, port {port}: {why}", "--port 0 takes any that is free; --host 127.0.0.1"
            ) from error
        address = ip_address(self.socket.getsockname()[0].partition("%")[0])
        shown = "127.0.0.1" if address.is_unspecified else str(address)
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.socket.getsockname()[1]}/"
        self.hosts = LOOPBACK | {str(address), host.casefold()} if address.is_loopback else None


def serve(session: Session, listening: Listening, *, size: int, browser: bool) -> None:
    """Show the page to all who come, until Ctrl-C.

    Args:
        size: side of the pictures, pixels.
        browser: open it here.

    Raises:
        KeyboardInterrupt: as always.
    """
    app = make_app(session, size=size, hosts=listening.hosts)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", server_header=False, timeout_graceful_shutdown=1
    )
    if browser:
        threading.Thread(target=webbrowser.open, args=(listening.url,), daemon=True).start()
    uvicorn.Server(config).run(sockets=[listening.socket])


def has_browser() -> bool:
    """Whether a browser with windows can be expected: one in this terminal would fight over it with us."""
    if not sys.stdout.isatty():
        return False
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
