"""Write export/web/: a page on which the browser itself draws digits, for any static host.

Needs npm, for onnxruntime-web, and what `dvc repro export` makes.
"""

from pipeline.base.cli import Parser, UserError, corrupt, missing, run

if __name__ == "__main__":  # --help and wrong options first: the imports below take seconds
    run(Parser("web", __doc__).parse_args)

import base64
import hashlib
import shutil
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import onnxruntime

from pipeline.base.folders import folder_whole
from pipeline.base.paths import EXPORT, WEB
from pipeline.pages.browser.page import write_page
from pipeline.store.downloads import npm_tarball
from pipeline.store.outcome import read_outcome

MODEL = EXPORT / "generator.onnx"
PACKAGE = "onnxruntime-web@1.30.0"
# What `npm view onnxruntime-web@1.30.0 dist.integrity` tells, behind "sha512-".
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
# WebAssembly alone, its loader inside; as .js, because not every host knows what .mjs is.
LIBRARY = {
    "package/dist/ort.wasm.bundle.min.mjs": "ort.js",
    "package/dist/ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
}


def main() -> None:
    Parser("web", __doc__).parse_args()
    _check_model()
    outcome = read_outcome()
    with folder_whole(WEB) as folder:
        add_library(folder)
        shutil.copyfile(MODEL, folder / MODEL.name)
        write_page(folder, outcome)
        size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{WEB}: {size / 1e6:.0f} MB, to be served by any static host, or here:")
    print(f"    python -m http.server --directory {WEB} --bind 127.0.0.1 8000")
    print("and opened at http://127.0.0.1:8000/")


def _check_model() -> None:
    if not MODEL.is_file():
        raise missing(MODEL, "export")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is fatal is raised
    try:
        session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
    except Exception:  # onnxruntime raises many kinds for a broken file
        raise corrupt(MODEL, "export") from None
    shapes = {put.name: put.shape[1:] for put in (*session.get_inputs(), *session.get_outputs())}
    (latent_dim,) = shapes.pop("z", [None])[:1]
    told = shapes.pop("digit", [10])  # a conditional one has it
    if told != [10] or shapes != {"image": [1, 28, 28]} or not isinstance(latent_dim, int):
        raise corrupt(MODEL, "export")


def add_library(folder: Path) -> None:
    with TemporaryDirectory() as work:
        try:
            tarball = npm_tarball(PACKAGE, Path(work))
        except ValueError as error:
            raise UserError(
                f"{PACKAGE}: {error}; the page computes with it: install npm with Node.js, or set "
                "its registry, then `make web` again"
            ) from None
        digest = hashlib.sha512(tarball.read_bytes()).digest()
        if base64.b64encode(digest).decode() != SHA512:
            raise UserError(
                f"{PACKAGE}: the registry gave another file than the known one (wrong checksum); "
                "set npm to another registry"
            )
        with tarfile.open(tarball) as archive:
            for member, name in LIBRARY.items():
                source = archive.extractfile(member)
                assert source is not None, member  # noqa: S101 # the checksum says that it is there
                with source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target)


if __name__ == "__main__":
    run(main)
