"""The page, served as a static host does, below a path of its own."""

import dataclasses
import functools
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.base.cli import UserError
from pipeline.pages.browser.page import write_page
from pipeline.store.outcome import Outcome
from pipeline.web import add_library
from tests.pipeline.pages.conftest import BEST, LENGTH

BELOW = "some/where"


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """onnxruntime-web, as the command takes it from npm."""
    folder: Path = tmp_path_factory.mktemp("library")
    try:
        add_library(folder)
    except UserError as error:
        pytest.skip(str(error))
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which all in it is served."""
    root: Path = tmp_path_factory.mktemp("served")
    handler = functools.partial(_Silent, directory=str(root))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield root, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def publish(
    served: tuple[Path, str], library: Path, outcome: Outcome
) -> Callable[[str, bytes], tuple[Path, str]]:
    """Puts a page with a model where it is served; tells its folder and its address."""

    def put(name: str, model: bytes) -> tuple[Path, str]:
        root, address = served
        folder = shutil.copytree(library, root / BELOW / name)
        (folder / "generator.onnx").write_bytes(model)
        network, _ = outcome.best
        about = {"epoch": BEST, "step": BEST * LENGTH}
        write_page(folder, dataclasses.replace(outcome, best=(network, about)))
        return folder, f"{address}/{BELOW}/{name}/"

    return put
