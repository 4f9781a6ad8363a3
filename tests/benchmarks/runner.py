"""Rounds: in each, every peer of an operation runs for a short slice, in an order that changes, on the same arguments."""

from __future__ import annotations

import asyncio
import operator
import random
import statistics
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

Arguments = tuple[Any, ...]
THREADS = 16


@dataclass(frozen=True, slots=True)
class Sample:
    """What a call took in a slice: seconds, the median; or megabytes. And the mean seconds of a processor, where known."""

    took: float
    client: float | None = None
    server: float | None = None

    @property
    def processor(self) -> float | None:
        return None if self.client is None or self.server is None else self.client + self.server


@dataclass(frozen=True)
class Case:
    """A peer in an operation: a run over a slice of arguments, and what one call answers, in a form that all share."""

    peer: str
    run: Callable[[list[Arguments]], Sample]
    answer: Callable[[Arguments], object] | None = None


@dataclass(frozen=True)
class Operation:
    """What peers do alike; *least* and *most* calls are in a slice."""

    title: str
    arguments: Callable[[random.Random], Arguments]
    cases: list[Case]
    least: int = 1
    most: int = 300


@dataclass
class Measured:
    """The samples of each peer, one a round."""

    title: str
    calls: int = 1
    samples: dict[str, list[Sample]] = field(default_factory=dict[str, list[Sample]])

    @property
    def rounds(self) -> int:
        return min(map(len, self.samples.values()))


def sample(moments: list[float], processor: float) -> Sample:
    """Return the median of what lies between moments: what else the machine does in a slice counts little."""
    return Sample(statistics.median(map(operator.sub, moments[1:], moments)), processor / (len(moments) - 1))


def one_by_one(call: Callable[..., object]) -> Callable[[list[Arguments]], Sample]:
    """Call in this thread."""

    def run(slice: list[Arguments]) -> Sample:
        processor = time.thread_time()
        moments = [time.perf_counter()]
        for arguments in slice:
            call(*arguments)
            moments.append(time.perf_counter())
        return sample(moments, time.thread_time() - processor)

    return run


def on_asyncio(
    loop: asyncio.Runner, call: Callable[..., Coroutine[Any, Any, object]]
) -> Callable[[list[Arguments]], Sample]:
    """Await one call after the other on an event loop."""

    async def slices(slice: list[Arguments]) -> Sample:
        processor = time.thread_time()
        moments = [time.perf_counter()]
        for arguments in slice:
            await call(*arguments)
            moments.append(time.perf_counter())
        return sample(moments, time.thread_time() - processor)

    return lambda slice: loop.run(slices(slice))


def by_threads(threads: ThreadPoolExecutor, call: Callable[..., object]) -> Callable[[list[Arguments]], Sample]:
    """Call from 16 threads, each with its part; the seconds are those of all, divided by the calls of all."""

    def run(slice: list[Arguments]) -> Sample:
        start = threading.Barrier(THREADS + 1)

        def part(n: int) -> None:
            start.wait()
            for arguments in slice[n::THREADS]:
                call(*arguments)

        tasks = [threads.submit(part, n) for n in range(THREADS)]
        start.wait()
        processor, started = time.process_time(), time.perf_counter()
        for task in tasks:
            task.result()
        took = time.perf_counter() - started
        return Sample(took / len(slice), (time.process_time() - processor) / len(slice))

    return run


def check(operation: Operation) -> None:
    """Compare what the peers answer to the same arguments, so that nobody measures an error; what is slow, once."""
    until = time.perf_counter() + 1
    for number in range(3):
        arguments = operation.arguments(random.Random(f"{operation.title} check {number}"))
        answers = {case.peer: case.answer(arguments) for case in operation.cases if case.answer is not None}
        different = {repr(answer) for answer in answers.values()}
        if len(different) > 1:
            raise AssertionError(f"{operation.title}{arguments}: {answers}")
        if time.perf_counter() > until:
            break


def measure(
    operation: Operation,
    meter: Callable[[], Callable[[], float | None]],
    *,
    seconds: float,
    slice_seconds: float,
    rounds: int | None = None,
) -> Measured:
    """Run rounds for some seconds, or a number of them; *meter* gives what counts those of the backends that there are."""
    check(operation)
    slowest = max(_warm_up(operation, case, slice_seconds) for case in operation.cases)
    calls = max(operation.least, min(operation.most, int(slice_seconds / slowest)))
    measured = Measured(operation.title, calls, {case.peer: [] for case in operation.cases})
    server_seconds = meter()
    until = time.perf_counter() + seconds
    order = list(operation.cases)
    number = 0
    while number < (9 if rounds is None else rounds) or (rounds is None and time.perf_counter() < until):
        chooser = random.Random(f"{operation.title} {number}")
        chooser.shuffle(order)
        slice = [operation.arguments(chooser) for _ in range(calls)]
        for case in order:
            before = server_seconds()
            found = case.run(slice)
            after = server_seconds()
            # What has no client seconds is another program, with backends of its own.
            if before is not None and after is not None and found.client is not None:
                found = replace(found, server=(after - before) / len(slice))
            measured.samples[case.peer].append(found)
        number += 1
    return measured


def _warm_up(operation: Operation, case: Case, slice_seconds: float) -> float:
    """Call until statements are prepared and their plans chosen, unless that takes long; return what a call takes."""
    chooser = random.Random(f"{operation.title} warm-up")
    took = 0.0
    for number, calls in enumerate((1, 1, 10, 10)):
        took = case.run([operation.arguments(chooser) for _ in range(max(operation.least, calls))]).took
        if number and took > slice_seconds:
            break
    return took
