"""A TCP proxy before a server: it passes what is sent, cuts a connection before a query or after its answer, or goes silent."""

from __future__ import annotations

import enum
import select
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Mode(enum.Enum):
    """What happens to the next query, on any connection. Each of the two cuts is done once; then all is passed again."""

    PASS = "pass"
    CUT_QUERY = "cut the connection before the server gets the query"
    CUT_ANSWER = "cut the connection when the server has answered the query, before the client gets the answer"
    SILENT = "the server gets queries, the clients get no answers; new connections are taken and never answered"
    REFUSE = "new connections are closed"


class Proxy:
    """The proxy that runs: its address, what it does, and how often it has cut a connection."""

    def __init__(self, conninfo: str) -> None:
        parts = conninfo_to_dict(conninfo)
        host, port = str(parts["host"]), int(parts.get("port") or 5432)
        self._server = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._lock = threading.Lock()
        self._clients: set[socket.socket] = set()
        self._passing: list[threading.Thread] = []
        self._held: list[socket.socket] = []
        self._lost: set[socket.socket] = set()
        self._mode, self._only = Mode.PASS, b""
        self.cuts = 0
        self.conninfo = make_conninfo(conninfo, host="127.0.0.1", port=self._listener.getsockname()[1])
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def set(self, mode: Mode, only: str = "") -> None:
        """Begin with a mode; the cuts wait for what a client sends with the text *only* in it.

        A statement that is prepared on the server already is sent without its text. An answer of up to 8 KB is sent
        after the commit of its statement, where the connection is in autocommit.
        """
        with self._lock:
            self._mode, self._only = mode, only.encode()

    def cut_all(self) -> None:
        """Cut every connection that is open."""
        with self._lock:
            for client in self._clients:
                _shut(client)

    def lose_all(self) -> None:
        """Pass nothing more on any connection that is open, as a firewall that has forgotten them."""
        with self._lock:
            self._lost |= self._clients

    def close(self) -> None:
        """End: listen no longer, and cut every connection."""
        _shut(self._listener)
        self._accepting.join()
        self._listener.close()
        self.cut_all()
        for thread in self._passing:
            thread.join()
        for client in self._held:
            client.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # it was closed
            if self._mode is Mode.REFUSE:
                client.close()
                continue
            with self._lock:
                self._clients.add(client)
            if self._mode is Mode.SILENT:
                self._held.append(client)
                continue
            thread = threading.Thread(target=self._pass, args=(client,), daemon=True)
            self._passing.append(thread)
            thread.start()

    def _pass(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX if isinstance(self._server, str) else socket.AF_INET) as server:
            try:
                server.connect(self._server)
                self._pass_between(client, server)
            except OSError:
                pass  # one of the two has gone
            finally:
                with self._lock:
                    self._clients.remove(client)

    def _pass_between(self, client: socket.socket, server: socket.socket) -> None:
        answer_is_cut = False
        while True:
            readable, _, _ = select.select([client, server], [], [])
            for source in readable:
                data = source.recv(1 << 16)
                if not data:
                    return
                if client in self._lost:
                    continue
                if source is server:
                    if answer_is_cut:
                        return
                    if self._mode is not Mode.SILENT:
                        client.sendall(data)
                    continue
                cut = self._cut(data)
                if cut is Mode.CUT_QUERY:
                    return
                answer_is_cut = answer_is_cut or cut is Mode.CUT_ANSWER
                server.sendall(data)

    def _cut(self, data: bytes) -> Mode:
        """Return the cut of a query, which is done then, or PASS."""
        with self._lock:
            if self._mode not in (Mode.CUT_QUERY, Mode.CUT_ANSWER) or self._only not in data:
                return Mode.PASS
            cut, self._mode = self._mode, Mode.PASS
            self.cuts += 1
            return cut


def _shut(each: socket.socket) -> None:
    with suppress(OSError):  # it is not connected any longer
        each.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy(conninfo: str) -> Generator[Proxy]:
    """Give a proxy before the server of a database; its `conninfo` leads to the same database."""
    running = Proxy(conninfo)
    try:
        yield running
    finally:
        running.close()
