#!/usr/bin/env python3
"""Breaks of which old clients of a vendor, or new clients before records of old servers, have most."""

import sys

from history import Absent, Event, Table, Until, exactly, fails, has, ok

table = Table()
old, new, replay, old_replay = table.old, table.new, table.replay, table.old_replay

# --- new clients, records --------------------------------------------------------------------------

replay("query-cpus", "7.2", "1.0", ["cpus"], [
    ok("query-cpus-fast", None, [{"cpu-index": 0, "thread-id": 10753, "target": "x86_64", "CPU": Absent, "pc": Absent, "halted": Absent},
                                 {"cpu-index": 1, "thread-id": 10752}]),
])
replay("query-cpus", "7.2", "2.10", ["cpus"], [
    ok("query-cpus-fast", None, [{"cpu-index": 0, "thread-id": 28365, "target": "x86_64", "arch": Absent,
                                  "qom-path": "/machine/unattached/device[0]", "props": {"core-id": 0}}]),
])
replay("migrate-set-speed", "7.2", "1.1", ["limits"], [
    ok("migrate-set-parameters", {"max-bandwidth": 33554432, "downtime-limit": 300}),
])
replay("migrate-set-downtime", "7.2", "1.1", ["limits"], [
    ok("migrate-set-parameters", {"max-bandwidth": 33554432, "downtime-limit": 300}),
])
replay("migrate-cache-size", "7.2", "2.0", ["limits"], [
    ok("migrate-set-parameters", {"max-bandwidth": 33554432, "downtime-limit": 300, "xbzrle-cache-size": 67108864}),
    ok("query-migrate-parameters", None, exactly({"xbzrle-cache-size": 67108864, "max-bandwidth": 33554432, "downtime-limit": 300})),
])
replay("object-add-props", "7.2", "2.0", ["object-add"], [
    ok("object-add", {"qom-type": "memory-backend-ram", "id": "m0", "size": 1048576}),
])
replay("netdev-add-strict", "7.2", "2.0", ["netdev"], [
    ok("netdev_add", {"type": "user", "id": "u", "hostfwd": [{"str": "tcp::5555-:22"}]}),
    ok("netdev_add", {"type": "user", "id": "v", "hostfwd": [{"str": "tcp::5556-:22"}, {"str": "tcp::5557-:80"}]}),
])
replay("input-send-event", "7.2", "2.3", ["input"], [ok("input-send-event", {"events": []})])
replay("migration-event", "7.2", "2.0", ["capabilities"], [
    ok("migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": True}, {"capability": "xbzrle", "state": True}]}),
], what="what cannot be switched on")
replay("migrate-channels", "8.2", "2.0", ["migrate"], [
    ok("migrate", {"channels": [{"channel-type": "main", "addr": {"transport": "socket", "type": "inet", "host": "h", "port": "4444"}}]}),
    ok("migrate", {"channels": [{"channel-type": "main", "addr": {"transport": "exec", "args": ["/bin/sh", "-c", "cat"]}}]}),
])
replay("query-migrate-members", "7.2", "1.1", ["migrate"], [
    ok("query-migrate", None, {"status": "active", "ram": {"total": 67108864, "duplicate": 0, "mbps": 0}}),
])
replay("migrate-xparams", "5.2", "3.1", ["multifd"], [
    ok("migrate-set-parameters", {"multifd-channels": 4}),
    ok("migrate-set-capabilities", {"capabilities": [{"capability": "multifd", "state": True}]}),
])
replay("nbd-server-add", "7.2", "2.12", ["nbd"], [
    ok("block-export-add", {"type": "nbd", "id": "e", "node-name": "n0", "name": "x", "writable": True}),
    ok("block-export-del", {"id": "e", "mode": "hard"}),
    Event("BLOCK_EXPORT_DELETED", {"id": "e"}),
])
replay("hmp-empty", "7.2", "1.0", ["hmp"], [ok("human-monitor-command", {"command-line": "stop"}, "")])
replay("runstate-names", "7.2", "rhel6", ["state"], [ok("query-status", None, {"status": "postmigrate", "running": False})])
replay("redhat-other", "7.2", "rhel6", ["spice"], [ok("cont"), Event("SPICE_INITIALIZED")])
replay("query-kvm", "11.1", "2.0", ["kvm"], [ok("query-accelerators", None, {"enabled": "tcg", "present": ["kvm", "tcg"]})])
replay("query-sgx", "8.0", "7.2", ["sgx"], [ok("query-sgx", None, {"sections": [{"node": 0, "size": 1048576}], "section-size": Absent})])
old_replay("query-sgx", "7.2", "11.1", ["sgx"], [ok("query-sgx", None, {"section-size": 1048576, "sections": Absent})])
replay("query-sev", "9.1", "5.2", ["sev"], [ok("query-sev", None, {"sev-type": "sev", "policy": 1, "handle": 1})])
old_replay("query-sev", "9.0", "11.1", ["sev"], [
    ok("query-sev", None, {"policy": 196608, "handle": 0, "sev-type": Absent, "snp-policy": Absent}),
])
replay("uint64", "7.2", "2.0", ["balloon"], [
    ok("qom-get", {"path": "/b", "property": "guest-stats"}, {"stats": {"stat-swap-out": 18446744073709551615, "stat-free-memory": 18446744073709551615}}),
])

