"""A person at the page that the server shows: types a query, pastes documents, reads the ranking.

Needs Chromium, found on the PATH or named by ZELO_CHROMIUM. Screenshots are kept in the folder that
ZELO_SCREENSHOTS names; default, a temporary one, which is printed.
"""

# requires: playwright
import os
import shutil
import tempfile
from pathlib import Path

from case import Case, read_case, tell
from playwright.sync_api import Page, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LONG = "The river is long. " * 12_000  # more than the 32,768 tokens of a prompt


def browser() -> str:
    """Return the path of Chromium."""
    named = os.environ.get("ZELO_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise SystemExit("no Chromium here; install one, or name it as ZELO_CHROMIUM")
    return found


def texts(page: Page, selector: str) -> list[str]:
    """Return the texts of all elements that fit, in order."""
    return [element.inner_text() for element in page.query_selector_all(selector)]


def wait_for_ranking(page: Page, length: int) -> None:
    """Wait until the page shows a ranking of so many documents, and no earlier one."""
    counted = "length => document.querySelectorAll('#ranking li').length === length"
    page.wait_for_function(counted, arg=length)


def rerank(page: Page, query: str, documents: list[str]) -> None:
    """Fill in the form, send it, and wait for the ranking."""
    page.fill("#query", query)
    page.fill("#documents", "\n".join(documents))
    page.click("#run")
    wait_for_ranking(page, len(documents))


def visit(page: Page, case: Case, screenshots: Path) -> None:
    """Use the page as a person with a key does."""
    page.goto(case.address)
    page.wait_for_selector("#key-row:not([hidden])")  # the server has told that it wants one
    page.fill("#key", case.key)
    page.locator("#key").blur()
    page.wait_for_function("document.getElementById('about').textContent.includes('zelo-nano')")

    documents = [text for text in case.documents if text]  # the form leaves blank lines out
    kept = [score for text, score in zip(case.documents, case.scores, strict=True) if text]
    order = sorted(range(len(kept)), key=lambda i: -kept[i])
    rerank(page, case.query, documents)
    shown = texts(page, "#ranking .text")
    assert shown == [documents[i].strip() for i in order], shown
    assert texts(page, "#ranking .score") == [f"{kept[i]:.3f}" for i in order]
    moved = texts(page, "#ranking .moved")
    wanted = [i - place for place, i in enumerate(order)]
    assert moved == [f"▲ {n}" if n > 0 else f"▼ {-n}" if n < 0 else "·" for n in wanted], moved
    assert "ms in the model" in page.inner_text("#timing")
    page.screenshot(path=screenshots / "light.png", full_page=True)

    page.emulate_media(color_scheme="dark")
    rerank(page, case.query, ["A short text.", LONG])
    assert len(texts(page, ".cut")) == 1, "the long document is marked as cut"
    page.screenshot(path=screenshots / "dark.png", full_page=True)

    page.set_viewport_size({"width": 390, "height": 844})
    page.click("#example")
    wait_for_ranking(page, 5)
    page.screenshot(path=screenshots / "phone.png", full_page=True)
    wide = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    assert not wide, "nothing sticks out on a phone"


def main() -> None:
    """Run the browser, and fail on anything that it complains of."""
    case = read_case()
    named = os.environ.get("ZELO_SCREENSHOTS")
    screenshots = Path(named or tempfile.mkdtemp(prefix="zelo-page-"))
    screenshots.mkdir(parents=True, exist_ok=True)
    complaints: list[str] = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: check_address(request.url, case.address))
        visit(page, case, screenshots)
        chromium.close()
    assert not complaints, complaints
    tell(f"  ranking, moves, truncation and timing are shown; see {screenshots}")


def check_address(url: str, address: str) -> None:
    """The page asks nobody but its own server."""
    assert url.startswith((address, "data:")), url


if __name__ == "__main__":
    main()
