"""The studio page as people use it, in a real Chromium, before wire doubles. Skipped where the machine has none."""

from __future__ import annotations

import io
import shutil
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.async_api import Page, async_playwright, expect

from .answers import analysis, status_of
from .doubles import Doubles

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
expect.set_options(timeout=20_000.0)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
TIMEOUT_MS = 20_000.0
WRITTEN = analysis().prompts[0].prompt


@pytest.fixture
async def page(http: httpx.AsyncClient) -> AsyncIterator[Page]:
    """The studio, open and complete. Whatever it complains of fails the test."""
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = await browser.new_page(viewport={"width": 390, "height": 800}, reduced_motion="reduce")
        opened.set_default_timeout(TIMEOUT_MS)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        await opened.goto(str(http.base_url))
        await opened.wait_for_selector("#family option", state="attached")
        await opened.wait_for_selector("#model option >> nth=1", state="attached")
        yield opened
        wide = await opened.evaluate("document.documentElement.scrollWidth - innerWidth")
        await browser.close()
    assert complaints == []
    assert wide <= 0, "the page is wider than a phone"


def png(width: int, height: int) -> bytes:
    encoded = io.BytesIO()
    Image.new("RGB", (width, height), (20, 90, 160)).save(encoded, "PNG")
    return encoded.getvalue()


def calls(doubles: Doubles, name: str) -> list[Any]:
    return [requests for rpc, requests, _ in doubles.seen if rpc == name]


async def test_from_a_description_to_files(page: Page, doubles: Doubles) -> None:
    doubles.fail["SubmitBatchSizes"] = status_of(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much waits", "QUEUE_FULL")
    await page.fill("#description", "a cat")
    await page.click("#skip")
    await page.click("#draw button:has-text('Draw')")
    await expect(page.locator("#draw [role=alert]")).to_have_text("too much waits (QUEUE_FULL)")
    await expect(page.locator("#draw button:has-text('Draw')")).to_be_enabled()
    doubles.fail.clear()
    doubles.seen.clear()

    await page.fill("#description", "a happy panda")
    await page.press("#count", "Enter")
    await expect(page.locator("#describe-stop")).to_be_hidden()
    prompt = page.locator("#prompts textarea").first
    assert (await prompt.input_value()) == WRITTEN
    await page.locator("#prompts .not input").first.fill("rain")
    await page.fill("#seed", "7")
    await page.click("#draw button:has-text('Draw')")
    await expect(page.locator("#phase")).to_contain_text("Done: 2 images from 1 base")
    (asked,) = calls(doubles, "SubmitBatchSizes")
    assert (asked[0].prompt, asked[0].negative_prompt, asked[0].seed) == (WRITTEN, "rain", 7)
    assert await page.locator("#images a[download='hero.webp']").get_attribute("href") == "/jobs/abc123/images/0"
    await page.reload()
    await expect(page.locator("#phase")).to_contain_text("Done")
    assert await page.locator("#description").input_value() == "a happy panda"
    assert await page.locator("#prompts .not input").first.input_value() == "rain"
    await expect(page.locator("#seed")).to_have_value("7")


async def test_a_picture_is_edited_verified_and_processed(page: Page, doubles: Doubles) -> None:
    await page.set_input_files("#file", files=[{"name": "b.png", "mimeType": "image/png", "buffer": b"nope"}])
    await expect(page.locator("#drop [role=alert]")).to_have_text("b.png is no picture that this browser can show")
    await expect(page.locator("#picture")).to_be_hidden()

    file: Any = {"name": "a.png", "mimeType": "image/png", "buffer": png(200, 100)}
    await page.set_input_files("#file", files=[file])
    await expect(page.locator("#about")).to_contain_text("a.png, 200×100")
    await expect(page.locator("#original")).to_have_js_property("complete", True)
    box = await page.locator("#mask").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x, y + 10)
    await page.mouse.up()
    await page.fill("#edit-prompt", "a red hat")
    await page.press("#edit-prompt", "Enter")
    await expect(page.locator("#work-said")).to_contain_text("Done, seed 7")
    ((first, *_),) = calls(doubles, "Edit")
    assert (first.spec.prompt, round(first.spec.strength, 2)) == ("a red hat", 0.6)
    mask = np.asarray(Image.open(io.BytesIO(first.spec.mask_data)).convert("L"))
    assert mask.shape == (100, 200)
    assert mask[50, 50] == 255, "white where it was painted"
    assert not mask[:, 100:].any(), "black elsewhere"
    await expect(page.locator("#made figure b")).to_have_text("a red hat")

    await page.click("#verify")
    await expect(page.locator("#work-said")).to_contain_text("A model made it")
    await page.click("#process button:has-text('Process')")
    await expect(page.locator("#work-said")).to_contain_text("files.")
    ((first, *_),) = calls(doubles, "Process")
    assert first.spec.family == "hero"
    assert len(first.spec.operations) == 2
    download = await page.locator("#made figure a[download]").first.get_attribute("download")
    assert download
