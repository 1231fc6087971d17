"""The page in a headless Chromium, served below a path as by any static host."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.special import ndtr
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from dcgan.networks import Generator
from pipeline.export import export
from pipeline.generate import walk
from tests.onnx_models import LATENT_DIM, conditional, plain
from tests.pipeline.pages.conftest import BEST, EPOCHS

pytestmark = pytest.mark.slow
Publish = Callable[[str, bytes], tuple[Path, str]]
Picture = NDArray[np.uint8]

_DRAW = """
const [noise, digits, done] = arguments;
ganverdict.draw(noise, digits).then((pixels) => done(Array.from(pixels)), (e) => done(`${e}`));
"""
_WALK = """
const [from, to, shares] = arguments;
return shares.map((share) => Array.from(ganverdict.uniform(ganverdict.between(from, to, share))));
"""


@pytest.fixture(scope="module")
def plain_address(publish: Publish) -> str:
    return publish("plain", plain())[1]


@pytest.fixture(scope="module")
def conditional_address(publish: Publish) -> str:
    return publish("conditional", conditional())[1]


def opened(browser: Chrome, address: str) -> Chrome:
    browser.get(address)
    wait(browser, lambda: "ms an image" in named(browser, "told").text)
    return browser


def wait(browser: Chrome, come: Callable[[], object]) -> None:
    WebDriverWait(browser, 60, 0.05).until(lambda _: come())


def named(browser: Chrome, name: str) -> WebElement:
    return browser.find_element(By.ID, name)


def logged(browser: Chrome, kind: str) -> list[dict[str, str]]:
    lines: list[dict[str, str]] = browser.get_log(kind)  # type: ignore[no-untyped-call]
    return lines


def picture(browser: Chrome) -> Picture:
    """What is drawn now, uint8 [H, W]."""
    address = browser.execute_script("return document.getElementById('grid').toDataURL();")
    return grey(base64.b64decode(address.partition(",")[2]))


def grey(png: bytes) -> Picture:
    colours = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))
    assert (colours[..., 3] == 255).all()
    assert (colours[..., :1] == colours[..., :3]).all()
    return colours[..., 0]


def tiles(drawn: Picture) -> Picture:
    """The images of a grid, uint8 [rows, 8, 28, 28]."""
    wide = np.pad(drawn, ((0, 2), (0, 2)))
    rows = wide.reshape(len(wide) // 30, 30, 8, 30).transpose(0, 2, 1, 3)
    assert not rows[:, :, 28:].any()
    assert not rows[:, :, :, 28:].any()
    return rows[:, :, :28, :28]


def exported(folder: Path) -> bytes:
    """The stage's own export of a network whose images differ."""
    network = Generator(2, LATENT_DIM, 0.0).eval()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in network.parameters():
            weights.normal_(0, 0.5, generator=rng)
    export(network, folder)
    return (folder / "generator.onnx").read_bytes()


def test_it_opens_without_errors_and_asks_nobody_else(chromium: Chrome, plain_address: str) -> None:
    for kind in ("browser", "performance"):
        logged(chromium, kind)
    opened(chromium, plain_address)
    assert [line for line in logged(chromium, "browser") if line["level"] != "INFO"] == []
    events = [json.loads(line["message"])["message"] for line in logged(chromium, "performance")]
    asked = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    asked = {url for url in asked if not url.startswith("data:")}
    assert {f"{plain_address}{name}" for name in ("", "ort.js", "generator.onnx")} < asked
    assert [url for url in asked if not url.startswith(plain_address)] == []
    assert not named(chromium, "trouble").is_displayed()
    assert f"epoch {BEST} of {EPOCHS}" in chromium.find_element(By.TAG_NAME, "main").text


