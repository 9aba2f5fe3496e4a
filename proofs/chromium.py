"""A real browser: the page of examples/browser, served on the loopback interface to a headless Chromium."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from isoform.errors import BadInput, CheckFailed, first_line
from proofs.workspace import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAGE = ROOT / "examples/browser"
LOAD_S = 120  # a forest of 15 MB takes WebAssembly some seconds, a busy machine more
FLAGS = [
    "--no-sandbox",  # which root and most containers cannot have; the page is our own
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # whatever the page asks of another machine fails
]


@contextmanager
def serving(folders: Sequence[Path]) -> Iterator[list[str]]:
    """Serve the page while the block runs, and give its URL for each version folder."""
    command = [sys.executable, str(PAGE / "serve.py"), *map(str, folders), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            lines = [server.stdout.readline() for _ in folders]
            if not all(lines):
                raise CheckFailed("examples/browser/serve.py", "did not start", "see its output above")
            yield [line.rstrip("\n").rpartition("\t")[2] for line in lines]
        finally:
            server.terminate()


@contextmanager
def opened(executable: str) -> "Iterator[Page]":
    """Start the Chromium at `executable`, and give an empty page of it."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise BadInput("playwright", "is not installed", "pip install -r requirements-dev.lock") from None
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        except Error as error:
            raise CheckFailed(executable, f"does not start ({first_line(error)})", "start it by hand and see") from None
        try:
            yield browser.new_page()
        finally:
            browser.close()


def replayed(page: "Page", url: str) -> tuple[bool, str]:
    """Open a version and return whether the page found the reference's answers, and what it says."""
    from playwright.sync_api import TimeoutError as TooLate

    page.goto(url)
    status = page.locator("#status")
    try:
        page.locator("#status:not([data-state=empty], [data-state=loading])").wait_for(timeout=LOAD_S * 1000)
    except TooLate:
        return False, f"the page still said '{status.inner_text()}' after {LOAD_S} s"
    return status.get_attribute("data-state") == "same", status.inner_text()
