"""The folder of a stack's data, held by one stack at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from infra.local.children import CannotStart


@contextlib.contextmanager
def held(folder: Path) -> Iterator[Path]:
    """The folder, made if need be; raises CannotStart while another stack uses it.

    The kernel drops the lock with its holder, so a killed stack leaves none behind.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise CannotStart(
            f"the data folder {folder} cannot be used: {error.strerror}; name another with --data"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotStart(
                f"another `baton dev` (process {lock.read().strip()}) uses {folder}: "
                "stop it, or name another folder with --data"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield folder
