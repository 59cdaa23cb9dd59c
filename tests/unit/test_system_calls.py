"""The filter of system calls, carried out here as the kernel carries it out."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from mlgym_core.sandbox.system_calls import filter_program

ALLOWED = 0x7FFF0000
TAGS = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def outcome(machine: str, number: int, *arguments: int, tag: int | None = None) -> int | str:
    """Return `allowed`, or the error number that a call ends with."""
    program = filter_program(machine)
    assert program is not None
    padded = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("=IIQ6Q", number, TAGS[machine] if tag is None else tag, 0, *padded)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator = 0
    position = 0
    while True:
        code, if_true, if_false, value = instructions[position]
        position += 1
        match code:
            case 0x20:
                [accumulator] = struct.unpack_from("=I", data, value)
            case 0x15:
                position += if_true if accumulator == value else if_false
            case 0x35:
                position += if_true if accumulator >= value else if_false
            case 0x06:
                return "allowed" if value == ALLOWED else value & 0xFFFF
            case _:
                raise AssertionError(f"The program has an instruction {code:#x}.")


@pytest.mark.parametrize(
    ("machine", "read", "keyctl", "mount", "new_socket", "ioctl"),
    [("x86_64", 0, 250, 165, 41, 16), ("aarch64", 63, 219, 40, 198, 29)],
)
def test_what_is_refused(machine: str, read: int, keyctl: int, mount: int, new_socket: int, ioctl: int) -> None:
    assert outcome(machine, read) == "allowed"
    assert outcome(machine, keyctl) == errno.EPERM
    assert outcome(machine, mount) == errno.EPERM
    for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
        assert outcome(machine, new_socket, family, 1, 0) == "allowed"
    for family in (socket.AF_VSOCK, socket.AF_ALG, socket.AF_PACKET):
        assert outcome(machine, new_socket, family, 1, 0) == errno.EAFNOSUPPORT
    assert outcome(machine, new_socket, socket.AF_NETLINK, 3, 12) == errno.EPROTONOSUPPORT
    assert outcome(machine, ioctl, 0, 0x5401) == "allowed"
    assert outcome(machine, ioctl, 0, 0x5412) == errno.EPERM
    # The kernel looks at the lower half of the request only, and so do we.
    assert outcome(machine, ioctl, 0, 0x1_0000_5412) == errno.EPERM


def test_calls_of_other_machines_do_not_exist() -> None:
    i386 = 0x40000003
    assert outcome("x86_64", 3, tag=i386) == errno.ENOSYS
    assert outcome("x86_64", 0x40000000 + 250) == errno.ENOSYS
    assert outcome("aarch64", 63, tag=TAGS["x86_64"]) == errno.ENOSYS


def test_machines_whose_numbers_are_not_known_have_no_filter() -> None:
    assert filter_program("riscv64") is None


@pytest.mark.parametrize("machine", TAGS)
def test_the_kernel_would_take_it(machine: str) -> None:
    program = filter_program(machine)
    assert program is not None
    assert len(program) % 8 == 0
    assert len(program) // 8 <= 4096
