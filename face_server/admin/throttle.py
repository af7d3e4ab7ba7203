"""Wrong passwords cost time: whoever guesses waits longer each time, and everybody else does not wait.

What is counted is the pair of address and name, and with more patience the address alone. A name that is guessed from
many addresses only makes its sign-ins a little slower: a stranger must not be able to lock its owner out.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

WINDOW = 60.0  # seconds after which wrong passwords are forgotten
LONGEST = 30.0
LONGEST_FOR_NAME = 2.0
FREE, FREE_FOR_SOURCE, FREE_FOR_NAME = 3, 20, 10  # wrong passwords before it begins
MOST = 10_000  # what is remembered: the oldest is forgotten first


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0


class Throttle:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()

    def wait(self, source: str, name: str) -> float:
        """Seconds until this caller may try again."""
        both = self._left((source, name), FREE)
        return max(both, self._left((source, ""), FREE_FOR_SOURCE))

    def drag(self, name: str) -> float:
        """Seconds by which a sign-in with this name is slowed down, whoever comes."""
        return min(LONGEST_FOR_NAME, self._delay(("", name), FREE_FOR_NAME))

    def wrong(self, source: str, name: str) -> None:
        for key in ((source, name), (source, ""), ("", name)):
            failures = self._get(key) or _Failures()
            failures.count += 1
            failures.last = self._clock()
            self._failures[key] = failures
            self._failures.move_to_end(key)
        while len(self._failures) > MOST:
            self._failures.popitem(last=False)

    def right(self, source: str, name: str) -> None:
        """The last one that was counted was right after all."""
        self._failures.pop((source, name), None)
        for key in ((source, ""), ("", name)):
            failures = self._failures.get(key)
            if failures is not None:
                failures.count -= 1

    def _get(self, key: tuple[str, str]) -> _Failures | None:
        failures = self._failures.get(key)
        if failures is not None and self._clock() - failures.last > WINDOW:
            del self._failures[key]
            return None
        return failures

    def _delay(self, key: tuple[str, str], free: int) -> float:
        failures = self._get(key)
        beyond = failures.count - free if failures else -1
        return 0.0 if beyond < 0 else min(LONGEST, 2.0 ** min(beyond, 10))

    def _left(self, key: tuple[str, str], free: int) -> float:
        delay = self._delay(key, free)
        return max(0.0, self._failures[key].last + delay - self._clock()) if delay else 0.0
