"""Files that appear whole or not at all."""

import secrets
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file with the rights that the umask grants; what is no plain file is written to.

    Raises OSError where that cannot be; nothing half-written is left.
    """
    try:
        _write(path, content)
    except OSError as error:
        # A full disk does not say of what, and a folder that is closed names a file beside it.
        error.filename = str(path)
        raise


def _write(path: Path, content: bytes) -> None:
    if path.exists() and not path.is_file():  # such as /dev/stdout, which must not be replaced
        path.write_bytes(content)
        return
    path = path.resolve()  # through a link, which stays one
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.with_name(f".{path.name[:80]}.{secrets.token_hex(8)}")
    try:
        with name.open("xb") as file:  # with the permissions that the umask leaves
            file.write(content)
        name.replace(path)
    except BaseException:
        name.unlink(missing_ok=True)
        raise
