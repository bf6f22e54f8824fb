#!/usr/bin/env python3
"""
A libvirt host with the shim in it: a guest goes through its life, with the shim put in by the hook
and by the emulator.

It needs root, libvirtd, virtlogd, virsh and QEMU; see host.py.
"""

import os
import shutil
import sys

from host import PROGRAM, Guest, declare, declare_killed, make_private, must, run, run_script, shims, show_log, start_daemons, virsh, write
from qmplive import Tap, until

NEEDED = ("libvirtd", "virtlogd", "virsh", "qemu-img", "qemu-system-x86_64")


def main(place):
    tap = Tap()
    link = place + "/bin/qemu-system-x86_64-shim"
    os.makedirs(place + "/bin")
    os.symlink(shutil.which("qemu-system-x86_64"), place + "/bin/qemu-system-x86_64")
    os.symlink(PROGRAM, link)
    make_private(place)
    start_daemons(place)
    declare(tap, "hook", Guest(place, "hooked", shutil.which("qemu-system-x86_64")))
    declare(tap, "exec", Guest(place, "executed", link))
    declare_killed(tap, "hook", Guest(place, "hooked-and-killed", shutil.which("qemu-system-x86_64")))
    declare_killed(tap, "exec", Guest(place, "executed-and-killed", link))
    long = Guest(place, "a-guest-whose-name-is-longer-than-libvirt-keeps-in-its-folder",
                 shutil.which("qemu-system-x86_64"))

    @tap.test("hook: a guest with a long name")
    def _():
        virsh("start", long.name)
        long.is_behind_shim()
        virsh("destroy", long.name)
        until(lambda: not shims(), "the shims to end")

    @tap.test("hook: without a shim the guest does not start, unless told to")
    def _():
        conf = "/etc/qmp-shim/libvirt-hook.conf"
        write(conf, "QMP_SHIM=/bin/false\nWAIT=2\n")
        assert run("virsh", "-q", "start", "hooked").returncode != 0
        write(conf, "QMP_SHIM=/bin/false\nWAIT=2\nON_FAILURE=open\n")
        virsh("start", "hooked")
        virsh("destroy", "hooked")

    status = tap.run()
    if status:
        show_log()
    return status


run_script(__file__, NEEDED, main)
