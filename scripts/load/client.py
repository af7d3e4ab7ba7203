"""A small HTTP/1.1 client that does nothing but send prepared bytes and time the answers.

The clients of one process are its threads; several processes share the work, so that the generator is not what is
being measured. Standard library only: it runs beside any vendor's box.
"""

from __future__ import annotations

import itertools
import multiprocessing
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

NO_ANSWER = "no answer"
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Plan:
    host: str
    port: int
    requests: Sequence[bytes]  # whole HTTP requests, head and body
    code: str  # regular expression; group 1 is the dialect's result code in an answer
    good: frozenset[str]  # codes that count as served
    clients: int
    seconds: float
    warmup: float
    rate: float | None = None  # requests a second; None: every client sends as soon as it has its answer
    timeout: float = 30.0
    processes: int = 0  # 0: one per 32 clients, at most 4


@dataclass
class Outcome:
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)  # of good answers, in milliseconds
    codes: Counter[str] = field(default_factory=Counter)

    @property
    def qps(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    @property
    def errors(self) -> dict[str, int]:
        return {code: count for code, count in self.codes.items() if code != "good"}

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")

    def note(self, milliseconds: float, code: str, good: bool) -> None:
        if good:
            self.latencies.append(milliseconds)
        self.codes["good" if good else code] += 1

    def add(self, other: Outcome) -> None:
        self.latencies += other.latencies
        self.codes += other.codes
        self.seconds = max(self.seconds, other.seconds)


class Connection:
    """One keep-alive connection, opened again after any failure. Blocking: a thread that waits in the kernel costs less
    than any event loop."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._address = (host, port)
        self._timeout = timeout
        self._socket: socket.socket | None = None

    def ask(self, request: bytes) -> bytes:
        """Status and body of the answer."""
        if self._socket is None:
            self._socket = self._open()
        self._socket.sendall(request)
        head, _, body = self._until_head(self._socket).partition(b"\r\n\r\n")
        found = _LENGTH.search(head)
        missing = (int(found.group(1)) if found else 0) - len(body)
        parts = [body]
        while missing > 0:
            parts.append(self._some(self._socket))
            missing -= len(parts[-1])
        if b"connection: close" in head.lower():
            self.close()
        return head[9:12] + b"\n" + b"".join(parts)

    def _open(self) -> socket.socket:
        opened = socket.create_connection(self._address, self._timeout)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The kernel keeps the time: Python's own would ask it before every call whether there is something to do.
        opened.settimeout(None)
        whole, part = divmod(self._timeout, 1)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            opened.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(whole), int(part * 1e6)))
        return opened

    def _until_head(self, opened: socket.socket) -> bytes:
        answer = self._some(opened)
        while b"\r\n\r\n" not in answer:
            answer += self._some(opened)
        return answer

    @staticmethod
    def _some(opened: socket.socket) -> bytes:
        received = opened.recv(1 << 16)
        if not received:
            raise EOFError
        return received

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None


class Run:
    """All clients of one process, each a thread."""

    def __init__(self, plan: Plan, first: int) -> None:
        self._plan = plan
        # Counting and cycling are single steps of the interpreter: threads may share them.
        self._requests: Iterator[bytes] = itertools.islice(itertools.cycle(plan.requests), first, None)
        self._code = re.compile(plan.code.encode())
        self._answers: list[tuple[float, float, str]] = []  # when sent, when answered, the code
        self._opens = time.perf_counter() + plan.warmup
        self._closes = self._opens + plan.seconds

    def __call__(self) -> Outcome:
        due = self._schedule() if self._plan.rate else None
        clients = [threading.Thread(target=self._client, args=(due,)) for _ in range(self._plan.clients)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        outcome = Outcome(self._plan.seconds)
        for started, ended, code in self._answers:
            if self._opens <= ended <= self._closes:
                outcome.note((ended - started) * 1000, code, code in self._plan.good)
        return outcome

    def _schedule(self) -> Iterator[float]:
        assert self._plan.rate
        return itertools.count(time.perf_counter(), 1.0 / self._plan.rate)

    def _client(self, due: Iterator[float] | None) -> None:
        connection = Connection(self._plan.host, self._plan.port, self._plan.timeout)
        try:
            while (started := time.perf_counter()) < self._closes:
                if due is not None:
                    # At a fixed rate the clock starts when the request was due, not when a client was free:
                    # a server that stalls must not be forgiven the requests that queued up behind the stall.
                    started = next(due)
                    if started >= self._closes:
                        return
                    time.sleep(max(0.0, started - time.perf_counter()))
                code = self._once(connection)
                self._answers.append((started, time.perf_counter(), code))
        finally:
            connection.close()

    def _once(self, connection: Connection) -> str:
        try:
            answer = connection.ask(next(self._requests))
        except (OSError, EOFError):
            connection.close()
            time.sleep(0.05)  # a refused connection must not become a busy loop
            return NO_ANSWER
        found = self._code.search(answer)
        return found.group(1).decode() if found else "HTTP " + answer[:3].decode(errors="replace")


def _process(plan: Plan, first: int, results: multiprocessing.connection.Connection) -> None:
    results.send(Run(plan, first)())
    results.close()


def run(plan: Plan) -> Outcome:
    """Carry the plan out and gather what happened."""
    count = plan.processes or min(4, 1 + plan.clients // 32)
    count = min(count, plan.clients)
    context = multiprocessing.get_context("spawn")
    pipes, workers = [], []
    for index in range(count):
        share = plan.clients // count + (index < plan.clients % count)
        part = Plan(**{**vars(plan), "clients": share, "rate": plan.rate / count if plan.rate else None})
        receiver, sender = context.Pipe(duplex=False)
        worker = context.Process(target=_process, args=(part, index * 7, sender), daemon=True)
        worker.start()
        sender.close()
        pipes.append(receiver)
        workers.append(worker)
    total = Outcome()
    for receiver in pipes:
        total.add(receiver.recv())
    for worker in workers:
        worker.join()
    return total
