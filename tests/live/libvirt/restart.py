#!/usr/bin/env python3
"""
The hook on a host with systemd: each shim is a service whose connections outlive it.  A guest goes
through its life, and between any two of its steps the shim is killed.

systemd is booted in a container, as tests/live/systemd.py does it, and libvirt runs in there; inside,
this same file runs as a unit, with the argument "inside".
"""

import glob
import json
import os
import shutil
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), HERE]
import host  # noqa: E402
import systemd  # noqa: E402
from qmplive import Tap, check_equal, is_ci, until  # noqa: E402

HOOK = "qmp-shim-libvirt-hook"
NEEDED = ("libvirtd", "virtlogd", "virsh", "qemu-img", "qemu-system-x86_64")
UNIT = "qmp-shim-libvirt-hooked.service"


# --- inside ----------------------------------------------------------------------------------------

def main_pid():
    return int(systemd.show(UNIT, "MainPID") or 0)


def kill_shim():
    """Not waited for: the next step finds it dead, starting, or there again.  Return: was there one?"""
    pid = main_pid()
    if pid:
        os.kill(pid, signal.SIGKILL)
    return pid != 0


def start_libvirt(place):
    """What is written goes with the container."""
    for path in (*host.PRIVATE, "/var/lib/libvirt/images", "/var/lib/libvirt/qemu"):
        os.makedirs(path, exist_ok=True)
    add_user("/etc/passwd", "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin\n")
    add_user("/etc/group", "libvirt-qemu:x:64055:\n")
    shutil.rmtree("/etc/libvirt/hooks", ignore_errors=True)
    host.TOP = systemd.IN_BUILD
    host.start_daemons(place)


def add_user(path, line):
    with open(path, encoding="utf-8") as file:
        if "libvirt-qemu:" in file.read():
            return
    with open(path, "a", encoding="utf-8") as file:
        file.write(line)


def is_step_of_shims(name):
    return "shim" in name


def declare(tap, guest, kills):
    for name, function in host.steps(guest):
        def run(name=name, function=function):
            if is_step_of_shims(name):
                until(lambda: host.Guest.n_shims() == (0 if name.endswith("gone") else 1), "the shim", 60)
            function()
            if kill_shim():
                kills.append(name)
        tap.test("hook and systemd, killed after each step: %s" % name)(run)


def inside():
    tap, kills = Tap(), []
    place = "/var/lib/qs-place"
    os.makedirs(place)
    start_libvirt(place)
    guest = host.Guest(place, "hooked", shutil.which("qemu-system-x86_64"))
    declare(tap, guest, kills)

    @tap.test("hook and systemd: systemctl restart under a guest, and libvirtd's own restart")
    def _():
        host.virsh("start", "hooked")
        systemd.systemctl("restart", UNIT)
        guest.is_state("running")
        host.virsh("qemu-monitor-command", "hooked", '{"execute":"query-status"}')
        qemu = host.must("pidof", "qemu-system-x86_64")
        restart_libvirtd(place)
        guest.is_state("running")
        host.virsh("qemu-monitor-command", "hooked", '{"execute":"query-status"}')
        check_equal(host.must("pidof", "qemu-system-x86_64"), qemu, "QEMU's pid")
        host.virsh("destroy", "hooked")
        until(lambda: systemd.show(UNIT, "ActiveState") in ("inactive", ""), "the end of the service", 60)

    direct = host.Guest(place, "direct", shutil.which("qemu-system-x86_64"))  # not one of the hook's

    @tap.test("takeover: a guest that runs gets a shim, and loses it again; libvirtd is restarted, QEMU is not")
    def _():
        host.virsh("start", "direct")
        qemu = host.must("pidof", "qemu-system-x86_64")
        path = glob.glob("/var/lib/libvirt/qemu/domain-*-direct/monitor.sock")[0]
        host.must("systemd-run", "--quiet", "--collect", "--unit=taken", "-p", "Type=notify",
                  "-p", "Restart=on-failure", "-p", "RestartSec=100ms",
                  "-p", "FileDescriptorStoreMax=512", "--setenv=FDSTORE=512", host.PROGRAM, "takeover", "--no-rules", path)
        for n_sessions in (1, 0):
            restart_libvirtd(place)
            host.virsh("qemu-monitor-command", "direct", '{"execute":"query-status"}')
            host.virsh("attach-device", "direct", direct.xml("nic" if n_sessions else "serial"))  # both pass fds
            if n_sessions:
                status = json.loads(host.must(host.PROGRAM, "status", "--json", path))
                check_equal(len(status["sessions"]), 1)
                os.kill(host.shims()[0], signal.SIGKILL)
                host.virsh("qemu-monitor-command", "direct", '{"execute":"query-status"}')
                until(lambda: os.path.exists(path + ".ctl") and systemd.show("taken", "ActiveState") == "active", "the next", 60)
                host.must(host.PROGRAM, "takeover", "--undo", path)
                direct.is_state("running")
                host.virsh("qemu-monitor-command", "direct", '{"execute":"query-status"}')
        until(lambda: not host.shims(), "the shim to end")
        check_equal(sorted(n for n in os.listdir(os.path.dirname(path)) if n.startswith("monitor")), ["monitor.sock"])
        check_equal(host.must("pidof", "qemu-system-x86_64"), qemu, "QEMU's pid")
        host.virsh("destroy", "direct")

    status = tap.run()
    print("# %d kills" % len(kills))
    if status:
        print("# " + "\n# ".join(systemd.journal().splitlines()))
        with open("/var/log/libvirt/libvirtd.log", encoding="utf-8") as file:
            print("# " + "\n# ".join(file.read()[-6000:].splitlines()))
    return status


def restart_libvirtd(place):
    with open(place + "/libvirtd.pid", encoding="ascii") as file:
        pid = int(file.read())
    os.kill(pid, signal.SIGTERM)
    until(lambda: not os.path.exists("/proc/%d" % pid), "libvirtd to end", 60)
    host.must("libvirtd", "-d", "-p", place + "/libvirtd.pid")
    until(lambda: host.run("virsh", "-q", "list").returncode == 0, "libvirtd to answer", 60)


# --- outside ---------------------------------------------------------------------------------------

def write_units(folder, top_srcdir, write=systemd.write_units):
    write(folder, top_srcdir)
    data = os.path.join(os.path.dirname(folder), "build", "data")
    os.mkdir(data)
    shutil.copy(os.path.join(top_srcdir, "data", HOOK), data)


def outside():
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        print("1..1\nnot ok 1 - libvirt and systemd\n# missing: %s" % " ".join(missing) if is_ci() else
              "1..0 # SKIP not installed: " + " ".join(missing))
        return 1 if is_ci() else 0
    systemd.BOOT_S = 400
    systemd.write_units = write_units
    systemd.BOOT_UNITS["qs-run.service"] = systemd.BOOT_UNITS["qs-run.service"].replace(
        "/systemd.py inside", "/libvirt/restart.py inside")
    os.environ.setdefault("top_srcdir", os.path.dirname(os.path.dirname(os.path.dirname(HERE))))
    return systemd.run_outside()


if __name__ == "__main__":
    if sys.argv[1:2] == ["inside"]:
        del sys.argv[1]
        sys.exit(inside())
    sys.exit(outside())
