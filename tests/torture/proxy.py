"""A TCP proxy between the program and the server: it counts and reads what the program sends, and a fault strikes at one message.

Each connection has two threads. What a client sends in one piece counts as one message.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

PIECE = 1 << 16


class Link:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self.proxy, self.client, self.server = proxy, client, server
        self.pid: int | None = None
        self.free = threading.Event()
        self.free.set()
        self._answered: list[Trigger] = []
        for target in (self._up, self._down):
            threading.Thread(target=target, daemon=True).start()

    def _up(self) -> None:
        with suppress(OSError):
            while data := self.client.recv(PIECE):
                for trigger in self.proxy.due(data):
                    if trigger.after:
                        self._answered.append(trigger)
                    else:
                        trigger.strike(self)
                self.free.wait()
                self.server.sendall(data)
        self.close()

    def _down(self) -> None:
        head = b""
        with suppress(OSError):
            while data := self.server.recv(PIECE):
                if self.pid is None:
                    head += data
                    self._find_pid(head)
                while self._answered:
                    self._answered.pop(0).strike(self)
                self.free.wait()
                self.client.sendall(data)
        self.close()

    def _find_pid(self, head: bytes) -> None:
        """BackendKeyData in the server's first messages: 'K', length, pid, secret."""
        place = 1 if head[:1] in b"NS" and head[1:2] in b"RE" else 0
        while place + 5 <= len(head):
            kind, (length,) = head[place : place + 1], struct.unpack("!i", head[place + 1 : place + 5])
            if kind == b"K" and place + 9 <= len(head):
                self.pid = struct.unpack("!i", head[place + 5 : place + 9])[0]
                self.proxy.pids.add(self.pid)
                return
            place += 1 + length

    def close(self) -> None:
        """Ends it on both sides."""
        self.free.set()
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):
                end.close()
        self.proxy.links.discard(self)


@dataclass
class Trigger:
    """Strikes once, at the `nth` message that contains `text`."""

    nth: int
    text: bytes
    after: bool
    strike_with: Callable[[Link], None]
    seen: int = 0
    struck: bool = False

    def looks_at(self, data: bytes) -> bool:
        """Counts the message; True when it is the one."""
        if self.struck or self.text not in data:
            return False
        self.seen += 1
        self.struck = self.seen == self.nth
        return self.struck

    def strike(self, link: Link) -> None:
        """Does what it is for."""
        self.strike_with(link)


@dataclass
class Proxy:
    """Listens on a port of its own, before the port that `port` tells; `pids` are the server's sessions that it ever carried."""

    host: str
    port: Callable[[], int]
    triggers: list[Trigger] = field(default_factory=list)
    links: set[Link] = field(default_factory=set)
    pids: set[int] = field(default_factory=set)
    messages: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.own_port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection((self.host, self.port()), timeout=10)
                    if server.getsockname() == server.getpeername():
                        # Nobody listened, and the system gave us that very port for our own end: the server is to have it.
                        server.close()
                        raise ConnectionRefusedError
                except OSError:
                    client.close()
                    continue
                for each in (client, server):
                    each.settimeout(None)
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.links.add(Link(self, client, server))

    def due(self, data: bytes) -> list[Trigger]:
        """The triggers that this message sets off."""
        with self._lock:
            self.messages += 1
            return [trigger for trigger in self.triggers if trigger.looks_at(data)]

    def arm(self, triggers: list[Trigger]) -> None:
        """Puts these in place of those that are there, and begins to count anew."""
        with self._lock:
            self.triggers = triggers
            self.messages = 0

    def drop_all(self) -> None:
        """Every connection is lost."""
        for link in list(self.links):
            link.close()

    def close(self) -> None:
        """Ends it."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_all()
