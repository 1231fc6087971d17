"""What git carries of DVC's configuration holds no credentials."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.project import REPOSITORY

# DVC's own names for what only its owner may know: access_key_id, sas_token, password, ...
SECRETS = re.compile(
    r"""^\s*\S*(key_id|_key|secret|token|password|passphrase|connection_string|login)\S*\s*=
    | ://[^/\s]*:[^/\s]*@  # an address with a password
    """,
    re.VERBOSE | re.MULTILINE,
)


@pytest.mark.parametrize(
    "line",
    [
        "    access_key_id = AKIA0123",
        "    secret_access_key = hidden",
        "    session_token = hidden",
        "    password = hidden",
        "    url = https://me:hidden@host/store",
    ],
)
def test_a_credential_would_be_seen(line: str) -> None:
    assert SECRETS.search(f"[core]\n['remote \"storage\"']\n{line}\n")


def test_the_committed_configuration_holds_no_credentials() -> None:
    committed = (REPOSITORY / ".dvc/config").read_text()
    assert not SECRETS.search(committed)


def test_git_ignores_the_configuration_that_may_hold_them(tmp_path: Path) -> None:
    """By the file that every clone gets, whatever this machine ignores besides."""
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/.gitignore").write_bytes((REPOSITORY / ".dvc/.gitignore").read_bytes())
    (tmp_path / ".dvc/config.local").touch()
    status = ["git", "-c", "core.excludesFile=", "status", "--porcelain", "--untracked-files=all"]
    told = subprocess.run(status, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert told == "?? .dvc/.gitignore\n"
