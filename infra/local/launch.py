"""Run as a script: become another program that dies when the stack's process does.

launch.py PARENT_PID SIGNAL USER COMMAND...; USER is - to stay who we are.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1


def become(user: str) -> None:
    """Drop root's rights."""
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def die_with(parent: int, signal: int) -> None:
    """Have the kernel end this process when its parent ends, however that happens (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal)
    if os.getppid() != parent:  # it ended before we asked
        sys.exit(1)


def main() -> None:
    parent, signal, user, *command = sys.argv[1:]
    if user != "-":
        become(user)
    die_with(int(parent), int(signal))  # after `become`, which would reset it
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
