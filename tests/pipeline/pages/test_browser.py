"""The pages in a headless Chromium, opened from disk."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.pipeline.pages.conftest import headless

pytestmark = pytest.mark.slow
# The words of Bokeh's tooltips; they lie in shadow roots, which no selector sees.
_SHADOWS = """
const found = [];
const look = (root) => {
  for (const element of root.querySelectorAll("*")) {
    if (element.classList.contains("bk-tooltip-content")) found.push(element.textContent);
    if (element.shadowRoot) look(element.shadowRoot);
  }
};
look(document);
return found.join(" ");
"""
# Where in the window a value of a kind of curves is drawn.
_PLACE = """
const [kind, x, y] = arguments;
const view = [...Bokeh.index].find((v) => v.model.renderers?.some((r) => r.name === kind));
view.el.scrollIntoView();
const { left, top } = view.el.getBoundingClientRect();
return [left + view.frame.x_scale.compute(x), top + view.frame.y_scale.compute(y)];
"""
_VISIBLE = """
const models = [...Bokeh.documents].flatMap((page) => [...page.all_models]);
return models.filter((model) => model.name === "cut").map((model) => model.visible);
"""
_IDLE = "return Bokeh.documents.length > 0 && Bokeh.documents.every((page) => page.is_idle);"


@contextlib.contextmanager
def opened(page: bytes, folder: Path) -> Iterator[Chrome]:
    file = folder / "report.html"
    file.write_bytes(page)
    with headless() as driver:
        driver.get(file.as_uri())
        WebDriverWait(driver, 60).until(lambda seen: seen.execute_script(_IDLE))
        yield driver


@pytest.fixture(scope="module")
def run(page: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with opened(page, tmp_path_factory.mktemp("page")) as driver:
        yield driver


@pytest.fixture(scope="module")
def sweep(sweep_page: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with opened(sweep_page, tmp_path_factory.mktemp("page")) as driver:
        yield driver


@pytest.fixture(scope="module", params=["run", "sweep"])
def browser(request: pytest.FixtureRequest) -> Chrome:
    driver: Chrome = request.getfixturevalue(request.param)
    return driver


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


def test_the_slider_is_moved_by_keys_and_shows_another_picture(run: Chrome) -> None:
    moment = run.find_element(By.ID, "moment")
    image = run.find_element(By.CSS_SELECTOR, "#grids img")
    told = run.find_element(By.CSS_SELECTOR, "#grids output")
    before = image.get_attribute("src"), told.text
    assert told.text == "iteration 300, epoch 6.0, fd 3"
    moment.send_keys(Keys.ARROW_RIGHT)
    assert told.text == "iteration 350, epoch 7.0, fd 4"
    assert moment.get_attribute("aria-valuetext") == told.text
    assert image.get_attribute("src") != before[0]
    moment.send_keys(Keys.ARROW_LEFT)
    assert (image.get_attribute("src"), told.text) == before


def point_at(browser: Chrome, x: float, y: float) -> None:
    """Move the pointer to a place of the window, from beside it."""
    for away in (5, 0):
        actions = ActionBuilder(browser)
        actions.pointer_action.move_to_location(int(x) + away, int(y))  # type: ignore[no-untyped-call]
        actions.perform()


def test_the_pointer_over_a_curve_shows_a_value(run: Chrome) -> None:
    figure = run.find_element(By.CSS_SELECTOR, ".figure")
    run.execute_script("arguments[0].scrollIntoView();", figure)
    assert "fd" not in run.execute_script(_SHADOWS)
    left, top = run.execute_script(
        "const box = arguments[0].getBoundingClientRect(); return [box.left, box.top];", figure
    )
    point_at(run, left + 200, top + 150)  # in the first panel, below the buttons
    WebDriverWait(run, 20).until(lambda seen: "fd" in seen.execute_script(_SHADOWS))


def test_the_pointer_over_a_trial_tells_which_it_is(sweep: Chrome) -> None:
    assert "complete" not in sweep.execute_script(_SHADOWS)
    point_at(sweep, *sweep.execute_script(_PLACE, "to its end", 2, 7.5))
    WebDriverWait(sweep, 20).until(lambda seen: "7.5" in seen.execute_script(_SHADOWS))
    told = sweep.execute_script(_SHADOWS)
    for words in ("0, complete", "stable", "lr_g 0.001, lr_d 0.0005", "epoch"):
        assert words in told


def test_a_box_hides_its_curves_by_key(sweep: Chrome) -> None:
    seen = [sweep.execute_script(_VISIBLE)]
    for _ in range(2):
        sweep.find_element(By.CSS_SELECTOR, "[data-kind=cut]").send_keys(Keys.SPACE)
        seen.append(sweep.execute_script(_VISIBLE))
    assert seen == [[True, True], [False, False], [True, True]]


def test_a_heading_orders_the_trials_by_key_and_empty_cells_stay_last(sweep: Chrome) -> None:
    def numbers() -> list[int]:
        cells = sweep.find_elements(By.CSS_SELECTOR, ".sortable tbody td:first-child")
        return [int(cell.text) for cell in cells]

    def order_by(title: str) -> None:
        sweep.find_element(By.XPATH, f"//th[contains(., '{title}')]/button").send_keys(Keys.ENTER)

    assert numbers() == [1, 3, 0, 2, 4, 5, 6]  # by fd, as it was written
    for wanted in ([0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0]):
        order_by("trial")
        assert numbers() == wanted
    for wanted in ([1, 3, 0, 2, 6, 5, 4], [2, 0, 3, 1, 6, 5, 4]):
        order_by("best fd")
        assert numbers() == wanted
