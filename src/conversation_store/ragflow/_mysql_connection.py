"""A connection of PyMySQL that can be ended by another thread, while it is made and while it waits for an answer."""

from __future__ import annotations

import importlib
import socket
import threading
from contextlib import suppress
from functools import cache
from typing import Any

from conversation_store.errors import SourceError

# Seconds for one answer of the server: a page, or a sort of the tokens. TCP alone would wait for a lost one for hours.
READ_TIMEOUT = 600
_WRITE_TIMEOUT = 60
_CANNOT_CONNECT = 2003


@cache
def driver() -> Any:
    """Return PyMySQL, which is an extra; raises `SourceError` where it is not installed."""
    try:
        return importlib.import_module("pymysql")
    except ModuleNotFoundError as error:
        raise SourceError(
            "to read a database in MySQL, PyMySQL must be installed: pip install 'conversation-store[mysql]'"
        ) from error


class MySqlConnection:
    """A connection with these arguments of PyMySQL; all of connecting takes at most `connect_timeout`."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        limits = {"read_timeout": READ_TIMEOUT, "write_timeout": _WRITE_TIMEOUT}
        self._arguments: dict[str, Any] = {"charset": "utf8mb4", "autocommit": True, **limits, **arguments}
        self._connection: Any = None
        self._socket: socket.socket | None = None  # a second one of the same connection: TLS takes over the first
        self._is_late = self._is_ended = False

    def connect(self) -> Any:
        """Connect, and return the connection of PyMySQL."""
        seconds = self._arguments["connect_timeout"]
        self._connection = driver().Connection(defer_connect=True, **self._arguments)
        # A server that takes connections and says nothing would be waited for as for an answer.
        watch = threading.Timer(seconds, self._be_late)
        watch.daemon = True
        watch.start()
        try:
            self._take(self._connected(seconds))
        except (driver().Error, OSError):
            if not self._is_late:
                raise
        finally:
            watch.cancel()
            watch.join()
        if self._is_late:
            raise self._refused(f"not connected within {seconds} s, the connect_timeout")
        return self._connection

    def end(self) -> None:
        """End what another thread waits for, and all that comes: it gets the error of a lost connection."""
        self._is_ended = True
        if self._socket is not None:
            with suppress(OSError):  # it is not connected any longer
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None and self._connection.open:
            self._connection.close()
        if self._socket is not None:
            self._socket.close()

    def _be_late(self) -> None:
        self._is_late = True
        self.end()

    def _take(self, opened: socket.socket) -> None:
        try:
            self._connection.connect(opened)
        except BaseException:
            opened.close()
            raise

    def _connected(self, seconds: float) -> socket.socket:
        """Return a socket that is connected with the server."""
        host, port, path = (self._arguments.get(name) for name in ("host", "port", "unix_socket"))
        if path is not None:
            self._connection._secure = True  # nobody listens: the server may ask for the password itself
        try:
            places: list[tuple[Any, ...]] = (
                [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", path)]
                if path is not None
                else socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
            for place in places[:-1]:
                with suppress(OSError):
                    return self._connected_at(place, seconds)
            return self._connected_at(places[-1], seconds)
        except OSError as error:
            raise self._refused(str(error)) from None

    def _connected_at(self, place: tuple[Any, ...], seconds: float) -> socket.socket:
        family, kind, protocol, _, address = place
        opened = socket.socket(family, kind, protocol)
        try:
            if self._socket is not None:
                self._socket.close()
            self._socket = opened.dup()
            if self._is_ended:
                raise TimeoutError("it was ended while it connected")
            opened.settimeout(seconds)
            opened.connect(address)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if family != socket.AF_UNIX:
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            opened.close()
            raise
        return opened

    def _refused(self, reason: str) -> Exception:
        place = self._arguments.get("unix_socket") or self._arguments["host"]
        refused: Exception = driver().err.OperationalError(
            _CANNOT_CONNECT, f"Can't connect to MySQL server on '{place}' ({reason})"
        )
        return refused
