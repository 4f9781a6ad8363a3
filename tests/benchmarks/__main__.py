"""`make bench` and `make bench-full`."""

from __future__ import annotations

import argparse
import signal
from functools import partial
from pathlib import Path

from benchmarks.run import run, settings
from support.server import server


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--size", type=int, default=100_000, help="conversations of the largest database")
    parser.add_argument("--seconds", type=float, default=12, help="how long each operation is measured")
    parser.add_argument("--only", default="", help="a part of the titles of the operations to measure")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[2] / "build" / "bench")
    given = parser.parse_args()
    # As Ctrl-C, so that the server is stopped and its directory removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sizes = [size for size in (10_000, 100_000, 1_000_000) if size < given.size] + [given.size]
    tell = partial(print, flush=True)
    try:
        with server(settings(), on_disk=True) as running:
            for path in run(running, sizes, given.folder, seconds=given.seconds, only=given.only, tell=tell):
                tell(str(path))
    except KeyboardInterrupt:
        raise SystemExit("interrupted; nothing is left behind") from None


if __name__ == "__main__":
    main()
