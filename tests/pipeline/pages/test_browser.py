"""The page in a headless Chromium, opened from disk."""

import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.slow
# What is drawn in Bokeh's tooltips; they lie in shadow roots, which no selector sees.
_SHADOWS = """
const found = [];
const look = (root) => {
  for (const element of root.querySelectorAll("*")) {
    if (element.classList.contains("bk-Tooltip")) found.push(element.shadowRoot.textContent);
    if (element.shadowRoot) look(element.shadowRoot);
  }
};
look(document);
return found.join(" ");
"""
_IDLE = "return Bokeh.documents.length > 0 && Bokeh.documents.every((page) => page.is_idle);"


@pytest.fixture(scope="module")
def browser(page: bytes, chromium: Chrome, tmp_path_factory: pytest.TempPathFactory) -> Chrome:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_bytes(page)
    chromium.get(file.as_uri())
    WebDriverWait(chromium, 60).until(lambda seen: seen.execute_script(_IDLE))
    return chromium


def logged(browser: Chrome, kind: str) -> list[dict[str, str]]:
    lines: list[dict[str, str]] = browser.get_log(kind)  # type: ignore[no-untyped-call]
    return lines


def test_it_opens_without_errors_and_asks_nobody(browser: Chrome) -> None:
    said = [line for line in logged(browser, "browser") if line["level"] != "INFO"]
    assert said == []
    asked = [line["message"] for line in logged(browser, "performance")]
    assert any("Network.requestWillBeSent" in message for message in asked)
    assert not [message for message in asked if '"url":"http' in message]
    assert browser.title != "taken"


def test_it_is_no_wider_than_a_phone(browser: Chrome) -> None:
    width, inner = browser.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth];"
    )
    assert width <= inner


def test_the_slider_is_moved_by_keys_and_shows_another_picture(browser: Chrome) -> None:
    moment = browser.find_element(By.ID, "moment")
    image = browser.find_element(By.CSS_SELECTOR, "#grids img")
    told = browser.find_element(By.CSS_SELECTOR, "#grids output")
    before = image.get_attribute("src"), told.text
    assert told.text == "iteration 300, epoch 6.0, fd 3"
    moment.send_keys(Keys.ARROW_RIGHT)
    assert told.text == "iteration 350, epoch 7.0, fd 4"
    assert moment.get_attribute("aria-valuetext") == told.text
    assert image.get_attribute("src") != before[0]
    moment.send_keys(Keys.ARROW_LEFT)
    assert (image.get_attribute("src"), told.text) == before


def test_the_pointer_over_a_curve_shows_a_value(browser: Chrome) -> None:
    figure = browser.find_element(By.CSS_SELECTOR, ".figure")
    browser.execute_script("arguments[0].scrollIntoView();", figure)
    assert "fd" not in browser.execute_script(_SHADOWS)
    left, top = browser.execute_script(
        "const box = arguments[0].getBoundingClientRect(); return [box.left, box.top];", figure
    )
    for x in (200, 205):  # in the first panel, below the buttons
        actions = ActionBuilder(browser)
        actions.pointer_action.move_to_location(int(left) + x, int(top) + 150)  # type: ignore[no-untyped-call]
        actions.perform()
    WebDriverWait(browser, 20).until(lambda seen: "fd" in seen.execute_script(_SHADOWS))
