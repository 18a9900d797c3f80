"""Locks a process in by what the Linux kernel offers any user: Landlock for files, seccomp for everything else.

Once `lock_in` has returned, this process and its threads can

    read      what they are allowed to, and nothing else: no home, no /proc, no /etc
    write     below one folder, and nowhere else; they cannot change modes, owners or times of files either
    start     threads, and no process, be it by fork, by exec or by spawning
    reach     no socket: no network, no daemon of this machine; no other process, by signal or by tracing
    change    no limit, priority, mount, clock, key or namespace of this machine

What is not locked: how long it runs and how much it takes, which are limits of resources and set beside it.
Standard library only: the process that is locked in imports this and nothing else of Tunesmith.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import stat
import struct
import sys
from collections.abc import Iterator, Sequence

_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_CLONE_THREAD = 0x10000

# Landlock's rights, by bit (linux/landlock.h), and since which version of it they exist.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
_ALL_OF_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_READ = _EXECUTE | _READ_FILE | _READ_DIR

_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""What seccomp calls a machine's calls, and where `_REFUSED` has their numbers."""
_NEWER = 440
"""Calls from this number on are as if they did not exist: nobody knows what later kernels add."""
_CLONE, _CLONE3 = (56, 220), 435
_CAPSET = (126, 91)
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # processes, and what one can do to another
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281), "setsid": (112, 157),
    "setpgid": (109, 154), "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "kcmp": (312, 272), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "move_pages": (279, 239), "migrate_pages": (256, 238),
    # limits and turns
    "prlimit64": (302, 261), "setrlimit": (160, 164), "setpriority": (141, 140), "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119), "sched_setparam": (142, 118), "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    # network, and what outlives a process
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "shmget": (29, 194), "shmat": (30, 196),
    "shmctl": (31, 195), "msgget": (68, 186), "msgsnd": (69, 189), "semget": (64, 190), "mq_open": (240, 180),
    "mq_unlink": (241, 181), "memfd_create": (319, 279), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218),
    # files, where Landlock says nothing
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "chown": (92, None), "lchown": (94, None),
    "fchown": (93, 55), "fchownat": (260, 54), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "utime": (132, None),
    "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88), "truncate": (76, 45),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "mknod": (133, None), "mknodat": (259, 33),
    "fanotify_init": (300, 262), "inotify_init": (253, None), "inotify_init1": (294, 26),
    # the machine
    "mount": (165, 40), "umount2": (166, 39), "unshare": (272, 97), "setns": (308, 268), "chroot": (161, 51),
    "pivot_root": (155, 41), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "bpf": (321, 280), "reboot": (169, 142),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "swapon": (167, 224), "swapoff": (168, 225), "sethostname": (170, 161),
    "setdomainname": (171, 162), "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "acct": (163, 89), "quotactl": (179, 60), "syslog": (103, 116),
    "vhangup": (153, 58), "ioperm": (173, None), "iopl": (172, None), "modify_ldt": (154, None),
    "personality": (135, 92), "setuid": (105, 146), "setgid": (106, 144),
}  # fmt: skip
"""Calls that are refused with EPERM, by their numbers on x86-64 and on 64-bit ARM."""


def missing() -> str:
    """What this machine lacks to lock a process in, in words; empty where it lacks nothing."""
    if not sys.platform.startswith("linux"):
        return f"{platform.system() or sys.platform} is not Linux"
    if platform.machine() not in _MACHINES or struct.calcsize("P") != 8:
        return f"a {platform.machine()} machine is neither x86-64 nor 64-bit ARM"
    if _landlock_version() < 1:
        return "the kernel has no Landlock, or it is switched off (it is in Linux since 5.13)"
    return ""


def lock_in(readable: Sequence[str], writable: str) -> None:
    """Locks the calling process in, for good.

    Args:
        readable: files and folders that may be read; those that do not exist are passed over.
        writable: the folder that may also be written to.

    Raises:
        OSError: the kernel refused; the process is then not locked in and must not go on.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _restrict_files(libc, readable, writable)
    machine = _MACHINES[platform.machine()][1]
    # A superuser gives up what is a superuser's; others have nothing to give up.
    header, nothing = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0)), ctypes.create_string_buffer(24)
    _checked(libc.syscall(_CAPSET[machine], header, nothing))
    code = b"".join(_filter())
    program = ctypes.create_string_buffer(code, len(code))
    described = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(program)))
    _checked(libc.prctl(_PR_SET_SECCOMP, 2, described, 0, 0))


def _landlock_version() -> int:
    try:
        return int(ctypes.CDLL(None, use_errno=True).syscall(_LANDLOCK_CREATE_RULESET, None, 0, 1))
    except (OSError, AttributeError):
        return -1


def _restrict_files(libc: ctypes.CDLL, readable: Sequence[str], writable: str) -> None:
    version = _landlock_version()
    handled = _ALL_OF_VERSION[max(known for known in _ALL_OF_VERSION if known <= version)]
    ruleset = _checked(libc.syscall(_LANDLOCK_CREATE_RULESET, struct.pack("=Q", handled), 8, 0))
    for path, rights in [*((path, _READ) for path in readable), ("/dev/null", _ON_FILES), (writable, handled)]:
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            continue
        held = rights & handled
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            held &= _ON_FILES
        _checked(libc.syscall(_LANDLOCK_ADD_RULE, ruleset, 1, struct.pack("=Qi", held, opened), 0))
        os.close(opened)
    _checked(libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _filter() -> Iterator[bytes]:
    """The seccomp filter, one BPF instruction at a time (linux/seccomp.h, linux/bpf_common.h)."""
    load, equal, at_least, has, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, kill, refuse, unknown = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS

    def does(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("=HBBI", code, yes, no, value)

    audited, machine = _MACHINES[platform.machine()]
    yield does(load, 4)  # the machine whose calls these are: a 64-bit process may also use those of 32 bits
    yield does(equal, audited, yes=1)
    yield does(answer, kill)
    yield does(load, 0)  # the call's number
    yield does(at_least, _NEWER, no=1)
    yield does(answer, unknown)
    yield does(equal, _CLONE3, no=1)  # its flags lie in memory, where a filter cannot look; libc then takes clone
    yield does(answer, unknown)
    yield does(equal, _CLONE[machine], no=4)
    yield does(load, 16)  # its flags
    yield does(has, _CLONE_THREAD, no=1)
    yield does(answer, allow)
    yield does(answer, refuse)
    for numbers in _REFUSED.values():
        if (number := numbers[machine]) is not None:
            yield does(equal, number, no=1)
            yield does(answer, refuse)
    yield does(answer, allow)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the kernel refused to lock a process in: {os.strerror(number)}")
    return result