@pytest.mark.parametrize("kind", ["plain", "conditional", "exported"])
def test_an_image_is_what_onnxruntime_computes(
    chromium: Chrome, publish: Publish, tmp_path: Path, kind: str
) -> None:
    if kind == "exported":
        model = exported(tmp_path)
    else:
        model = {"plain": plain, "conditional": conditional}[kind](seed=1)
    opened(chromium, publish(f"same-{kind}", model)[1])
    inputs: dict[str, Any] = {
        "z": np.random.default_rng(2).uniform(-1, 1, (20, LATENT_DIM)).astype(np.float32)
    }
    digits = np.arange(20) % 10 if kind == "conditional" else None
    if digits is not None:
        inputs["digit"] = np.eye(10, dtype=np.float32)[digits]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (wanted,) = session.run(["image"], inputs)
    chosen = None if digits is None else digits.tolist()
    drawn = chromium.execute_async_script(_DRAW, inputs["z"].tolist(), chosen)
    assert wanted.std() > 0.05
    assert np.abs(np.array(drawn).reshape(wanted.shape) - wanted).max() < 1e-3


def test_a_click_or_a_key_draws_other_digits(chromium: Chrome, plain_address: str) -> None:
    opened(chromium, plain_address)
    seen = [picture(chromium)]
    assert tiles(seen[0]).shape == (8, 8, 28, 28)
    for act in (
        named(chromium, "grid").click,
        named(chromium, "new").click,
        lambda: named(chromium, "new").send_keys(Keys.ENTER),
    ):
        act()
        wait(chromium, lambda: not np.array_equal(picture(chromium), seen[-1]))
        seen.append(picture(chromium))
    assert len({drawn.tobytes() for drawn in seen}) == 4


def test_digits_can_be_chosen_of_a_conditional_model_alone(
    chromium: Chrome, plain_address: str, conditional_address: str
) -> None:
    opened(chromium, plain_address)
    assert not named(chromium, "choice").is_displayed()
    opened(chromium, conditional_address)
    buttons = named(chromium, "choice").find_elements(By.TAG_NAME, "button")
    assert [button.text for button in buttons] == ["all", *"0123456789"]

    def pressed() -> list[str]:
        return [b.text for b in buttons if b.get_attribute("aria-pressed") == "true"]

    def levels() -> Picture:
        means: NDArray[np.float64] = tiles(picture(chromium)).mean((2, 3))
        return (means / 25.6).astype(np.uint8)

    assert pressed() == ["all"]
    everything = tiles(picture(chromium)).astype(int)
    assert np.array_equal(levels(), np.arange(10)[:, None].repeat(8, 1))
    # A column has one noise: but for the digit's level, it is the same from row to row.
    assert np.abs(everything - everything[:1] - 25.5 * np.arange(10)[:, None, None, None]).max() < 2
    assert np.abs(everything[:, 1:] - everything[:, :-1]).max() > 5
    buttons[4].send_keys(Keys.SPACE)
    wait(chromium, lambda: np.array_equal(levels(), np.full((8, 8), 3)))
    assert pressed() == ["3"]
    assert np.abs(tiles(picture(chromium)).astype(int)[0] - everything[3]).max() == 0
    named(chromium, "walk").click()
    before = picture(chromium)
    wait(chromium, lambda: not np.array_equal(picture(chromium), before))
    assert (levels() == 3).all()


def test_a_walk_goes_on_until_it_is_stopped(chromium: Chrome, plain_address: str) -> None:
    opened(chromium, plain_address)
    button = named(chromium, "walk")
    button.click()
    seen = [picture(chromium)]
    for _ in range(4):
        wait(chromium, lambda: not np.array_equal(picture(chromium), seen[-1]))
        seen.append(picture(chromium))
    assert button.text == "Stop"
    button.click()
    assert button.text == "Walk"
    chromium.execute_async_script("setTimeout(arguments[0], 300);")  # a frame may be on its way
    stands = picture(chromium)
    chromium.execute_async_script("setTimeout(arguments[0], 300);")
    assert np.array_equal(picture(chromium), stands)


def test_a_walk_s_steps_are_those_of_the_command(chromium: Chrome, plain_address: str) -> None:
    opened(chromium, plain_address)
    ends = np.random.default_rng(0).normal(size=(2, 200))
    start, end = 2 * ndtr(ends) - 1
    wanted = np.array([*walk(start, end, 5)])
    shares = np.linspace(0, 1, 5).tolist()
    steps = chromium.execute_script(_WALK, *ends.tolist(), shares)
    assert np.abs(np.array(steps) - wanted).max() < 1e-6


