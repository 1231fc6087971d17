"""Data, models and experiments travel between clones through git and a DVC remote."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.project import Checkout, Project
from tests.s3 import BUCKET, S3, s3

pytestmark = pytest.mark.slow

EXPERIMENT = "small-steps"


@dataclass(frozen=True)
class Shared:
    """A project that has run an experiment and pushed it, and where it pushed to."""

    project: Project
    repository: Path  # bare
    bucket: S3

    def run(self, *commands: str) -> None:
        """Run commands in the project, with the credentials in the environment."""
        for command in commands:
            self.project.run(*command.split(), expect=0, **self.bucket.environment)

    def clone(self, name: str) -> Checkout:
        """What another person has after `git clone`: of DVC, the files of git alone."""
        folder = self.repository.parent / name / "project"
        folder.mkdir(parents=True)
        clone = Checkout(folder)
        clone.run("git", "clone", "--quiet", str(self.repository), ".")
        return clone


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    root = tmp_path_factory.mktemp("sharing")
    repository = root / "repository.git"
    project = Project(root / "first/project")
    project.set_params({"train": {"epochs": 1}})
    with s3() as bucket:
        shared = Shared(project, repository, bucket)
        shared.run(
            f"dvc remote add --default experiments s3://{BUCKET}/experiments",
            f"dvc remote modify experiments endpointurl {bucket.address}",
            f"dvc remote add bucket s3://{BUCKET}/project",
            f"dvc remote modify bucket endpointurl {bucket.address}",
            f"dvc remote add folder {root / 'folder'}",
            "git commit --quiet --all --message baseline",
            f"git init --quiet --bare {repository}",
            f"git --git-dir {repository} symbolic-ref HEAD refs/heads/main",
            f"git remote add origin {repository}",
            "git tag baseline",
            "git push --quiet origin HEAD:main baseline",
            f"dvc exp run --name {EXPERIMENT} --set-param train.lr_g=0.003",
            f"dvc exp push origin {EXPERIMENT}",
        )
        # From here on, who wants the digits has to get them from a remote.
        (root / "first/project-digits").rename(root / "gone")
        yield shared


@pytest.fixture(scope="module")
def colleague(shared: Shared) -> Checkout:
    """A clone without the result that has got the experiment; its credentials are in a file."""
    clone = shared.clone("colleague")
    clone.run("git", "checkout", "--quiet", "baseline")
    for option, value in (
        ("access_key_id", shared.bucket.key),
        ("secret_access_key", shared.bucket.secret),
    ):
        clone.run("dvc", "remote", "modify", "--local", "experiments", option, value)
    assert EXPERIMENT in clone.run("dvc", "exp", "list", "origin")
    clone.run("dvc", "exp", "pull", "origin", EXPERIMENT)
    clone.run("dvc", "exp", "apply", EXPERIMENT)
    return clone


@pytest.fixture(scope="module")
def committed(shared: Shared) -> Shared:
    """What the experiment left, as the project's result: committed, and pushed twice."""
    shared.run(
        "git add --all",
        "git commit --quiet --message result",
        "git push --quiet origin HEAD:main",
        "dvc push --remote bucket",
        "dvc push --remote folder",
    )
    return shared


def outputs(checkout: Checkout) -> dict[str, bytes]:
    """All that the stages left, by name."""
    return {
        str(file.relative_to(checkout.folder)): file.read_bytes()
        for folder in ("data", "models", "reports", "export")
        for file in sorted((checkout.folder / folder).rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    }


def assert_has_all_and_nothing_to_do(checkout: Checkout, shared: Shared) -> None:
    expected = outputs(shared.project)
    assert {
        "data/mnist/train-images-idx3-ubyte",
        "models/judge.safetensors",
        "models/generator_best.safetensors",
        "reports/metrics.json",
        "reports/report.html",
        "export/generator.onnx",
    } <= expected.keys()
    assert outputs(checkout) == expected
    told = checkout.run("dvc", "repro")
    assert "Running stage" not in told
    assert told.count("didn't change, skipping") == 5


def test_an_experiment_arrives_in_another_clone_bit_for_bit(
    shared: Shared, colleague: Checkout
) -> None:
    assert_has_all_and_nothing_to_do(colleague, shared)
    assert "lr_g: 0.003" in (colleague.folder / "params.yaml").read_text()


@pytest.mark.parametrize("remote", ["folder", "bucket"])
def test_a_fresh_clone_pulls_all_and_has_nothing_to_do(committed: Shared, remote: str) -> None:
    clone = committed.clone(f"fresh-{remote}")
    assert "models/generator_best.safetensors" not in outputs(clone)
    clone.run("dvc", "pull", "--remote", remote, expect=0, **committed.bucket.environment)
    assert_has_all_and_nothing_to_do(clone, committed)
    assert clone.run("git", "status", "--porcelain") == ""


@pytest.mark.parametrize("wrong", ["secret", "bucket", "address"])
def test_a_push_that_cannot_work_fails_and_shows_no_secret(shared: Shared, wrong: str) -> None:
    bucket = "no-such-bucket" if wrong == "bucket" else BUCKET
    address = "http://127.0.0.1:1" if wrong == "address" else shared.bucket.address
    secret = "w" * 40 if wrong == "secret" else shared.bucket.secret
    dvc, name = shared.project.run, f"wrong-{wrong}"
    dvc("dvc", "remote", "add", "--local", name, f"s3://{bucket}/elsewhere")
    dvc("dvc", "remote", "modify", "--local", name, "endpointurl", address)
    push = shared.project.start(
        *("dvc", "push", "--remote", name, "models/judge.safetensors"),
        **shared.bucket.environment | {"AWS_SECRET_ACCESS_KEY": secret, "AWS_MAX_ATTEMPTS": "1"},
    )
    told, _ = push.communicate(timeout=120)
    assert push.returncode != 0
    assert "ERROR" in told
    assert secret not in told


def test_the_secret_is_in_the_local_configuration_and_nowhere_else(
    committed: Shared, colleague: Checkout
) -> None:
    """The stages ran and everything was pushed with the credentials at hand."""
    secret = committed.bucket.secret
    forms = {secret.encode(), quote(secret, safe="").encode()}
    root = committed.repository.parent
    files = (Path(folder, name) for folder, _, names in os.walk(root) for name in names)
    holding = [file for file in files if any(form in file.read_bytes() for form in forms)]
    assert holding == [colleague.folder / ".dvc/config.local"]
    assert colleague.run("git", "check-ignore", ".dvc/config.local").strip()
    for folder in (committed.project.folder, colleague.folder, committed.repository):
        listing = ["git", "cat-file", "--batch-all-objects", "--batch"]
        objects = subprocess.run(listing, cwd=folder, capture_output=True, check=True).stdout
        assert b"lr_g: 0.003" in objects  # so much of the experiment is there to be read
        assert not any(form in objects for form in forms)
