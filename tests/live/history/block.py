#!/usr/bin/env python3
"""Breaks of disks: how they are added, named, changed and shown."""

import sys

from history import Absent, Event, Never, Table, each, exactly, fails, has, ok

table = Table()
old, new, replay = table.old, table.new, table.replay

NODE = {"driver": "raw", "node-name": "<n>", "file": {"driver": "null-co", "size": 1048576}}


def drive(**members):
    return has({"device": "drive0", **members})


def node(**members):
    return has({"node-name": "<n>", **members})


# --- media -----------------------------------------------------------------------------------------

MEDIUM = ok("blockdev-add", {"driver": "file", "node-name": "<f>", "filename": "{base}"})
for client in ("5.2", "0.9"):
    old("change", client, [
        ok("change", {"device": "cd0", "target": "/proc/self/exe", "arg": "raw"}),
        Event("DEVICE_TRAY_MOVED", {"device": "cd0"}) if client == "5.2" else Never("DEVICE_TRAY_MOVED"),
        ok("query-block", None, has({"device": "cd0", "inserted": {"file": "/proc/self/exe", "drv": "raw"}})),
        ok("eject", {"device": "cd0", "force": True}),
    ], since="6.0", what="the medium")
old("change", "5.2", [fails("change", {"device": "nope", "target": "/x"}, "DeviceNotFound", "nope")], since="6.0", what="of no device")
replay("change", "7.2", "1.0", ["change"], [
    ok("blockdev-change-medium", {"device": "cd0", "filename": "/m.iso", "format": "raw"}),
], what="the medium")
replay("change-vnc-password", "7.2", "1.0", ["vnc-password"], [ok("change-vnc-password", {"password": "y"})])

# --- nodes -----------------------------------------------------------------------------------------

OLD_NODE = {"options": {"driver": "raw", "id": "<n>", "file": {"driver": "null-co", "size": 1048576}}}
old("blockdev-add-options", "2.8", [
    ok("blockdev-add", OLD_NODE),
    ok("query-named-block-nodes", None, node()),
    ok("x-blockdev-del", {"id": "<n>"}),
], since="2.9")
old("x-blockdev-del", "2.8", [
    ok("blockdev-add", {"options": {"driver": "null-co", "node-name": "<n>"}}),
    ok("x-blockdev-del", {"node-name": "<n>"}),
], since="2.9")
replay("blockdev-add-options", "7.2", "2.0", ["blockdev-add"], [
    ok("blockdev-add", {"driver": "qcow2", "node-name": "bd2", "file": {"driver": "file", "filename": "/x.qcow2"}}),
])
old("blockdev-file-host-device", "5.2", [
    ok("blockdev-add", {"driver": "file", "node-name": "<n>", "filename": "/dev/zero"}),
    ok("blockdev-del", {"node-name": "<n>"}),
    ok("blockdev-add", {"driver": "raw", "node-name": "<m>", "file": {"driver": "file", "filename": "/dev/zero"}}),
    ok("blockdev-del", {"node-name": "<m>"}),
], since="6.0")
old("x-blockdev-reopen", "6.0", [
    ok("blockdev-add", {"driver": "null-co", "node-name": "<f>", "size": 1048576}),
    ok("blockdev-add", {"driver": "raw", "node-name": "<n>", "file": "<f>"}),
    ok("x-blockdev-reopen", {"driver": "raw", "node-name": "<n>", "file": "<f>", "read-only": True}),
    ok("query-named-block-nodes", None, node(ro=True)),
], since="6.1")
new("x-blockdev-reopen", "6.1", "5.2", [
    ok("blockdev-add", {"driver": "null-co", "node-name": "<f>", "size": 1048576}),
    ok("blockdev-add", {"driver": "raw", "node-name": "<n>", "file": "<f>"}),
    ok("blockdev-reopen", {"options": [{"driver": "raw", "node-name": "<n>", "file": "<f>", "read-only": True}]}),
    ok("query-named-block-nodes", None, node(ro=True)),
])
old("blockdev-backing-empty", "2.9", [
    ok("blockdev-snapshot-sync", {"device": "drive0", "snapshot-file": "{snapshot}", "format": "qcow2"}),
    ok("blockdev-add", {"driver": "qcow2", "node-name": "<b>", "read-only": True, "backing": "",
                        "file": {"driver": "file", "filename": "{snapshot}", "locking": "off"}}),
    ok("query-named-block-nodes", None, has({"node-name": "<b>", "backing_file_depth": 0})),
], since="99", own=[], what="the server still takes it")
replay("blockdev-backing-empty", "7.2", "2.0", ["backing"], [
    ok("blockdev-add", {"driver": "qcow2", "node-name": "b", "backing": None, "file": "f"}),
])

# --- bitmaps, histograms ---------------------------------------------------------------------------