def test_noise_is_drawn_as_for_the_training(chromium: Chrome, plain_address: str) -> None:
    opened(chromium, plain_address)
    noise = chromium.execute_script(
        "return Array.from(ganverdict.uniform(ganverdict.normals(20_000)));"
    )
    assert np.abs(noise).max() <= 1
    shares, _ = np.histogram(noise, bins=10, range=(-1, 1))
    assert np.abs(shares / len(noise) - 0.1).max() < 0.015  # seven deviations
    assert abs(np.corrcoef(noise[::2], noise[1::2])[0, 1]) < 0.07


def test_what_is_saved_is_what_is_drawn(
    chromium: Chrome, plain_address: str, tmp_path: Path
) -> None:
    chromium.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    opened(chromium, plain_address)
    named(chromium, "save").click()
    file = tmp_path / "digits.png"
    wait(chromium, file.exists)
    assert np.array_equal(grey(file.read_bytes()), picture(chromium))


def test_the_replay_starts_at_the_best_and_plays_to_the_end(
    chromium: Chrome, plain_address: str
) -> None:
    opened(chromium, plain_address)
    assert not named(chromium, "moment").is_displayed()
    named(chromium, "draw-tab").send_keys(Keys.ARROW_RIGHT)
    assert not named(chromium, "grid").is_displayed()
    assert named(chromium, "replay-tab").get_attribute("aria-selected") == "true"
    moment, play = named(chromium, "moment"), named(chromium, "play")
    told = chromium.find_element(By.CSS_SELECTOR, "#grids output")
    image = chromium.find_element(By.CSS_SELECTOR, "#grids img")
    assert f"epoch {BEST}.0" in told.text
    first = image.get_attribute("src")
    play.click()
    assert play.text == "Stop"
    wait(chromium, lambda: play.text == "Play")
    assert moment.get_attribute("value") == moment.get_attribute("max")
    assert f"epoch {EPOCHS}.0" in told.text
    assert image.get_attribute("src") != first
    play.send_keys(Keys.ENTER)  # from the end, it begins anew
    assert play.text == "Stop"
    moment.send_keys(Keys.ARROW_RIGHT)  # somebody takes it in hand
    assert play.text == "Play"


def test_it_is_no_wider_than_a_phone(chromium: Chrome, conditional_address: str) -> None:
    opened(chromium, conditional_address)
    for tab in ("draw-tab", "replay-tab"):
        named(chromium, tab).click()
        width, inner = chromium.execute_script(
            "return [document.documentElement.scrollWidth, window.innerWidth];"
        )
        assert width <= inner


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("generator.onnx", "The model could not be loaded or computed: generator.onnx: 404"),
        ("ort.js", "The model could not be loaded or computed: "),
        ("ort-wasm-simd-threaded.wasm", "The model could not be loaded or computed: "),
        ("model.js", "The page's scripts could not be loaded"),
    ],
)
def test_what_is_missing_is_said_in_a_line(
    chromium: Chrome, publish: Publish, lost: str, words: str
) -> None:
    folder, address = publish(f"without-{lost}", plain())
    (folder / lost).unlink()
    chromium.get(address)
    trouble = named(chromium, "trouble")
    wait(chromium, trouble.is_displayed)
    assert trouble.text.startswith(words)
    assert named(chromium, "told").text == ""
    assert not named(chromium, "new").is_enabled()


def test_a_page_opened_from_disk_says_how_to_serve_it(chromium: Chrome, publish: Publish) -> None:
    folder, _ = publish("from-disk", plain())
    chromium.get((folder / "index.html").as_uri())
    trouble = named(chromium, "trouble")
    wait(chromium, trouble.is_displayed)
    assert "python -m http.server --directory export/web --bind 127.0.0.1 8000" in trouble.text
    told = chromium.find_element(By.CSS_SELECTOR, "#grids output")
    before = told.text
    named(chromium, "moment").send_keys(Keys.HOME)  # the replay needs no model
    assert told.text != before
