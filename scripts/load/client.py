"""A small HTTP/1.1 client that does nothing but send prepared bytes and time the answers.

The clients of one process share an event loop; several processes share the work, so that the generator is not what
is being measured. Standard library only: it runs beside any vendor's box.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import re
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

    def add(self, other: Outcome) -> None:
        self.latencies += other.latencies
        self.codes += other.codes
        self.seconds = max(self.seconds, other.seconds)


class Connection:
    """One keep-alive connection, opened again after any failure."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> bytes:
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(*self._address, limit=1 << 20)
        self._writer.write(request)
        await self._writer.drain()
        head = await self._reader.readuntil(b"\r\n\r\n")
        found = _LENGTH.search(head)
        body = await self._reader.readexactly(int(found.group(1))) if found else b""
        if b"connection: close" in head.lower():
            self.close()
        return head[9:12] + b"\n" + body

    def close(self) -> None:
        if self._writer is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._writer.close()
        self._reader = self._writer = None


class Run:
    """All clients of one process."""

    def __init__(self, plan: Plan, first: int) -> None:
        self._plan = plan
        self._requests: Iterator[bytes] = itertools.islice(itertools.cycle(plan.requests), first, None)
        self._code = re.compile(plan.code.encode())
        self._outcome = Outcome()
        self._opens = time.perf_counter() + plan.warmup
        self._closes = self._opens + plan.seconds

    async def __call__(self) -> Outcome:
        due = self._schedule() if self._plan.rate else None
        await asyncio.gather(*(self._client(due) for _ in range(self._plan.clients)))
        self._outcome.seconds = self._plan.seconds
        return self._outcome

    def _schedule(self) -> Iterator[float]:
        assert self._plan.rate
        return itertools.count(time.perf_counter(), 1.0 / self._plan.rate)

    async def _client(self, due: Iterator[float] | None) -> None:
        connection = Connection(self._plan.host, self._plan.port)
        try:
            while (started := time.perf_counter()) < self._closes:
                if due is not None:
                    # At a fixed rate the clock starts when the request was due, not when a client was free:
                    # a server that stalls must not be forgiven the requests that queued up behind the stall.
                    started = next(due)
                    if started >= self._closes:
                        return
                    await asyncio.sleep(max(0.0, started - time.perf_counter()))
                code = await self._once(connection)
                self._note(started, time.perf_counter(), code)
        finally:
            connection.close()

    async def _once(self, connection: Connection) -> str:
        try:
            answer = await asyncio.wait_for(connection.ask(next(self._requests)), self._plan.timeout)
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            connection.close()
            await asyncio.sleep(0.05)  # a refused connection must not become a busy loop
            return NO_ANSWER
        found = self._code.search(answer)
        return found.group(1).decode() if found else "HTTP " + answer[:3].decode(errors="replace")

    def _note(self, started: float, ended: float, code: str) -> None:
        if not self._opens <= ended <= self._closes:
            return
        if code in self._plan.good:
            self._outcome.latencies.append((ended - started) * 1000)
            self._outcome.codes["good"] += 1
        else:
            self._outcome.codes[code] += 1


def _process(plan: Plan, first: int, results: multiprocessing.connection.Connection) -> None:
    with contextlib.suppress(ImportError):  # a faster event loop where there is one: less of the machine for us
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    results.send(asyncio.run(Run(plan, first)()))
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
