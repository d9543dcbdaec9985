"""
A server in Python that does only the system calls: `floor.c` in Python.

It reads the first message, takes every later one to be the same, and sends a frame made from the first.
"""

from __future__ import annotations

import socket
from select import EPOLLIN, epoll

from common import arguments

from txroom.wire.frames import TEXT, frame
from txroom.wire.masking import unmask

RECEIVED = 1 << 18
#: The answer to the key in RFC 6455 §1.3, which the benchmark always sends.
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def answerTo(message: bytes) -> bytes:
    """The server's frame with the payload of a client's frame."""
    start = {126: 8, 127: 14}.get(message[1] & 127, 6)
    return frame(TEXT, unmask(message[start:], message[start - 4 : start]))


def serve(port: int, isEcho: bool) -> None:
    """Accept connections and answer, for ever."""
    listener = socket.create_server(("127.0.0.1", port), backlog=511)
    listener.setblocking(False)
    poll = epoll()
    poll.register(listener, EPOLLIN)
    accepted: dict[int, socket.socket] = {}
    pending: dict[int, int] = {}
    everyone: list[socket.socket] = []
    said, size = b"", 0

    while True:
        for descriptor, _ in poll.poll():
            if descriptor == listener.fileno():
                one, _ = listener.accept()
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                one.setblocking(False)
                accepted[one.fileno()] = one
                poll.register(one, EPOLLIN)
                continue
            speaker = accepted[descriptor]
            data = speaker.recv(RECEIVED)
            if not data:
                poll.unregister(speaker)
                del accepted[descriptor]
                if pending.pop(descriptor, None) is not None:
                    everyone.remove(speaker)
                speaker.close()
            elif descriptor not in pending:
                speaker.send(ANSWER)
                pending[descriptor] = 0
                everyone.append(speaker)
            else:
                if not said:
                    said, size = answerTo(data), len(data)
                pending[descriptor] += len(data)
                while pending[descriptor] >= size:
                    pending[descriptor] -= size
                    for hearer in (speaker,) if isEcho else everyone:
                        hearer.send(said)


if __name__ == "__main__":
    options = arguments(__doc__)
    serve(options.port, options.role == "echo")
