#!/usr/bin/env python3
"""Breaks of errors, of their words, of events and of what is said in a greeting."""

import re
import socket
import sys

from history import Absent, Event, Greeted, Never, Send, Step, Table, Until, each, exactly, fails, has, ok
from qmplive import until

table = Table()
old, new, replay = table.old, table.new, table.replay

# --- a class for each cause, and data --------------------------------------------------------------

old("error-data", "1.1", [
    fails("nosuch", None, "CommandNotFound", "nosuch has not been found", exactly({"name": "nosuch"})),
    fails("device_del", {}, "MissingParameter", "Parameter 'id' is missing", exactly({"name": "id"})),
    fails("balloon", {"value": "x"}, "InvalidParameterType", "expected: int$", exactly({"name": "value", "expected": "int"})),
    fails("eject", {"device": "cd0", "force": 1}, "InvalidParameterType", "expected: bool$", exactly({"name": "force", "expected": "bool"})),
    fails("query-block", {"foo": 1}, "InvalidParameter", "Invalid parameter 'foo'", exactly({"name": "foo"})),
    fails("device_del", {"id": "nope"}, "DeviceNotFound", "'nope' not found", exactly({"device": "nope"})),
    fails("eject", {"device": "drive0"}, "DeviceNotRemovable", "is not removable", exactly({"device": "drive0"})),
    fails("closefd", {"fdname": "f"}, "FdNotFound", "named 'f' not found", exactly({"name": "f"})),
    fails("getfd", {"fdname": "f"}, "FdNotSupplied", "SCM_RIGHTS", exactly({})),
    fails("device_add", {"driver": "no-such-device"}, "InvalidParameterValue", "expects device type", dict),
    fails("device_add", {"driver": "e1000", "bus": "nobus"}, "BusNotFound", "'nobus' not found", exactly({"bus": "nobus"})),
    fails("device_add", {"driver": "virtio-blk-pci", "drive": "nodrive"}, "PropertyValueNotFound", "can't find value 'nodrive'",
          {"property": "drive", "value": "nodrive"}),
    fails("migrate", {"uri": "bogus:1"}, "InvalidParameterValue", "valid migration protocol", {"name": "uri"}),
    fails("qom-get", {"path": "/nope", "property": "x"}, "DeviceNotFound", "/nope", exactly({"device": "/nope"})),
    fails("blockdev-snapshot-sync", {"device": "drive0", "snapshot-file": "{x}", "format": "nofmt"}, str, ..., dict),
    fails("transaction", {"actions": [{"type": "nope", "data": {}}]}, "InvalidParameter", "Invalid parameter", dict),
    fails("memsave", {"val": 0, "size": 1, "filename": "{x}", "cpu-index": 99}, "InvalidParameterValue", "expects a CPU number", dict),
], own=[])
for version in ("1.1", "rhel6"):
    replay("error-data", "7.2", version, ["errors"], [
        fails("device_del", {"id": "nope"}, "DeviceNotFound", "nope", Absent),
        fails("device_del", {}, "GenericError", "'id' is missing", Absent),
        fails("nosuch", None, "CommandNotFound", "nosuch", Absent),
    ])
old("error-devicenotfound", "1.1", [
    fails("block_resize", {"device": "nope", "size": 1}, "DeviceNotFound", "Device 'nope' not found", exactly({"device": "nope"})),
    fails("blockdev-snapshot-sync", {"device": "nope", "snapshot-file": "/x"}, "DeviceNotFound", "Device 'nope' not found", exactly({"device": "nope"})),
], since="2.0")
old("unknown-args", "1.1", [
    fails("stop", {"foo": 1}, "InvalidParameter", "Invalid parameter 'foo'", exactly({"name": "foo"})),
])
old("error-desc", "1.1", [
    fails("device_add", {"driver": "e1000", "id": "vd0"}, "DuplicateId", "^Duplicate ID 'vd0' for device", dict),
], what="a class that the text tells")
old("sys-wakeup", "3.1", [ok("system_wakeup")], since="4.0")
old("vnc-host", "1.1", [
    ok("query-vnc", None, {"enabled": True, "family": "unix", "host": "localhost"}),
], since="2.0", own=[])

# --- events ----------------------------------------------------------------------------------------

SINK = "exec:cat >/dev/null"
table.old_replay("strict-enum-events", "2.3", "11.1", ["unknown-events"], [
    ok("stop"), Event("STOP"), Never("VFIO_MIGRATION"), Never("MEMORY_DEVICE_SIZE_CHANGE"), Never("NETDEV_STREAM_CONNECTED"),
])
old("strict-enum-events", "9.2", [
    ok("migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": True}]}),
    ok("migrate", {"uri": SINK}),
    Event("MIGRATION", {"status": "completed"}),
    Never("MIGRATION", {"status": "device"}),
], since="10.0", own=[], what="MIGRATION")
old("strict-enum-events", "5.1", [
    ok("nbd-server-start", {"addr": {"type": "unix", "data": {"path": "{nbd}"}}}),
    ok("nbd-server-add", {"device": "drive0"}), ok("nbd-server-stop"), Never("BLOCK_EXPORT_DELETED"),
], since="5.2", own=[], what="BLOCK_EXPORT_DELETED")
class Connect(Step):
    """To a socket, once somebody listens there, and stay."""

    def __init__(self, path):
        self.path = path

    def play(self, talk):
        path, talk.kept = talk.fill(self.path), socket.socket(socket.AF_UNIX)
        until(lambda: talk.kept.connect_ex(path) == 0, "somebody to listen at " + path)


