"""What the documentation names exists, and its lines of code run."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    page.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "src/*/*.md", "deploy/*.md")
    for page in ROOT.glob(pattern)
)


def text(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def headings(page: Path) -> set[str]:
    """The addresses that GitHub gives to a page's headings."""
    titles = re.findall(r"^#+ (.*)$", text(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """File and heading of every relative link and picture of a page."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if not re.match(r"[a-z]+:", target):
            name, _, heading = target.partition("#")
            yield (ROOT / page.parent / name).resolve() if name else ROOT / page, heading


def test_there_are_pages_with_links() -> None:
    assert Path("README.md") in PAGES
    assert len([*links(Path("README.md"))]) > 10


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target, heading in links(page):
        assert target.exists(), target
        assert not heading or heading in headings(target.relative_to(ROOT)), heading


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_command_and_target_exists(page: Path) -> None:
    for name in re.findall(r"python -m ((?:pipeline|benchmarks)\.[a-z_]+)", text(page)):
        place = ROOT / name.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), name
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = re.findall(r"(?:^    |`)make ((?:[a-z-]+ ?)+)", text(page), flags=re.MULTILINE)
    assert {target for line in named for target in line.split()} <= targets


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_python_file_named_in_the_text_exists(page: Path) -> None:
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    output = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [f"/{file}" for file in output.splitlines() if (ROOT / file).exists()]
    for name in re.findall(r"(?:`|\btests/|\bsrc/)([\w/.-]+\.py)\b", text(page)):
        assert any(file.endswith(f"/{name}") for file in files), name


def test_the_loop_in_the_readme_ends_a_training_that_goes_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", text(Path("README.md")), flags=re.DOTALL)
    fids, saved = iter([9.0, 7, 5, 4, 3, 3, 3, 3, *[300.0] * 12]), list[int]()

    def train_step(batch: int) -> tuple[float, float]:
        return 0.69 + 0.01 * (batch % 7), 0.7 + 0.01 * (batch % 5)

    monkeypatch.chdir(tmp_path)
    names = {"batches": range(20_000), "train_step": train_step, "save_weights": saved.append}
    exec(code, names | {"measure_samples": fids.__next__})  # noqa: S102
    assert next(fids) == 300.0  # it ended before all were measured
    assert saved == [1000, 2000, 3000, 4000, 5000]
    assert capsys.readouterr().out.startswith("5000 ")
