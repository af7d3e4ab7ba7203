"""Who is next: the apps in turn, each one's pictures in the order they came."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Item(Protocol):
    @property
    def app(self) -> str: ...

    @property
    def size(self) -> int: ...


T = TypeVar("T", bound=Item)


class Turns(Generic[T]):
    """Bounded. When it is full the app that has most in it makes room."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._limits = (most, most_bytes)
        self._apps: OrderedDict[str, deque[T]] = OrderedDict()
        self._length = 0
        self._bytes = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        return iter([item for queue in self._apps.values() for item in queue])

    def ahead(self, app: str) -> int:
        """How many are taken before one of this app that comes now."""
        own = len(self._apps.get(app, ()))
        return sum(min(len(queue), own if name == app else own + 1) for name, queue in self._apps.items())

    def put(self, item: T) -> list[T]:
        """Returns what had to go for it, which may be the item itself."""
        self._append(item)
        dropped = []
        while self._length > 1 and not self._fits:
            dropped.append(self._drop_one())
            if dropped[-1] is item:
                break
        return dropped

    def put_back(self, item: T) -> None:
        """One that was taken before, to be the next of its app."""
        self._append(item, first=True)

    def take(self) -> T | None:
        if not self._apps:
            return None
        app = next(iter(self._apps))
        self._apps.move_to_end(app)
        return self._removed(self._apps[app].popleft())

    def remove(self, item: T) -> bool:
        queue = self._apps.get(item.app)
        if queue is None or item not in queue:
            return False
        queue.remove(item)
        self._removed(item)
        return True

    @property
    def _fits(self) -> bool:
        most, most_bytes = self._limits
        return self._length <= most and self._bytes <= most_bytes

    def _append(self, item: T, first: bool = False) -> None:
        queue = self._apps.setdefault(item.app, deque())
        (queue.appendleft if first else queue.append)(item)
        self._length += 1
        self._bytes += item.size

    def _drop_one(self) -> T:
        """The newest of the app with most: of the last in turn among equals."""
        longest = max(reversed(self._apps.values()), key=len)
        return self._removed(longest.pop())

    def _removed(self, item: T) -> T:
        self._length -= 1
        self._bytes -= item.size
        if not self._apps[item.app]:
            del self._apps[item.app]
        return item
