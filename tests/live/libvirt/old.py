#!/usr/bin/env python3
"""
libvirt 7.0 and a QEMU that it never knew: a guest goes through its life with the shim as its
emulator, and with the shim put in by the hook.  What the same libvirt cannot do without the shim is
told, and must still be so.

libvirt comes from LIBVIRT_OLD_DIR, made by tests/live/fetch-libvirt, QEMU 10.0 and 11.1 from
QEMU_VERSIONS_DIR, made by tests/live/fetch-qemu.  Neither is installed: libvirt's files are laid over
/usr in namespaces of the test's own; see host.py.
"""

import os

from host import PROGRAM, RULES, Guest, declare, make_private, must, run, run_script, show_log, skip, start_daemons, steps, write
from qmplive import Tap

FOLDER = os.environ.get("LIBVIRT_OLD_DIR", "")
EMULATORS = {v: os.path.join(os.environ.get("QEMU_VERSIONS_DIR", ""), "bin", "qemu-" + v) for v in ("10.0", "11.1")}
MODULES = "/usr/lib/x86_64-linux-gnu/qemu"
# what libvirt 7.0 was made for
CLIENT = "5.2"
# These read no guest from a file that they inherit, and what is inherited no shim can change:
# libvirt puts a pipe between when it is told to keep the file out of the page cache.
NO_FILES = ("11.1",)

# step: a word of QEMU's refusal, or nothing for what fails because the one before it did
LOST = {
    "attach a disk": "Invalid parameter type for 'removable'",
    "detach the disk": "",
    "save": "Parameter 'inc' is unexpected",
    "restore": "",
    "managedsave": "Parameter 'inc' is unexpected",
    "start from managedsave": "",
    "snapshot with memory": "Parameter 'inc' is unexpected",
}


def lay_over():
    """libvirt's own files before the machine's; libraries that it needs and the machine lacks, behind them."""
    must("mount", "-t", "overlay", "overlay", "-o", "lowerdir=%s/own/usr:/usr:%s/more/usr" % (FOLDER, FOLDER), "/usr")


def hide_modules(place):
    """The machine's own QEMU may have modules; another QEMU dies of them when it looks through all that there are."""
    if os.path.isdir(MODULES):
        os.makedirs(place + "/none")
        must("mount", "--bind", place + "/none", MODULES)


def write_emulator(place, version):
    """Not a link, as one would make: libvirt hands no environment on, and the rules are not installed."""
    path = "%s/bin/qemu-%s-shim" % (place, version)
    write(path, "#!/bin/sh\nexport QMP_SHIM_RULES_PATH=%s\nexec %s exec --client-version %s -- %s \"$@\"\n" % (
        RULES, PROGRAM, CLIENT, EMULATORS[version]), 0o755)
    return path


def declare_without(tap, version, guest):
    """Each step does what it did for libvirt, or fails of what is known."""
    for name, function in steps(guest):
        if "shim" in name:
            continue
        tap.test("no shim, QEMU %s: %s%s" % (version, name, ", refused" if name in LOST else ""))(
            lambda n=name, f=function: must_be_lost(n, f) if n in LOST else f())


def must_be_lost(name, function):
    try:
        function()
    except AssertionError as failure:
        assert LOST[name] in str(failure), failure
        return
    raise AssertionError("this works without the shim: nothing is proven")


NO_ACPI = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><emulator>{emulator}</emulator></devices>
</domain>
"""


def declare_limits(tap, place, version, guest):
    """What is said on the command line or inherited passes by every shim: it must still be as the manual tells."""
    @tap.test("no shim can: QEMU %s knows no -no-acpi" % version)
    def _():
        path = place + "/no-acpi.xml"
        write(path, NO_ACPI.format(name="no-acpi", emulator=guest.emulator))
        done = run("virsh", "-q", "create", path)
        assert done.returncode and "no-acpi" in done.stderr, done.stderr

    if version in NO_FILES:
        @tap.test("no shim can: QEMU %s reads no guest from a file that it inherits" % version)
        def _():
            done = run("virsh", "-q", "restore", guest.file("save"))
            assert done.returncode and "migration to a file is not supported" in done.stderr, done.stderr


def main(place):
    lay_over()
    hide_modules(place)
    make_private(place)
    start_daemons(place, "--client-version " + CLIENT)
    tap = Tap()

    @tap.test("libvirt is 7.0")
    def _():
        assert "7.0.0" in must("libvirtd", "--version")

    for version, emulator in EMULATORS.items():
        if os.path.exists(emulator):
            more = ("--bypass-cache",) if version in NO_FILES else ()
            declare_without(tap, version, Guest(place, "plain" + version, emulator))
            guest = Guest(place, "executed" + version, write_emulator(place, version), more)
            declare(tap, "exec, QEMU " + version, guest)
            declare(tap, "hook, QEMU " + version, Guest(place, "hooked" + version, emulator, more))
            declare_limits(tap, place, version, guest)
    status = tap.run()
    if status:
        show_log()
    return status


if not os.path.exists(FOLDER + "/own/usr/sbin/libvirtd"):
    skip("libvirt 7.0 is not in LIBVIRT_OLD_DIR (tests/live/fetch-libvirt)")
if not any(map(os.path.exists, EMULATORS.values())):
    skip("no QEMU 10.0 or 11.1 is in QEMU_VERSIONS_DIR (tests/live/fetch-qemu)")
run_script(__file__, ("qemu-img",), main)
