"""System calls that sandboxed processes may not make, as a program for the kernel's filter (seccomp).

None of these is of use to a process without privileges, and each opens a part of the kernel in which holes have been
found, or, like the keyrings, is shared by all sandboxes of a user. The numbers are those of the kernel's tables
(`arch/x86/entry/syscalls/syscall_64.tbl`, `include/uapi/asm-generic/unistd.h`).
"""

from __future__ import annotations

import errno
import platform
import socket
import struct
from dataclasses import dataclass

# Names to numbers on x86-64 and on 64-bit ARM; None where there is no such call.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "migrate_pages": (256, 238),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "uselib": (134, None),
    "vhangup": (153, 58),
}
_SOCKET_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
"""Families of sockets that may be made."""
_NETLINK, _ROUTE = 16, 0
"""Linux's AF_NETLINK may be used with the one protocol by which programs list their interfaces."""
_TERMINAL_REQUESTS = (0x5412, 0x541C)
"""`TIOCSTI` types into a terminal, `TIOCLINUX` pastes into one."""


@dataclass(frozen=True)
class _Machine:
    """What the filter needs to know of a kind of machine: its tag in the kernel, and numbers of calls."""

    tag: int
    column: int
    socket: int
    ioctl: int


_MACHINES = {"x86_64": _Machine(0xC000003E, 0, 41, 16), "aarch64": _Machine(0xC00000B7, 1, 198, 29)}
_FIRST_X32_CALL = 0x40000000
"""On x86-64, higher numbers are the same calls once more, in a form that hardly anything uses."""

# Instructions of the kernel's packet filter (linux/filter.h), and offsets in `struct seccomp_data`.
_LOAD, _JUMP_EQUAL, _JUMP_NOT_LESS, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _MACHINE, _FIRST_ARGUMENT, _SECOND_ARGUMENT, _THIRD_ARGUMENT = 0, 4, 16, 24, 32
_ALLOW, _FAIL_WITH = 0x7FFF0000, 0x00050000


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _fail(error: int) -> bytes:
    return _instruction(_RETURN, _FAIL_WITH | error)


def _unless_among(values: tuple[int, ...], otherwise: bytes) -> bytes:
    """Return instructions that allow the call if the loaded value is one of `values`, else end with `otherwise`."""
    tests = [_instruction(_JUMP_EQUAL, value, len(values) - place) for place, value in enumerate(values)]
    return b"".join([*tests, otherwise, _instruction(_RETURN, _ALLOW)])


def _if_among(values: tuple[int, ...], then: bytes) -> bytes:
    """Return instructions that end with `then` if the loaded value is one of `values`, else allow the call."""
    tests = [_instruction(_JUMP_EQUAL, value, len(values) - place) for place, value in enumerate(values)]
    return b"".join([*tests, _instruction(_RETURN, _ALLOW), then])


def _only_for(number: int, instructions: bytes) -> bytes:
    """Return instructions that are carried out if the call has this number; the number must be loaded."""
    return _instruction(_JUMP_EQUAL, number, 0, len(instructions) // 8) + instructions


def filter_program(machine_name: str | None = None, *, joining: bool = False) -> bytes | None:
    """Return the filter as bytes of `struct sock_filter`, or None for a kind of machine whose numbers are not known.

    Args:
        machine_name: As `platform.machine()` gives it; this machine unless given.
        joining: For a process that has yet to enter the namespaces of a sandbox (`setns`), which does not help one
            without privileges.
    """
    machine = _MACHINES.get(machine_name or platform.machine())
    if machine is None:
        return None
    names = _DENIED.keys() - ({"setns"} if joining else set())
    numbers = (_DENIED[name][machine.column] for name in sorted(names))
    denied = [number for number in numbers if number is not None]
    refuse = _fail(errno.EPERM)
    parts = [
        _instruction(_LOAD, _MACHINE),
        # Calls of another kind of machine, such as 32-bit programs make, have other numbers.
        _instruction(_JUMP_EQUAL, machine.tag, 1),
        _fail(errno.ENOSYS),
        _instruction(_LOAD, _NUMBER),
        _instruction(_JUMP_NOT_LESS, _FIRST_X32_CALL, 0, 1),
        _fail(errno.ENOSYS),
    ]
    parts += [_only_for(number, refuse) for number in denied]
    no_family, no_protocol = _fail(errno.EAFNOSUPPORT), _fail(errno.EPROTONOSUPPORT)
    netlink = _instruction(_LOAD, _THIRD_ARGUMENT) + _unless_among((_ROUTE,), no_protocol)
    families = _only_for(_NETLINK, netlink) + _unless_among(_SOCKET_FAMILIES, no_family)
    parts.append(_only_for(machine.socket, _instruction(_LOAD, _FIRST_ARGUMENT) + families))
    terminal = _instruction(_LOAD, _SECOND_ARGUMENT) + _if_among(_TERMINAL_REQUESTS, refuse)
    parts.append(_only_for(machine.ioctl, terminal))
    parts.append(_instruction(_RETURN, _ALLOW))
    return b"".join(parts)
