#!/usr/bin/env python3
"""
Ganeti 3.0, as it is: its own QMP class drives a QEMU of today through the shim.

It asks for commands that are gone (query-cpus), adds disks in the form of QEMU 1.7 to 2.8, and
refuses by itself whatever query-commands does not name.  It connects anew for each operation, and
passes fds on a blank of their own.

The environment: as history.py says, and QMP_SHIM_PEERS, the folder that fetch-peers made.
"""

import fcntl
import os
import re
import struct
import sys
import types
from unittest import mock

from history import RULES, number, programs
from qmplive import ME, Client, Missing, Place, Tap, check_equal, is_same_file, until

PEERS = os.path.abspath(os.environ.get("QMP_SHIM_PEERS", "./peers"))
CLIENT = "2.8"  # the last QEMU that has all its forms
TUNSETIFF, TAP = 0x400454CA, 0x5002  # IFF_TAP, no packet information, virtio header

tap = Tap()


def import_ganeti():
    """Its hypervisor's monitor module.  What it imports for certificates is not needed here."""
    usr = os.path.join(PEERS, "ganeti")
    sys.path[:0] = [os.path.join(usr, "share/ganeti/3.0"), os.path.join(usr, "lib/python3/dist-packages")]
    sys.modules.setdefault("OpenSSL", mock.MagicMock())
    try:
        from ganeti import errors
        from ganeti.hypervisor.hv_kvm import monitor
    except ImportError as error:
        raise Missing("ganeti is not in %s (%s): run fetch-peers" % (PEERS, error)) from error
    finally:
        del sys.path[:2]
    return monitor, errors


class Instance:
    """A QEMU, the shim, and ganeti's connection to either: .qmp to the shim, .direct to QEMU itself."""

    def __init__(self, place, version):
        monitor, self.errors = import_ganeti()
        kept, os.environ["QEMU"] = os.environ.get("QEMU"), programs()[version][0]
        try:
            self.qemu = place.qemu("-device", "virtio-balloon-pci,addr=0x1d", "-device", "virtio-scsi-pci,id=scsi,addr=0x1c",
                                   monitors=2)
        finally:
            del os.environ["QEMU"]
            if kept is not None:
                os.environ["QEMU"] = kept
        shim = place.shim(self.qemu.path, "--client-version", CLIENT, "--log-level", "warning")
        self.place = place
        self.qmp = monitor.QmpConnection(shim.path)
        self.direct = monitor.QmpConnection(self.qemu.paths[1])

    def disk(self):
        path = self.place.path("disk")
        with open(path, "wb") as file:
            file.truncate(1 << 20)
        return path

    def must_fail(self, function, *arguments):
        """Without the shim it does not work: else nothing is proven."""
        try:
            function(*arguments)
        except self.errors.GenericError:
            return
        raise AssertionError("it works without the shim: nothing is proven")

    def property(self, path, name):
        with self.direct as qmp:
            return qmp.Execute("qom-get", {"path": path, "property": name})


def device(**hvinfo):
    return types.SimpleNamespace(hvinfo=hvinfo, mac="aa:00:00:12:34:56")


def on_each(name, since="7.2"):
    def declare(function):
        for version in programs():
            if number(version) >= number(since):
                tap.test("ganeti 3.0, QEMU %s: %s" % (version, name))(lambda v=version: run(function, v))
    return declare


def run(function, version):
    with Place() as place:
        function(Instance(place, version))


# --- what it does ------------------------------------------------------------------------------------

@on_each("the information about an instance: CPUs and memory")
def _(instance):
    def info(qmp):
        with qmp:
            return len(qmp.Execute("query-cpus")), qmp.Execute("query-balloon")[qmp.ACTUAL_KEY]
    check_equal(info(instance.qmp), (1, 64 << 20))
    instance.must_fail(info, instance.direct)


@on_each("what it can, PCI slots, devices")
def _(instance):
    instance.qmp.CheckDiskHotAddSupport()
    instance.qmp.CheckNicHotAddSupport()
    check_equal(instance.qmp.HasDynamicAutoReadOnly(), instance.direct.HasDynamicAutoReadOnly(), "the schema, searched")
    check_equal(instance.qmp.GetFreePCISlot(), instance.direct.GetFreePCISlot())
    check_equal(instance.qmp.HasDevice("nic-none"), False)
    assert "query-cpus" in instance.qmp.supported_commands, "query-commands does not name query-cpus"
    check_equal(instance.qmp.version, instance.direct.version)


@on_each("an error is told in the server's words")
def _(instance):
    with instance.qmp as qmp:
        try:
            qmp.Execute("device_del", {"id": "none"})
        except instance.errors.HypervisorError as error:
            assert "Device 'none' not found (DeviceNotFound)" in str(error), error
        else:
            raise AssertionError("device_del of none went well")


