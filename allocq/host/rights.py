"""Gives up the rights of root for good, so that who takes over a server gets nothing with it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import time
from dataclasses import dataclass

from ..errors import UsageError

OWN_USER, COMMON_USER = "allocq", "nobody"
# include/uapi/linux/prctl.h, capability.h
_PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP, _PR_CAP_AMBIENT = 38, 24, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_MOST_CAPABILITIES = 64
_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class User:
    """Whom to become."""

    name: str
    uid: int
    gid: int


def user_named(name: str | None) -> User:
    """The user of this name or number; by default `allocq` if there is one, else `nobody`.
    UsageError if there is no such user."""
    if name is None:
        with contextlib.suppress(KeyError):
            return _user(pwd.getpwnam(OWN_USER))
        name = COMMON_USER
    try:
        return _user(pwd.getpwnam(name))
    except (KeyError, ValueError):
        pass
    if name.isascii() and name.isdecimal() and int(name) < (1 << 32) - 1:
        with contextlib.suppress(KeyError):
            return _user(pwd.getpwuid(int(name)))
        return User(name, int(name), int(name))
    quoted = name or "''"
    raise UsageError(f"no such user: {quoted}", "name another with --user")


def _user(entry: pwd.struct_passwd) -> User:
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def drop_rights(user: User | None) -> None:
    """Become `user` (None: the same user), without groups, capabilities and a way back.

    OSError if anything of that fails; the process must then end.
    """
    _alone()
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(_MOST_CAPABILITIES):
        # Beyond the last one: EINVAL. Without CAP_SETPCAP: EPERM, and below nothing is left to
        # which the bounding set could give anything.
        if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break
    if user is not None:
        os.setgroups([])
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    _checked(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _checked(libc.capset(header, (ctypes.c_uint32 * 6)()))


def _checked(result: int) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _alone() -> None:
    """Wait until there is no other thread: capabilities are those of a thread."""
    end = time.monotonic() + _PATIENCE
    while len(os.listdir("/proc/self/task")) > 1:
        if time.monotonic() > end:
            raise OSError("another thread is running")
        time.sleep(0.001)
