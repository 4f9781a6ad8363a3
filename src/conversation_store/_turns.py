"""Turns: at most so many threads go on at once, the others in the order in which they came.

Not a semaphore of Python's, which serves a thread that comes just now before those that wait, nor a queue, whose wait
may go on for ever when another thread is faster.
"""

from __future__ import annotations

import math
from collections import deque
from threading import Lock


class Turns:
    """A number of turns."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._lock = Lock()
        self._waiting: deque[Lock] = deque()

    def take(self, timeout: float) -> bool:
        """Take a turn, and return whether there was one within some seconds."""
        with self._lock:
            if self._number > 0:
                self._number -= 1
                return True
            mine = Lock()
            mine.acquire()
            self._waiting.append(mine)
        is_mine = False
        try:
            is_mine = mine.acquire(timeout=timeout)
        finally:
            if not is_mine and not self._left(mine):
                self.give_back()  # it came at the last moment
        return is_mine

    def give_back(self, *, most: float = math.inf) -> None:
        """Give back a turn; it is dropped where *most* turns are free."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            elif self._number < most:
                self._number += 1

    def free(self) -> int:
        """Return how many turns nobody has."""
        return self._number

    def _left(self, mine: Lock) -> bool:
        with self._lock:
            try:
                self._waiting.remove(mine)
            except ValueError:
                return False
        return True