@on_each("a disk is added, the file passed as an fd")
def _(instance):
    disk = instance.disk()
    instance.qmp.HotAddDisk(device(driver="virtio-blk-pci", id="disk-1", bus="pci.0", addr="0x9"), "disk-1", disk)
    assert instance.qmp.HasDevice("disk-1"), "the guest has no such disk"
    assert disk in instance.qemu.fds(), "QEMU has not got the file: %s" % instance.qemu.fds()
    instance.qmp.HotDelDisk("disk-1")
    instance.must_fail(instance.direct.HotAddDisk, device(driver="virtio-blk-pci", id="disk-2", bus="pci.0", addr="0xa"), "disk-2", disk)


@on_each("a disk on the SCSI bus, its drive added by the human monitor meanwhile")
def _(instance):
    def drive_add(filename):
        with instance.direct as qmp:
            said = qmp.Execute("human-monitor-command", {"command-line": "drive_add dummy file=%s,if=none,id=disk-3,format=raw,"
                                                         "auto-read-only=off" % filename})
        check_equal(said, "OK\r\n")
    instance.qmp.HotAddDisk(device(driver="scsi-hd", id="disk-3", bus="scsi.0", **{"channel": 0, "scsi-id": 1, "lun": 0}),
                            "disk-3", instance.disk(), drive_add)
    assert instance.qmp.HasDevice("disk-3"), "the guest has no such disk"
    check_equal(instance.property("/machine/peripheral/disk-3", "scsi-id"), 1)


@on_each("a NIC is added, its tap passed as an fd, with several queues' worth of vectors")
def _(instance):
    fd = open_tap()
    if fd is None:
        add_nic_without_tap(instance)
        return
    instance.qmp.HotAddNic(device(driver="virtio-net-pci", id="nic-1", bus="pci.0", addr="0x7"), "nic-1", [fd],
                           features={"mq": (True, 2)})
    held = os.listdir("/proc/%d/fd" % instance.qemu.pid)
    assert any(is_same_file(ME, fd, instance.qemu.pid, int(n)) for n in held), "QEMU has not got the tap"
    os.close(fd)
    assert instance.qmp.HasDevice("nic-1"), "the guest has no such NIC"
    check_equal(instance.property("/machine/peripheral/nic-1", "mq"), True)
    check_equal(instance.property("/machine/peripheral/nic-1", "vectors"), 6)
    instance.qmp.HotDelNic("nic-1")


def open_tap():
    """Return: the fd, None if this machine allows none."""
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"gnt%d", TAP))
    except OSError:
        return None
    return fd


def add_nic_without_tap(instance):
    """Another file in its place: QEMU must get as far as to ask it what tap it is."""
    with open(instance.disk(), "rb") as file:
        try:
            instance.qmp.HotAddNic(device(driver="virtio-net-pci", id="nic-1"), "nic-1", [file.fileno()])
        except instance.errors.HypervisorError as error:
            assert "TUNGETIFF" in str(error), error
        else:
            raise AssertionError("QEMU took a file for a tap")


@on_each("a migration, with its limits and capabilities, to its end")
def _(instance):
    instance.qmp.SetMigrationCapabilities(["xbzrle", "auto-converge"], True)
    instance.qmp.SetMigrationParameters(32 << 20, 30)
    with instance.direct as qmp:
        limits = qmp.Execute("query-migrate-parameters")
    check_equal((limits["max-bandwidth"], limits["downtime-limit"], limits["max-postcopy-bandwidth"]), (32 << 20, 30, 32 << 20))
    instance.qmp.SetMigrationCapabilities(["xbzrle", "auto-converge"], False)
    with Incoming(instance) as port:
        instance.qmp.ContinueGuestEmulation()
        instance.qmp.StopGuestEmulation()
        instance.qmp.StartMigration("127.0.0.1", port)
        status = until(lambda: final(instance.qmp.GetMigrationStatus()), "the end of the migration")
    check_equal(status["status"], "completed")
    assert status["ram"]["transferred"] > 0 and status["ram"]["dirty-sync-count"] > 0, status


def final(status):
    return status if status.get("status") in ("completed", "failed") else None


class Incoming:
    """Another QEMU of the same kind that takes it, at a port of the kernel's choice."""

    def __init__(self, instance):
        with open("/proc/%d/cmdline" % instance.qemu.pid, "rb") as file:
            words = [w.decode() for w in file.read().split(b"\0")[:-1]]
        self.path = instance.place.path("incoming")
        words = [re.sub(r"path=.*?,", "path=%s," % (self.path + str(i)), w) for i, w in enumerate(words)]
        self.qemu = instance.place.run(words + ["-incoming", "tcp:127.0.0.1:0"], "incoming")
        self.path += str([i for i, w in enumerate(words) if "path=" in w][0])

    def __enter__(self):
        self.qemu.wait_listening(self.path)
        with Client(self.path) as peer:
            return peer.greet().call("query-migrate")["socket-address"][0]["port"]

    def __exit__(self, kind, value, trace):
        self.qemu.kill()


if __name__ == "__main__":
    os.environ.setdefault("QMP_SHIM_RULES_PATH", os.path.abspath(RULES))
    sys.exit(tap.run())
