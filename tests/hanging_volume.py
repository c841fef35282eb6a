"""A volume that hangs: ``python tests/hanging_volume.py FOLDER [COMMAND ...]``, as root.

A FUSE file system is mounted at FOLDER whose program, this one, answers nothing. Without a command
it hangs until standard input ends; a command runs in this process's place, beside the volume.
"""

import ctypes
import os
import sys

MNT_DETACH = 2


def main(folder: str, *command: str) -> None:
    fuse = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"hangs", os.fsencode(folder), b"fuse", 0, options):
        raise OSError(ctypes.get_errno(), "cannot mount", folder)
    if command:
        os.set_inheritable(fuse, True)
        os.execvp(command[0], command)
    print(flush=True)
    sys.stdin.read()
    os.close(fuse)  # whoever waits is told that nobody is there
    libc.umount2(os.fsencode(folder), MNT_DETACH)


if __name__ == "__main__":
    main(*sys.argv[1:])