replay("latency-histogram-x", "5.2", "3.1", ["histogram"], [
    ok("block-latency-histogram-set", {"id": "/machine/peripheral/vd0/virtio-backend", "boundaries": [10, 50]}),
    ok("query-blockstats", None, [{"device": "drive0", "stats": {"rd_latency_histogram": {"boundaries": [10, 50]}, "x_rd_latency_histogram": Absent}}]),
])
replay("query-block-bitmaps", "5.2", "3.1", ["bitmap"], [
    ok("query-block", None, [{"device": "drive0", "dirty-bitmaps": Absent, "inserted": {"dirty-bitmaps": [{"name": "bm0"}]}}]),
])
replay("x-blockdev-del", "5.2", "2.8", ["del"], [ok("blockdev-del", {"node-name": "n"})])
replay("unknown-args", "7.2", "1.1", ["unknown"], [fails("stop", {"foo": 1}, "GenericError", "foo", Absent)])

# --- old clients -----------------------------------------------------------------------------------

old("uint64", "2.9", [
    ok("qom-get", {"path": "/machine/peripheral/balloon0", "property": "guest-stats"}, {"stats": {"stat-swap-out": -1, "stat-free-memory": -1}}),
], since="2.10")
old("cpu-cmd", "2.11", [ok("cpu", {"index": 0})], since="2.12")
old("input-send-event", "2.5", [ok("cont"), ok("x-input-send-event", {"console": 0, "events": []})], since="2.6", own=[])
old("migrate-xparams", "3.1", [
    ok("migrate-set-parameters", {"x-multifd-channels": 4}),
    ok("query-migrate-parameters", None, {"x-multifd-channels": 4, "multifd-channels": Absent}),
    ok("migrate-set-capabilities", {"capabilities": [{"capability": "x-multifd", "state": False}]}),
], since="4.0")
old("migrate-xparams", "2.6", [
    ok("migrate-set-parameters", {"x-cpu-throttle-initial": 20}),
    ok("query-migrate-parameters", None, {"x-cpu-throttle-initial": 20}),
], since="2.7", what="x-cpu-throttle-initial")
old("query-migrate-status", "1.1", [
    ok("migrate", {"uri": "exec:sleep 1; cat >/dev/null"}),
    Until("query-migrate", None, {"return": {"status": "completed", "ram": {"total": int, "remaining": int, "transferred": int}}}),
], since="99", own=[])
old("hmp-empty", "1.0", [ok("human-monitor-command", {"command-line": "stop"}, exactly({}))], since="1.1")
old("runstate-names", "0.12.1", [
    ok("migrate", {"uri": "exec:cat >/dev/null"}),
    Until("query-migrate", None, {"return": {"status": "completed"}}),
    ok("query-status", None, {"status": "post-migrate"}),
], own=[])
old("redhat-drive-add", "0.12.1", [
    ok("__com.redhat_drive_add", {"file": "null-co://", "format": "raw", "id": "<hd>", "cache": "none"}),
    ok("query-block", None, has({"device": "<hd>"})),
    ok("__com.redhat_drive_del", {"id": "<hd>"}),
    ok("__com.redhat_drive_add", {"file": "null-co://", "format": "raw", "id": "<hd>"}),
])
old("redhat-mirror", "0.12.1", [
    ok("__com.redhat_drive-mirror", {"device": "drive0", "target": "{target}", "format": "qcow2", "full": True}),
    Until("query-block-jobs", None, {"return": lambda jobs: jobs and jobs[0]["type"] == "mirror" and jobs[0]["len"] == jobs[0]["offset"] > 0}),
    ok("__com.redhat_drive-reopen", {"device": "drive0", "new-image-file": "{target}", "format": "qcow2"}),
    Event("BLOCK_JOB_COMPLETED", {"device": "drive0", "type": "mirror"}),
    ok("query-block-jobs", None, exactly([])),
    ok("query-block", None, has({"device": "drive0", "inserted": {"file": "{target}"}})),
], own=[])
old("redhat-other", "0.12.1", [
    ok("__com.redhat_set_password", {"protocol": "vnc", "password": "x", "expiration": 3600}),
])
old("redhat-drive-add", "0.12.1", [
    fails("__com.redhat_drive_add", {"file": "/nosuch/{x}", "format": "raw", "id": "<hd>"}, "OpenFileFailed", "Could not open", dict),
    fails("__com.redhat_drive_del", {"id": "nope"}, "DeviceNotFound", "'nope' not found", exactly({"device": "nope"})),
], what="what fails")
old("hmp-text", "5.2", [
    ok("human-monitor-command", {"command-line": "migrate_set_speed 32M"}, ""),
    ok("query-migrate-parameters", None, {"max-bandwidth": 33554432}),
], since="6.0")
old("hmp-text", "2.10", [
    ok("human-monitor-command", {"command-line": "usb_add tablet"}, ""),
    ok("query-mice", None, has({"name": "QEMU HID Tablet"})),
], since="4.0", first="6.0", own=["-usb"], what="usb_add")

