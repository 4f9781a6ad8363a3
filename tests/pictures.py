"""Take the pictures of the review page that sql/README.md shows: `make pictures`, with Chromium."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from conversation_store import migrate
from conversation_store.dba.review import review
from support.plans import fill
from support.server import database, server

FOLDER = Path(__file__).parent / "dba" / "pictures"

# Name, width, height, scheme, the statement or section that is opened, what of it is scrolled to, what is searched for.
PICTURES = (
    ("schema-light", 1280, 900, "light", "schema", "", ""),
    ("statement-light", 1280, 1000, "light", "file-conversation.get_names", "", ""),
    ("plan-dark", 1280, 800, "dark", "file-conversation.append_round", ".plans", ""),
    ("search-dark", 1280, 620, "dark", "", "", "force_custom_plan thumb_up"),
    ("narrow-light", 360, 800, "light", "file-conversation.count", "", ""),
)


def main() -> None:
    """Fill a database, write the page, and take each picture."""
    chromium = shutil.which("chromium") or sys.exit("Chromium is not installed (Debian: apt-get install chromium)")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "review.html"
        with server() as running, database(running) as conninfo:
            migrate(conninfo)
            fill(conninfo)
            page.write_text(review(conninfo), "utf-8")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium)
            for picture in PICTURES:
                take(browser, page.as_uri(), *picture)
            browser.close()


def take(
    browser: Any, address: str, name: str, width: int, height: int, scheme: str, anchor: str, part: str, text: str
) -> None:
    """Open the page at a place, and take a picture of what is in sight."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.emulate_media(reduced_motion="reduce")
    page.goto(f"{address}#{anchor}")
    if part:
        page.eval_on_selector(f'[id="{anchor}"] {part}', "e => e.scrollIntoView()")
    if text:
        page.fill("#search", text)
    path = FOLDER / f"{name}.webp"
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(path, "WEBP", quality=82, method=6)
    context.close()
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