LISTEN = {"type": "stream", "id": "<s>", "server": True, "addr": {"type": "unix", "path": "{stream}"}}
old("strict-enum-events", "7.1", [
    ok("netdev_add", LISTEN), Connect("{stream}"),
    Until("human-monitor-command", {"command-line": "info network"}, {"return": re.compile("type=stream,unix:")}),
    Never("NETDEV_STREAM_CONNECTED"),
], since="7.2", first="7.2", own=[], what="NETDEV_STREAM_CONNECTED")
old("migration-event", "9.2", [
    ok("migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": True}]}),
    ok("migrate", {"uri": SINK}),
    Event("MIGRATION", {"status": "setup"}), Event("MIGRATION", {"status": "active"}), Event("MIGRATION", {"status": "completed"}),
], since="99", own=[])
old("reset-shutdown-reason", "2.9", [
    ok("system_reset"), Event("RESET"), Never("RESET", {"guest": False}),
], since="2.10", own=[], what="RESET")
table.old_replay("reset-shutdown-reason", "2.9", "11.1", ["reset"], [
    ok("system_reset"), Event("RESET", is_after_reply=True),
], what="RESET")
replay("reset-shutdown-reason", "5.2", "2.0", ["reset", "end"], [
    ok("system_reset"), Event("RESET", {"guest": False, "reason": "host-qmp-system-reset"}),
    Event("RESET", {"guest": True, "reason": "guest-reset"}), ok("query-name"),
])
replay("reset-shutdown-reason", "5.2", "2.0", ["quit"], [
    ok("quit"), Event("SHUTDOWN", {"guest": False, "reason": "host-qmp-quit"}),
], what="quit")
table.old_replay("io-error-members", "2.0", "11.1", ["io-error"], [
    ok("cont"), Event("BLOCK_IO_ERROR", exactly({"device": "drive0", "operation": "read", "action": "stop"})),
])
table.old_replay("io-error-members", "9.2", "11.1", ["io-error"], [
    ok("cont"), Event("BLOCK_IO_ERROR", {"nospace": True, "node-name": "#block217", "qom-path": Absent}),
], what="qom-path")
table.old_replay("io-error-members", "0.12.1", "11.1", ["io-error"], [
    ok("cont"), Event("BLOCK_IO_ERROR", {"__com.redhat_reason": "enospc", "nospace": Absent}),
], what="as RHEL 6 had it")
replay("io-error-members", "7.2", "rhel6", ["io-error"], [
    ok("cont"), Event("BLOCK_IO_ERROR", {"nospace": True, "reason": "No space left on device", "__com.redhat_reason": Absent}),
])
table.old_replay("events-other-members", "2.0", "11.1", ["tray"], [
    ok("eject", {"device": "cd0"}), Event("DEVICE_TRAY_MOVED", exactly({"device": "cd0", "tray-open": True})),
])
replay("events-other-members", "7.2", "2.0", ["tray"], [
    ok("eject", {"device": "cd0"}), Event("DEVICE_TRAY_MOVED", exactly({"device": "cd0", "tray-open": True, "id": "cd0"})),
])
table.old_replay("mem-unplug-error", "6.1", "11.1", ["unplug"], [
    ok("device_del", {"id": "dimm1"}), Event("MEM_UNPLUG_ERROR", {"device": "dimm1", "msg": str}),
])
replay("mem-unplug-error", "9.1", "5.2", ["unplug"], [
    ok("device_del", {"id": "dimm1"}), Event("DEVICE_UNPLUG_GUEST_ERROR", exactly({"device": "dimm1", "path": "/machine/peripheral/dimm1"})),
])

# --- the greeting ----------------------------------------------------------------------------------

old("greeting", "2.11", [Greeted({"QMP": {"capabilities": exactly([]), "version": dict}}), ok("query-name")], since="2.12")
old("oob", "2.11", [Greeted({"QMP": {"capabilities": exactly([])}})], since="2.12", what="not offered")
old("reply-size", "2.4", [
    ok("query-qmp-schema", None, lambda schema: len(schema) > 500),
], since="99", what="one line of any length")
old("crlf", "0.12.1", [ok("query-name")], since="99", what="every message ends in CR LF")

if __name__ == "__main__":
    sys.exit(table.run())
