"""Two servers and three workers under load while workers, Redis and Postgres are killed and started again at random.

python -m tests.chaos --seconds 60
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from skimage import data

from scripts.load.server import serving
from scripts.load.worker import WorkerProcess
from tests import postgres, redis_server
from tests.baidu_client import BUSY, Baidu, text

CLIENTS, WORKERS, PICTURES = 16, 3, 12
CALM = 8.0  # seconds at the end without a fault
ADDS = 0.2  # share of the requests that write
KNOWN = "known"


@dataclass
class Counts:
    answers: Counter[str] = field(default_factory=Counter)  # right, wrong, busy, other, broken
    codes: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    lost: int = 0
    recovery: float = 0.0  # seconds from the end of the last fault to the last refusal
    strange: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        bad = self.answers["wrong"] + self.answers["other"] + self.answers["broken"] + self.lost
        return bad == 0 and self.acknowledged > 0 and self.recovery < 5

    def __str__(self) -> str:
        lines = [f"answers: {dict(self.answers)}", f"refusals by code: {dict(self.codes)}"]
        lines += [f"faults: {dict(self.faults)}", f"acknowledged writes: {self.acknowledged}, lost: {self.lost}"]
        return "\n".join([*lines, f"recovered {self.recovery:.2f} s after the last fault", *self.strange[:5]])


def pictures() -> list[str]:
    """One face under so many lights: to a server each has a token of its own, so that a wrong answer is seen."""
    file = str(Path(data.__file__).with_name("astronaut.png"))
    pixels = np.asarray(cv2.imread(file))[0:300, 80:380]
    lit = [np.clip(pixels * (0.8 + 0.4 * n / PICTURES), 0, 255).astype(np.uint8) for n in range(PICTURES)]
    return [text(cv2.imencode(".jpg", each)[1].tobytes()) for each in lit]


class Load:
    def __init__(self, urls: list[str]) -> None:
        self.urls = urls
        self.counts = Counts()
        self.over = threading.Event()
        self.last_refusal = 0.0
        self._pictures = pictures()
        self._lock = threading.Lock()
        self._added: list[tuple[str, str]] = []  # group, token
        self._numbers = iter(range(10**9))
        client = Baidu(urls[0], "chaos")
        client("face/add", image=self._pictures[0], image_type="BASE64", group_id=KNOWN, user_id="u").result  # noqa: B018
        self._right = {
            (ask.__name__, n): ask(client, n).result for ask in (self.detect, self.identify) for n in range(PICTURES)
        }

    def detect(self, client: Baidu, n: int) -> Any:
        return client("face/detect", image=self._pictures[n], image_type="BASE64", face_field="quality,landmark")

    def identify(self, client: Baidu, n: int) -> Any:
        return client("face/identify", image=self._pictures[n], image_type="BASE64", group_id_list=KNOWN)

    def client(self, number: int) -> None:
        client, dice = Baidu(self.urls[number % len(self.urls)], "chaos"), random.Random(number)
        while not self.over.is_set():
            n = dice.randrange(PICTURES)
            try:
                outcome = self._add(client, n) if dice.random() < ADDS else self._ask(client, n, dice)
            except (httpx.HTTPError, AssertionError) as error:
                outcome = "broken"
                self.counts.strange.append(repr(error)[:300])
            with self._lock:
                self.counts.answers[outcome] += 1

    def _ask(self, client: Baidu, n: int, dice: random.Random) -> str:
        ask = dice.choice([self.detect, self.identify])
        answer = ask(client, n)
        if answer.code:
            return self._refused(answer)
        return "right" if answer["result"] == self._right[ask.__name__, n] else "wrong"

    def _add(self, client: Baidu, n: int) -> str:
        with self._lock:
            group = f"g{next(self._numbers)}"
        answer = client("face/add", image=self._pictures[n], image_type="BASE64", group_id=group, user_id="u")
        if answer.code:
            return self._refused(answer)
        token = answer["result"]["face_token"]
        with self._lock:
            self._added.append((group, token))
        return "right" if token == self._right["detect", n]["face_list"][0]["face_token"] else "wrong"

    def _refused(self, answer: Any) -> str:
        with self._lock:
            self.last_refusal = time.monotonic()
            self.counts.codes[answer.code] += 1
            if answer.code not in BUSY:
                self.counts.strange.append(str(dict(answer)))
        return "busy" if answer.code in BUSY else "other"

    def check_added(self) -> None:
        """Every acknowledged write is there, on the server that did not make it too."""
        clients = [Baidu(url, "chaos") for url in self.urls]
        for number, (group, token) in enumerate(self._added):
            listed = clients[number % len(clients)]("face/list", group_id=group, user_id="u")
            if listed.code or [face["face_token"] for face in listed["result"]["face_list"]] != [token]:
                self.counts.lost += 1
                self.counts.strange.append(str(dict(listed)))
        self.counts.acknowledged = len(self._added)


def run(seconds: float, seed: int = 1) -> Counts:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(postgres.running("max_connections=200"))
        redis = stack.enter_context(redis_server.running())
        workers = [WorkerProcess(redis.url, folder / f"worker{n}.log").start() for n in range(WORKERS)]
        for each in workers:
            stack.callback(each.kill)
        shared = {"redis_url": redis.url, "database_url": database.migrated_database()}
        servers = [stack.enter_context(serving(folder / f"server{n}", **shared)) for n in range(2)]
        load, dice = Load([server.url for server in servers]), random.Random(seed)

        def hit_worker() -> None:
            victim = dice.choice(workers)
            victim.kill()
            time.sleep(dice.uniform(0, 1))
            victim.spawn()

        def hit_redis() -> None:
            redis.kill()
            time.sleep(dice.uniform(0, 1))
            redis.start()

        def hit_postgres() -> None:
            database.kill()
            time.sleep(dice.uniform(0, 1))
            database.start()

        faults: list[Callable[[], None]] = [hit_worker, hit_redis, hit_postgres]
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(CLIENTS) as threads:
            clients = [threads.submit(load.client, number) for number in range(CLIENTS)]
            try:
                while faults and time.monotonic() < end - CALM:
                    time.sleep(dice.uniform(0.5, 2.5))
                    fault = faults[sum(load.counts.faults.values()) % 3] if seconds < 30 else dice.choice(faults)
                    fault()
                    load.counts.faults[fault.__name__.removeprefix("hit_")] += 1
                last_fault = time.monotonic()
                time.sleep(CALM)
            finally:
                load.over.set()
            for client in clients:
                client.result()
        load.counts.recovery = max(0.0, load.last_refusal - last_fault)
        load.check_added()
        return load.counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    counts = run(options.seconds, options.seed)
    print(counts)
    raise SystemExit(0 if counts.good else 1)


if __name__ == "__main__":
    main()
