#!/usr/bin/env python3
"""Breaks of migration, of CPUs, and of the questions about a guest's state."""

import sys

from history import Absent, Event, Send, Table, Until, each, exactly, fails, has, ok

table = Table()
old, new, replay = table.old, table.new, table.replay

# --- migration -------------------------------------------------------------------------------------

SINK = "exec:cat >/dev/null"


def completed(status="completed"):
    return Until("query-migrate", None, {"return": {"status": status}})


old("migrate-detach", "10.1", [ok("migrate", {"uri": SINK, "detach": True}), completed()], since="11.0", own=[])
old("migrate-blk-inc", "9.0", [ok("migrate", {"uri": SINK, "blk": False, "inc": False}), completed()], since="9.1", own=[])
old("migrate-blk-inc", "0.9", [
    ok("migrate", {"uri": SINK, "blk": False, "inc": False, "detach": True}), completed(),
], since="9.1", own=[], what="and detach, as libvirt of 2011 sends it")
old("migrate-set-speed", "2.7", [
    ok("migrate_set_speed", {"value": 33554432}),
    ok("query-migrate-parameters", None, {"max-bandwidth": 33554432}),
    ok("migrate_set_speed", {"value": 9223372036853727232}),
], since="6.0")
old("migrate-set-speed", "0.12.1", [
    ok("migrate_set_speed", {"value": 15000000.0}),
    ok("query-migrate-parameters", None, {"max-bandwidth": exactly(15000000)}),
], first="6.0", what="a fraction, as RHEL 6 took it")
old("migrate-set-downtime", "2.7", [
    ok("migrate_set_downtime", {"value": 0.3}),
    ok("query-migrate-parameters", None, {"downtime-limit": exactly(300)}),
    ok("migrate_set_downtime", {"value": 2}),
    ok("query-migrate-parameters", None, {"downtime-limit": exactly(2000)}),
], since="6.0")
old("migrate-cache-size", "2.10", [
    ok("migrate-set-cache-size", {"value": 33554432}),
    ok("query-migrate-cache-size", None, exactly(33554432)),
], since="6.0")
old("migrate-compress", "9.0", [
    ok("migrate-set-capabilities", {"capabilities": [{"capability": "compress", "state": False}, {"capability": "xbzrle", "state": True},
                                                     {"capability": "block", "state": False}]}),
    ok("query-migrate-capabilities", None, has({"capability": "xbzrle", "state": True})),
    ok("migrate-set-capabilities", {"capabilities": [{"capability": "compress", "state": False}]}),
    ok("migrate-set-capabilities", {"capabilities": [{"capability": "xbzrle", "state": False}]}),
], since="9.1")
old("migrate-compress", "9.0", [
    ok("migrate-set-parameters", {"compress-level": 5, "compress-threads": 8, "decompress-threads": 2, "downtime-limit": 400}),
    ok("query-migrate-parameters", None, {"compress-level": 5, "compress-threads": 8, "decompress-threads": 2, "downtime-limit": 400,
                                          "compress-wait-thread": True, "block-incremental": False}),
], since="9.1", what="its parameters")
old("migrate-compress", "10.2", [
    ok("migrate-set-capabilities", {"capabilities": [{"capability": "zero-blocks", "state": False}, {"capability": "auto-converge", "state": True}]}),
    ok("query-migrate-capabilities", None, has({"capability": "auto-converge", "state": True})),
    ok("migrate-set-capabilities", {"capabilities": [{"capability": "auto-converge", "state": False}]}),
], since="11.0", what="zero-blocks")
old("query-migrate-members", "9.0", [
    ok("migrate", {"uri": SINK}), completed(),
    ok("query-migrate", None, {"status": "completed", "ram": {"skipped": exactly(0), "total": int, "transferred": int}}),
], since="9.1", own=[])
old("migrationthreads", "10.2", [ok("query-migrationthreads", None, exactly([]))], since="11.0")
table.old_replay("mig-tls-null", "10.2", "11.1", ["null-tls"], [
    ok("query-migrate-parameters", None, {"tls-creds": "", "tls-hostname": "", "tls-authz": "", "max-bandwidth": 134217728}),
])

# --- CPUs, status ----------------------------------------------------------------------------------

CPU = {"CPU": 0, "thread_id": int, "current": bool, "halted": bool, "pc": int, "arch": "x86", "qom_path": str,
       "props": {"core-id": 0}, "cpu-index": Absent, "thread-id": Absent}
old("query-cpus", "5.2", [ok("query-cpus", None, [CPU])], since="6.0")
old("query-cpus", "0.9", [ok("query-cpus", None, [CPU])], since="6.0", what="before libvirt starts a guest")
old("query-cpus-fast-arch", "5.2", [
    ok("query-cpus-fast", None, [{"arch": "x86", "target": "x86_64", "cpu-index": 0}]),
], since="6.0")
new("query-cpus-fast-arch", "6.0", "5.2", [
    ok("query-cpus-fast", None, [{"arch": Absent, "target": "x86_64", "cpu-index": 0}]),
])
old("query-status-singlestep", "8.2", [
    ok("query-status", None, {"status": str, "running": bool, "singlestep": exactly(False)}),
], since="9.0")
for server in ("5.2", "7.2"):
    new("query-status-singlestep", "9.0", server, [
        ok("query-status", None, {"status": str, "running": bool, "singlestep": Absent}),
    ])
old("query-events", "5.2", [
    ok("query-events", None, has({"name": "SHUTDOWN"})),
    ok("query-events", None, each({"name": str})),
], since="6.0")
old("trace-vcpu", "9.0", [
    ok("trace-event-get-state", {"name": "kvm_init_vcpu"}, each({"name": "kvm_init_vcpu", "state": str, "vcpu": exactly(False)})),
], since="9.1")

# --- events ----------------------------------------------------------------------------------------

old("event-before-reply", "5.2", [
    ok("system_reset"), Event("RESET", {"guest": False}, is_after_reply=True),
], since="7.2", what="system_reset")
old("event-before-reply", "5.2", [
    ok("system_powerdown"), Event("POWERDOWN", is_after_reply=True),
], since="7.2", what="system_powerdown")
old("event-before-reply", "5.2", [
    ok("quit"), Event("SHUTDOWN", is_after_reply=True),
], since="7.2", what="quit", own=[])
new("schema-enum-values", "7.2", "5.2", [
    ok("query-qmp-schema", None, has({"meta-type": "enum", "values": has("shutdown"), "members": has({"name": "shutdown"})})),
    ok("query-qmp-schema", None, has({"meta-type": "object", "members": has({"name": "uri", "type": "str"})})),
])

if __name__ == "__main__":
    sys.exit(table.run())
