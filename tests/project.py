"""A temporary clone of this project, small enough for its stages to run in seconds."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.idx import write_idx_dataset

REPOSITORY = Path(__file__).resolve().parent.parent

SMALL: dict[str, dict[str, Any]] = {
    "runtime": {"threads": 1},
    "data": {"source": "path", "verify": False},
    "judge": {"epochs": 3, "batch_size": 20, "min_accuracy": 0.3},
    "measure": {"num_samples": 200, "num_training_samples": 200, "num_neighbour_samples": 100},
    "train": {
        "width": 2,
        "batch_size": 16,
        "epochs": 3,
        "steps_per_epoch": 20,
        "sample_every": 8,
        "raw_every": 1,
    },
}


class Checkout:
    """A working tree of this project in `folder`, and commands that run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def environment(self) -> dict[str, str]:
        """This interpreter's `python` first, nothing of DVC, MLflow or a cloud from outside."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "DVC_", "MLFLOW_", "GIT_", "PYTHONPATH"))
        }
        return kept | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DVC_SITE_CACHE_DIR": str(self.folder.parent / "dvc-site"),
            "GIT_AUTHOR_NAME": "Test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "Test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
        }

    def set_params(self, changes: dict[str, dict[str, Any]]) -> None:
        """Change values of params.yaml in place."""
        yaml = YAML()
        file = self.folder / "params.yaml"
        values = yaml.load(file)
        for section, pairs in changes.items():
            values[section].update(pairs)
        yaml.dump(values, file)

    def start(self, *command: str, **environment: str) -> "subprocess.Popen[str]":
        """Start a command in the clone; its output is one text."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str, expect: int = 0, **environment: str) -> str:
        """Run a command in the clone and return its output; its exit status is checked."""
        process = self.start(*command, **environment)
        output, _ = process.communicate(timeout=600)
        assert process.returncode == expect, f"{command} gave {process.returncode}:\n{output}"
        return output

    def python(self, module: str, *arguments: str, expect: int = 0, **environment: str) -> str:
        """Run `python -m module arguments` in the clone."""
        return self.run("python", "-m", module, *arguments, expect=expect, **environment)

    def query(self, sql: str, *values: str) -> list[Any]:
        """Rows of the clone's MLflow database; a list of values where there is one column."""
        with sqlite3.connect(self.folder / "mlflow.db") as database:
            found = database.execute(sql, values).fetchall()
        return [row[0] if len(row) == 1 else row for row in found]


class Project(Checkout):
    """A clone in `folder`, committed, with synthetic digits and small parameters."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listing, cwd=REPOSITORY, capture_output=True, check=True).stdout
        for name in names.decode().split("\0"):
            if name and (REPOSITORY / name).exists() and not name.startswith(("docs/", "reports/")):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, folder / name)
        (folder / "dvc.lock").unlink(missing_ok=True)
        digits = write_idx_dataset(folder.parent / f"{folder.name}-digits", train=400, test=200)
        self.set_params(SMALL)
        self.set_params({"data": {"path": str(digits)}})
        for command in ("git init -q", "git add -A", "git commit -qm start"):
            self.run(*command.split())