old("bitmap-autoload", "4.1", [
    ok("blockdev-add", NODE),
    ok("block-dirty-bitmap-add", {"node": "<n>", "name": "bm1", "autoload": True}),
    ok("transaction", {"actions": [{"type": "block-dirty-bitmap-add", "data": {"node": "<n>", "name": "bm2", "autoload": False}}]}),
], since="4.2")
old("bitmap-x", "3.1", [
    ok("blockdev-add", NODE),
    ok("block-dirty-bitmap-add", {"node": "<n>", "name": "a"}),
    ok("block-dirty-bitmap-add", {"node": "<n>", "name": "b"}),
    ok("x-block-dirty-bitmap-disable", {"node": "<n>", "name": "a"}),
    ok("x-block-dirty-bitmap-enable", {"node": "<n>", "name": "a"}),
    ok("x-block-dirty-bitmap-merge", {"node": "<n>", "dst_name": "a", "src_name": "b"}),
], since="4.0")
table.replay("bitmap-x", "5.2", "3.1", ["bitmaps"], [
    ok("block-dirty-bitmap-disable", {"node": "n", "name": "a"}),
    ok("block-dirty-bitmap-merge", {"node": "n", "target": "a", "bitmaps": ["b"]}),
    ok("block-dirty-bitmap-merge", {"node": "n", "target": "a", "bitmaps": ["b", "c"]}),
])
old("query-block-bitmaps", "5.2", [
    ok("block-dirty-bitmap-add", {"node": "drive0", "name": "bm0"}),
    ok("query-block", None, drive(**{"dirty-bitmaps": [{"name": "bm0", "status": "active", "recording": True, "busy": False}],
                                     "inserted": {"dirty-bitmaps": [{"name": "bm0", "recording": True}]}})),
    ok("query-block", None, has({"device": "cd0", "removable": True})),
    ok("block-dirty-bitmap-disable", {"node": "drive0", "name": "bm0"}),
    ok("query-block", None, drive(**{"dirty-bitmaps": [{"name": "bm0", "status": "disabled"}]})),
    ok("block-dirty-bitmap-remove", {"node": "drive0", "name": "bm0"}),
], since="6.0", own=[])
old("query-block-encryption-key", "5.2", [
    ok("query-block", None, drive(inserted={"encryption_key_missing": exactly(False), "encrypted": False, "ro": False})),
    ok("query-named-block-nodes", None, each({"encryption_key_missing": exactly(False)})),
], since="6.0")
new("query-block-encryption-key", "6.0", "5.2", [
    ok("query-block", None, drive(inserted={"encryption_key_missing": Absent, "encrypted": False})),
    ok("query-named-block-nodes", None, each({"encryption_key_missing": Absent})),
])
old("latency-histogram-x", "3.1", [
    ok("x-block-latency-histogram-set", {"device": "drive0"}),
    ok("x-block-latency-histogram-set", {"device": "drive0", "boundaries": [10, 50]}),
    ok("query-blockstats", None, drive(stats={"x_rd_latency_histogram": {"boundaries": [10, 50]}, "rd_latency_histogram": Absent})),
], since="4.0", own=[])
old("block-passwd", "5.2", [
    fails("block_passwd", {"device": "drive0", "password": "x"}, "GenericError", "no longer supported"),
], since="6.0")
old("block-passwd", "1.1", [
    fails("block_passwd", {"device": "drive0", "password": "x"}, "DeviceNotEncrypted", "encrypted", dict),
], since="1.2", what="for a client with rich errors")
for server in ("5.2", "7.2", "10.0"):
    new("query-named-block-nodes-flat", "11.0", server, [
        ok("query-block", {"flat": True}, drive(inserted={"image": {"filename": str, "backing-image": Absent}})),
    ], what="query-block")
replay("query-named-block-nodes-flat", "5.2", "2.12", ["nodes"], [
    ok("query-named-block-nodes", {"flat": True}, [{"node-name": "top", "image": {"filename": "/top.qcow2", "backing-image": Absent}}]),
])
replay("device-vs-id", "7.2", "2.0", ["eject"], [
    ok("device_add", {"driver": "ide-cd", "id": "ide1", "drive": "cd0"}),
    ok("eject", {"id": "ide1"}),
])
replay("tray-open-member", "7.2", "rhel6", ["tray"], [
    ok("query-block", None, [{"device": "cd0", "tray_open": False, "tray-open": Absent}]),
])
old("tray-open-member", "0.12.1", [
    ok("query-block", None, has({"device": "cd0", "tray-open": bool, "tray_open": Absent})),
])
old("drive-add-hmp", "2.12", [
    ok("human-monitor-command", {"command-line": "device_del nope"}, "Device 'nope' not found\r\n"),
], since="5.0")

# --- disks by the human monitor ----------------------------------------------------------------------

for server in ("1.0", "1.1"):
    replay("drive-add-hmp", "7.2", server, ["drive-add"], [
        ok("blockdev-add", {"driver": "raw", "node-name": "n2", "file": {"driver": "file", "filename": "/h.raw"}}),
        fails("blockdev-add", {"driver": "raw", "node-name": "n3", "file": {"driver": "file", "filename": "/h,readonly=on"}},
              "GenericError", "comma"),
        ok("blockdev-del", {"node-name": "n2"}),
        fails("blockdev-del", {"node-name": "n2"}, "GenericError", "n2' not found"),
    ])

if __name__ == "__main__":
    sys.exit(table.run())
