"""A real Chromium, for the tests that look at what people see.

Fixtures that give one are of a module: two of playwright's loops do not run beside each other in one process.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
IN_SOFTWARE = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""WebGL without a graphics card."""


@contextmanager
def chromium(*arguments: str) -> "Iterator[Browser]":
    """A running browser; without one on this machine the test skips, and fails in CI.

    Its own updates and the like are off, so that whatever it asks for, the page asked for.
    """
    if CHROMIUM is None:
        message = "no Chromium on this machine: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    always = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*always, *arguments])
        yield browser
        browser.close()
