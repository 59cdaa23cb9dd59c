"""System calls that hostile code must not get to the kernel's code for, each made as it would succeed.

A program for the inside of a sandbox that also says, to whoever imports it, what there is to try. Each call is made in
a process of its own, with arguments that are right: a call that fails for its arguments has been let in.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import struct
import sys
from collections.abc import Callable

_library = ctypes.CDLL(None, use_errno=True)

CLONE_NEWTIME, CLONE_NEWNS, CLONE_NEWCGROUP = 0x80, 0x20000, 0x2000000
CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER = 0x4000000, 0x8000000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
SIGCHLD = 17


def system_call(number: int, *arguments: object) -> int:
    """Make a call (numbers are those of x86_64).

    Raises:
        OSError: if it fails.
    """
    ctypes.set_errno(0)
    converted = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    result = int(_library.syscall(ctypes.c_long(number), *converted))
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _number(number: int, *arguments: object) -> Callable[[], object]:
    return lambda: system_call(number, *arguments)


def _zeroes(size: int) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(size)


def _clone_with(flags: int) -> None:
    # As `fork`, so that the child shares nothing with this process that it could break.
    if system_call(56, flags | SIGCHLD, 0, 0, 0, 0) == 0:
        os._exit(0)


def _clone3_with(flags: int) -> None:
    arguments = ctypes.create_string_buffer(struct.pack("11Q", flags, 0, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, 0))
    if system_call(435, arguments, 88) == 0:
        os._exit(0)


def _enter(namespace: str) -> None:
    # One's own and that of the first process; entering the former is an error of its own for users and times.
    system_call(308, os.open(f"/proc/self/ns/{namespace}", os.O_RDONLY), 0)


def _handle(path: bytes) -> ctypes.Array[ctypes.c_char]:
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    system_call(303, -100, path, handle, ctypes.byref(ctypes.c_int()), 0)
    return handle


def _open_by_handle() -> None:
    try:
        handle = _handle(b"/workspace")
    except OSError:
        handle = ctypes.create_string_buffer(struct.pack("IiQ", 8, 1, 2) + bytes(128))  # the root of an ext4
    system_call(304, os.open("/workspace", os.O_RDONLY), handle, os.O_RDONLY)


def _new_mount() -> None:
    system_call(165, b"none", b"/workspace", b"tmpfs", 0, None)


def _bind_mount() -> None:
    system_call(165, b"/workspace", b"/tmp", None, 4096, None)


def _remount() -> None:
    system_call(165, None, b"/usr", None, 32 | 4096, None)  # MS_REMOUNT | MS_BIND without MS_RDONLY


def _program_in_the_kernel() -> None:
    # A socket filter of two instructions: r0 = 0; exit.
    instructions = ctypes.create_string_buffer(struct.pack("BBhi", 0xB7, 0, 0, 0) + struct.pack("BBhi", 0x95, 0, 0, 0))
    text = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack("IIQQ", 1, 2, ctypes.addressof(instructions), ctypes.addressof(text)) + bytes(120)
    system_call(321, 5, ctypes.create_string_buffer(attributes), 120)


def _map_in_the_kernel() -> None:
    system_call(321, 0, ctypes.create_string_buffer(struct.pack("IIII", 2, 4, 4, 1) + bytes(120)), 120)


def _count_events() -> None:
    # A software clock of this process, which leaves out the kernel: what an unprivileged user may ask for.
    attributes = struct.pack("IIQQQQQ", 1, 112, 0, 0, 0, 0, 1 | 1 << 5 | 1 << 6) + bytes(64)
    system_call(298, ctypes.create_string_buffer(attributes), 0, -1, -1, 0)


def _set_clock() -> None:
    system_call(227, 0, ctypes.create_string_buffer(struct.pack("qq", 1_000_000_000, 0)))


def _set_time_of_day() -> None:
    system_call(164, ctypes.create_string_buffer(struct.pack("qq", 1_000_000_000, 0)), None)


def _tune_clock() -> None:
    # Only the mode "set the frequency", with a frequency of nothing out of the ordinary.
    system_call(159, ctypes.create_string_buffer(struct.pack("Qqq", 2, 0, 0) + bytes(256)))


def _device(kind: int, major: int, minor: int) -> Callable[[], object]:
    return lambda: os.mknod("/workspace/device", kind | 0o666, os.makedev(major, minor))


def _socket(family: int, kind: int, protocol: int = 0) -> Callable[[], object]:
    return lambda: socket.socket(family, kind, protocol)


def _load_module() -> None:
    system_call(175, ctypes.create_string_buffer(b"\x7fELF" + bytes(100)), 104, b"")


def _load_module_from_file() -> None:
    system_call(313, os.open("/bin/sh", os.O_RDONLY), b"", 0)


def _load_kernel_from_file() -> None:
    system_call(320, os.open("/bin/sh", os.O_RDONLY), -1, 0, b"", 4)


def _no_setuid(identity: int) -> Callable[[], object]:
    return lambda: os.setresuid(identity, identity, identity)


CALLS: dict[str, Callable[[], object]] = {
    # What others on this machine share with us: keys.
    "add_key": _number(248, b"user", b"mlgym-probe", b"x", 1, -2),
    "request_key": _number(249, b"user", b"mlgym-probe", None, -2),
    "keyctl": _number(250, 0, -4, 0, 0, 0),
    # New namespaces, and other ones.
    "unshare of users": _number(272, CLONE_NEWUSER),
    "unshare of mounts": _number(272, CLONE_NEWNS),
    "unshare of processes": _number(272, CLONE_NEWPID),
    "unshare of networks": _number(272, CLONE_NEWNET),
    "unshare of ipc": _number(272, CLONE_NEWIPC),
    "unshare of host names": _number(272, CLONE_NEWUTS),
    "unshare of control groups": _number(272, CLONE_NEWCGROUP),
    "unshare of times": _number(272, CLONE_NEWTIME),
    "clone with users": lambda: _clone_with(CLONE_NEWUSER),
    "clone with mounts and users": lambda: _clone_with(CLONE_NEWUSER | CLONE_NEWNS),
    "clone3 with users": lambda: _clone3_with(CLONE_NEWUSER),
    "setns to a mount namespace": lambda: _enter("mnt"),
    "setns to a network namespace": lambda: _enter("net"),
    "setns to a process namespace": lambda: _enter("pid"),
    # File systems.
    "mount": _new_mount,
    "mount with bind": _bind_mount,
    "mount with remount": _remount,
    "umount2": _number(166, b"/workspace", 2),
    "pivot_root": _number(155, b"/workspace", b"/workspace"),
    "chroot": _number(161, b"/workspace"),
    "open_tree with clone": _number(428, -100, b"/workspace", 1),
    "fsopen": _number(430, b"tmpfs", 0),
    "fspick": _number(433, -100, b"/workspace", 0),
    "move_mount": _number(429, -100, b"/workspace", -100, b"/tmp", 0),
    "mount_setattr": _number(442, -100, b"/workspace", 0, _zeroes(32), 32),
    "name_to_handle_at": lambda: _handle(b"/workspace"),
    "open_by_handle_at": _open_by_handle,
    "fanotify_init": _number(300, 0, 0),
    "swapon": _number(167, b"/workspace/answer.txt", 0),
    "acct": _number(163, b"/workspace/answer.txt"),
    "mknod of a character device": _device(0o020000, 1, 1),
    "mknod of a block device": _device(0o060000, 8, 0),
    "mknod of /dev/null": _device(0o020000, 1, 3),
    # The kernel itself.
    "bpf for a program": _program_in_the_kernel,
    "bpf for a map": _map_in_the_kernel,
    "perf_event_open": _count_events,
    "userfaultfd": _number(323, 1),
    "io_uring_setup": _number(425, 1, _zeroes(120)),
    "io_uring_enter": _number(426, 0, 0, 0, 0, None, 0),
    "io_uring_register": _number(427, 0, 0, None, 0),
    "init_module": _load_module,
    "finit_module": _load_module_from_file,
    "delete_module": _number(176, b"no_such_module", 0),
    "kexec_load": _number(246, 0, 0, None, 0),
    "kexec_file_load": _load_kernel_from_file,
    "syslog": _number(103, 3, _zeroes(4096), 4096),
    "iopl": _number(172, 3),
    "ioperm": _number(173, 0x80, 1, 1),
    "modify_ldt": _number(154, 0, _zeroes(16), 16),
    "reboot": _number(169, 0xFEE1DEAD, 672274793, 0, None),  # Ctrl-Alt-Del does nothing from now on
    "vhangup": _number(153),
    "sethostname": _number(170, b"evil", 4),
    "setdomainname": _number(171, b"evil", 4),
    "clock_settime": _set_clock,
    "settimeofday": _set_time_of_day,
    "adjtimex": _tune_clock,
    "migrate_pages": _number(256, 0, 1, ctypes.byref(ctypes.c_ulong(1)), ctypes.byref(ctypes.c_ulong(1))),
    "move_pages": _number(279, 0, 0, None, None, None, 0),
    "kcmp": _number(312, os.getpid(), os.getpid(), 0, 0, 0),
    "lookup_dcookie": _number(212, 1, _zeroes(64), 64),
    # Families of sockets that the kernel does not keep apart by namespaces, or that few have ever looked into.
    "socket of virtual machines": _socket(40, socket.SOCK_STREAM),
    "socket of packets": _socket(17, socket.SOCK_RAW),
    "socket of raw internet": _socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "socket of kernel cryptography": _socket(38, socket.SOCK_SEQPACKET),
    "socket of keys": _socket(15, socket.SOCK_RAW, 2),
    "socket of express data paths": _socket(44, socket.SOCK_RAW),
    "socket of tipc": _socket(30, socket.SOCK_SEQPACKET),
    "socket of rds": _socket(21, socket.SOCK_SEQPACKET),
    "socket of netfilter": _socket(16, socket.SOCK_RAW, 12),
    "socket of bluetooth": _socket(31, socket.SOCK_RAW, 1),
    "socket of smc": _socket(43, socket.SOCK_STREAM),
    # Another user.
    "setresuid to root": _no_setuid(0),
    "setresuid to somebody": _no_setuid(1234),
    "setgroups": lambda: os.setgroups([0]),
}

REFUSED = frozenset({"EPERM", "EACCES", "ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT"})
"""What is answered by a filter of system calls, by a check of privileges, and by a kernel without the call."""
ALSO_REFUSED = {"users": "ENOSPC", "setresuid": "EINVAL"}
"""What else refuses calls with these words in their names: no namespace of users is left, no such user is mapped."""


def is_refused(call: str, answer: str) -> bool:
    """Return whether the answer to a call means that it was not let in."""
    return answer in REFUSED or any(word in call and answer == error for word, error in ALSO_REFUSED.items())


def outcome(attempt: Callable[[], object]) -> str:
    """Make an attempt in a process of its own and return the name of its error, or `done`."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            attempt()
            said = "done"
        except OSError as error:
            said = errno.errorcode.get(error.errno or 0, str(error.errno))
        except BaseException as error:  # noqa: BLE001 - whatever it was is the answer
            said = repr(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    answer = os.read(reader, 1000).decode()
    os.close(reader)
    status = os.waitpid(child, 0)[1]
    return answer or f"ended with status {status}"


def _become_nobody() -> None:
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        # As an ordinary program is: others of the same user may look into it.
        _library.prctl(4, 1, 0, 0, 0)


if __name__ == "__main__":
    if "--as-nobody" in sys.argv:
        _become_nobody()
    json.dump({name: outcome(attempt) for name, attempt in CALLS.items()}, sys.stdout)