# --- what is there today, and will go --------------------------------------------------------------

LATER = ["deprecated.jsonc"]
NBD = ok("nbd-server-start", {"addr": {"type": "unix", "data": {"path": "{nbd}"}}})
table.forced("nbd-server-add", "11.1", [
    NBD, ok("nbd-server-add", {"device": "drive0", "writable": False}),
    ok("query-block-exports", None, [{"id": "drive0", "type": "nbd", "shutting-down": False}]),
    ok("nbd-server-remove", {"name": "drive0", "mode": "hard"}),
    Event("BLOCK_EXPORT_DELETED", {"id": "drive0"}),
    ok("nbd-server-add", {"device": "drive0", "name": "x"}),
    ok("query-block-exports", None, has({"id": "x"})),
], LATER)
SLOW = {"device": "drive0", "speed": 65536}
table.forced("block-job-x-deprecated", "11.1", [
    ok("block-stream", SLOW),
    ok("block-job-pause", {"device": "drive0"}), Until("query-block-jobs", None, {"return": [{"paused": True}]}),
    ok("block-job-resume", {"device": "drive0"}), Until("query-block-jobs", None, {"return": [{"paused": False}]}),
], LATER)
table.forced("error-job-notfound", "11.1", [
    fails("block-job-complete", {"device": "nope"}, "DeviceNotActive", "Block job not found"),
], LATER)
table.forced("query-kvm", "11.1", [
    ok("query-kvm", None, exactly({"enabled": False, "present": True})),
], LATER, first="11.0")
table.forced("block-commit-top-base", "11.1", [
    ok("blockdev-snapshot-sync", {"device": "drive0", "snapshot-file": "{one}", "format": "qcow2"}),
    ok("blockdev-snapshot-sync", {"device": "drive0", "snapshot-file": "{two}", "format": "qcow2"}),
    ok("blockdev-snapshot-sync", {"device": "drive0", "snapshot-file": "{three}", "format": "qcow2"}),
    ok("block-commit", {"device": "drive0", "top": "{two}", "base": "{one}"}),
    Event("BLOCK_JOB_COMPLETED", {"type": "commit", "error": Absent}),
], LATER)
table.forced("device-vs-id", "11.1", [
    ok("eject", {"device": "cd0"}), Event("DEVICE_TRAY_MOVED", {"id": "ide1"}),
    ok("blockdev-close-tray", {"device": "cd0"}),
], LATER)
table.forced("drive-backup", "11.1", [
    ok("blockdev-create", {"job-id": "make", "options": {"driver": "file", "filename": "{copy}", "size": 16777216}}),
    Until("query-jobs", None, {"return": [{"status": "concluded"}]}),
    ok("drive-backup", {"device": "drive0", "target": "{copy}", "format": "raw", "mode": "existing", "sync": "full"}),
    Event("BLOCK_JOB_COMPLETED", {"device": "drive0", "type": "backup"}),
    Until("query-named-block-nodes", None, {"return": lambda nodes: not any(n.get("node-name") == "backup-drive0" for n in nodes)}),
], LATER, what="to a file that is there")
table.forced("chardev-removed", "11.1", [
    ok("chardev-add", {"id": "c", "backend": {"type": "memory", "data": {}}}),
    ok("query-chardev", None, has({"label": "c", "filename": "ringbuf"})),
], LATER)

if __name__ == "__main__":
    sys.exit(table.run())
