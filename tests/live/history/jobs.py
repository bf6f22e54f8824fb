#!/usr/bin/env python3
"""Breaks of jobs: their names, events and ends."""

import re
import sys

from history import Absent, Event, Never, Table, Told, Until, exactly, fails, has, ok

table = Table()
old, new, replay = table.old, table.new, table.replay

SLOW = {"device": "drive0", "speed": 65536}
IDLE = Until("query-block-jobs", None, {"return": exactly([])})

# --- old clients -----------------------------------------------------------------------------------

old("job-status-change", "2.10", [
    ok("block-stream", {"device": "drive0"}),
    Event("BLOCK_JOB_COMPLETED", {"device": "drive0", "type": "stream", "error": Absent}),
    Never("JOB_STATUS_CHANGE"),
], since="3.0", own=[])
old("blockjob-underscore", "0.9", [
    fails("block_job_cancel", {"device": "drive0"}, "DeviceNotActive", "has not been activated", {"device": "drive0"}),
    ok("block_stream", {"device": "drive0"}),
    Event("BLOCK_JOB_COMPLETED", {"device": "drive0", "type": "stream", "error": Absent}),
    IDLE,
    ok("query-commands", None, has({"name": "block_stream"})),
], since="1.1", own=[])
old("blockjob-cancel-sync", "0.12.1", [
    ok("block-stream", SLOW),
    ok("block-job-cancel", {"device": "drive0"}),
    ok("query-block-jobs", None, exactly([])),
], own=[], since="99")
table.old_replay("blockjob-cancel-sync", "0.12.1", "1.1", ["cancel"], [
    ok("block-job-cancel", {"device": "drive0"}), Event("BLOCK_JOB_COMPLETED", {"device": "drive0", "error": str}),
])
old("job-fast-completion", "5.2", [
    ok("block-stream", {"device": "drive0"}), Event("BLOCK_JOB_COMPLETED", {"error": Absent}, is_after_reply=True), IDLE,
    ok("block-stream", {"device": "drive0", "job-id": "again"}), Event("BLOCK_JOB_COMPLETED", {"device": "again"}, is_after_reply=True),
], since="7.2", own=[])
old("blockjob-cancel-ready", "2.10", [
    ok("drive-mirror", {"device": "drive0", "target": "{target}", "format": "qcow2", "sync": "full"}),
    Event("BLOCK_JOB_READY"),
    ok("block-job-cancel", {"device": "drive0", "force": True}),
    Event("BLOCK_JOB_COMPLETED", {"error": Absent}),
    Never("BLOCK_JOB_CANCELLED"),
], since="2.12", own=[])
old("blockdev-create-job", "2.12", [
    ok("x-blockdev-create", {"driver": "file", "filename": "{image}", "size": 0}),
    ok("query-jobs", None, exactly([])),
    ok("x-blockdev-create", {"driver": "file", "filename": "{image}", "size": 0}),
    Never("JOB_STATUS_CHANGE"),
], since="3.0")
old("blockdev-create-job", "2.12", [
    fails("x-blockdev-create", {"driver": "file", "filename": "/nosuch/{image}", "size": 0}, "GenericError", "Could not create"),
    ok("query-jobs", None, exactly([])),
], since="3.0", what="that fails")
old("query-block-jobs-members", "1.1", [
    ok("block-stream", SLOW),
    ok("query-block-jobs", None, [{"device": "drive0", "type": "stream", "len": int, "offset": int, "speed": 65536,
                                   "busy": Absent, "paused": Absent, "io-status": Absent, "status": Absent, "ready": Absent}]),
], own=[], since="1.3")
old("query-block-jobs-members", "2.10", [
    ok("block-stream", SLOW),
    ok("query-block-jobs", None, [{"device": "drive0", "busy": bool, "ready": False, "status": Absent, "auto-dismiss": Absent}]),
], own=[], since="2.12", what="of 2.12")
old("job-id", "2.6", [
    ok("block-stream", SLOW),
    ok("query-block-jobs", None, [{"device": "drive0"}]),
    ok("block-job-cancel", {"device": "drive0"}),
    Event("BLOCK_JOB_CANCELLED", {"device": "drive0"}),
], own=[], since="99", what="a drive's name is its job's")
old("block-stream-busy", "1.1", [
    ok("block-stream", SLOW),
    fails("block-stream", SLOW, "DeviceInUse", "Device 'drive0' is in use", {"device": "drive0"}),
], own=[])
old("event-before-reply", "5.2", [
    ok("block-stream", SLOW),
    ok("block-job-cancel", {"device": "drive0"}),
    Event("BLOCK_JOB_CANCELLED", is_after_reply=True),
], own=[], since="99", what="block-job-cancel")
old("error-job-notfound", "2.12", [
    fails("block-job-cancel", {"device": "nope"}, "DeviceNotActive"),
    fails("block-job-complete", {"device": "nope"}, "DeviceNotActive"),
], since="99", what="the server still says it so")
old("block-job-x-deprecated", "11.0", [
    ok("block-stream", SLOW),
    ok("block-job-pause", {"device": "drive0"}), ok("block-job-resume", {"device": "drive0"}),
], own=[], since="99", what="the server still has them")

# --- new clients -----------------------------------------------------------------------------------

STATUS = "JOB_STATUS_CHANGE"
replay("job-status-change", "5.2", "2.10", ["stream"], [
    ok("block-stream", {"device": "drive0"}),
    Event(STATUS, {"id": "drive0", "status": "created"}), Event(STATUS, {"id": "drive0", "status": "running"}),
    ok("query-jobs", None, [{"id": "drive0", "type": "stream", "status": "running", "current-progress": 524288,
                             "total-progress": 67108864, "speed": Absent}]),
    ok("job-pause", {"id": "drive0"}), ok("job-resume", {"id": "drive0"}),
    ok("job-cancel", {"id": "drive0"}),
    Event(STATUS, {"id": "drive0", "status": "aborting"}),
    Event("BLOCK_JOB_CANCELLED", {"device": "drive0"}),
    Event(STATUS, {"id": "drive0", "status": "concluded"}), Event(STATUS, {"id": "drive0", "status": "null"}),
])
replay("error-job-notfound", "5.2", "2.10", ["no-job"], [
    fails("job-cancel", {"id": "nope"}, "GenericError", "^Job not found$"),
])
replay("job-id", "5.2", "2.0", ["job-id"], [
    ok("block-stream", {"job-id": "j0", "device": "drive0"}),
    Event(STATUS, {"id": "j0", "status": "created"}),
    ok("block-job-set-speed", {"device": "j0", "speed": 0}),
    Event(STATUS, {"id": "j0", "status": "waiting"}),
    Event("BLOCK_JOB_COMPLETED", {"device": "j0", "type": "stream"}),
    Event(STATUS, {"id": "j0", "status": "null"}),
])
replay("job-autodismiss", "5.2", "2.0", ["job-id", "end"], [
    ok("block-stream", {"job-id": "j0", "device": "drive0", "auto-dismiss": False, "auto-finalize": True}),
    ok("block-job-set-speed", {"device": "j0", "speed": 0}),
    Event(STATUS, {"id": "j0", "status": "concluded"}),
    ok("job-dismiss", {"id": "j0"}),
    ok("query-name"),
])
replay("query-block-jobs-members", "7.2", "1.1", ["jobs"], [
    ok("query-block-jobs", None, [{"device": "drive0", "type": "stream", "busy": True, "paused": False, "io-status": "ok", "ready": False,
                                   "status": "running", "auto-finalize": True, "auto-dismiss": True}]),
])
replay("block-stream-busy", "7.2", "1.1", ["busy"], [
    fails("block-stream", {"device": "drive0"}, "GenericError", "in use"),
])
replay("blockdev-create-job", "5.2", "2.10", ["end"], [
    fails("blockdev-create", {"job-id": "c", "options": {"driver": "file", "filename": "/n", "size": 0}}, "GenericError", "cannot create images"),
    ok("query-name"),
])
replay("block-commit-top-base", "5.2", "2.10", ["commit"], [
    ok("block-commit", {"device": "drive0", "top-node": "mid", "base-node": "base"}),
])

# --- one number, other names: what Red Hat shipped --------------------------------------------------

# RHEL 6.2, 6.3 and 6.8 all greet as 0.12.1, and only the first calls these commands so: its word decides, not its number
for version in ("rhel6.2", "rhel6.3", "rhel6"):
    replay("blockjob-underscore", "7.2", version, ["stream", "jobs", "cancel"] if version == "rhel6.2" else ["stream", "cancel"], [
        ok("block-stream", {"device": "drive0"}),
        ok("block-job-set-speed", {"device": "drive0", "speed": 1048576}),
        ok("query-block-jobs", None, [{"device": "drive0", "type": "stream", "speed": 1048576, "status": "running"}]),
        fails("block-stream", {"device": "drive0"}, "GenericError", "in use"),
        ok("block-job-cancel", {"device": "drive0"}), Event("BLOCK_JOB_CANCELLED", {"device": "drive0"}),
        ok("query-block-jobs", None, exactly([])),
    ])
    table.old_replay("blockjob-underscore", "0.12.1", version, ["stream", "cancel"], [
        ok("block_stream", {"device": "drive0"}),
        ok("block_job_set_speed", {"device": "drive0", "value": 1048576}),
        ok("query-block-jobs", None, [{"device": "drive0", "type": "stream", "speed": 1048576, "status": Absent}]),
        fails("block_stream", {"device": "drive0"}, "DeviceInUse", "in use", exactly({"device": "drive0"})),
        ok("block_job_cancel", {"device": "drive0"}),
        ok("query-block-jobs", None, exactly([])),
    ])

# RHEL's 2.12 has the jobs of 3.0: a new client needs no help and no event twice, an old one does
ALL = [{"id": "drive0", "status": s} for s in ("created", "running", "waiting", "pending", "concluded", "null")]
replay("job-status-change", "5.2", "2.12", ["jobs"], [
    ok("block-stream", {"device": "drive0", "speed": 1048576}),
    ok("query-jobs", None, [{"id": "drive0", "status": "running", "current-progress": 524288}]),
    ok("block-job-set-speed", {"device": "drive0", "speed": 0}),
    ok("query-name"), Told(STATUS, ALL), Told("BLOCK_JOB_COMPLETED", [{"device": "drive0"}]),
])
replay("blockdev-create-job", "5.2", "2.12", ["create"], [
    ok("blockdev-create", {"job-id": "c1", "options": {"driver": "file", "filename": "/jn-new.qcow2", "size": 0}}),
    Event(STATUS, {"id": "c1", "status": "concluded"}),
    ok("query-jobs", None, [{"id": "c1", "status": "concluded"}]),
    ok("job-dismiss", {"id": "c1"}),
    Told(STATUS, [{"id": "c1", "status": s} for s in ("created", "running", "waiting", "pending", "concluded", "null")]),
])
table.old_replay("job-status-change", "2.10", "2.12", ["jobs"], [
    ok("block-stream", {"device": "drive0", "speed": 1048576}),
    ok("query-jobs", None, list),
    ok("block-job-set-speed", {"device": "drive0", "speed": 0}),
    ok("query-name"), Told(STATUS, []), Told("BLOCK_JOB_COMPLETED", [{"device": "drive0"}]),
])

# --- snapshots ---------------------------------------------------------------------------------------

def snapshot(command, **arguments):
    return ok(command, {"job-id": "<s>", **arguments})


def job_status(*words):
    return [Event("JOB_STATUS_CHANGE", {"id": "<s>", "status": word}) for word in words]


DISKS = {"vmstate": "disk", "devices": ["disk"]}
new("snapshot-jobs", "7.2", "5.2", [
    snapshot("snapshot-save", tag="t 1", **DISKS), *job_status("created", "running", "waiting", "pending", "concluded"),
    ok("query-jobs", None, has({"id": "<s>", "type": "snapshot-save", "status": "concluded", "error": Absent})),
    ok("job-dismiss", {"id": "<s>"}), *job_status("null"),
    ok("query-jobs", None, exactly([])),
    ok("human-monitor-command", {"command-line": "info snapshots"}, re.compile("t 1")),
    snapshot("snapshot-load", tag="t 1", **DISKS), *job_status("created", "running", "waiting", "pending", "concluded"),
    ok("job-dismiss", {"id": "<s>"}), *job_status("null"),
    snapshot("snapshot-delete", tag="t 1", devices=["disk"]), *job_status("created", "running", "waiting", "pending", "concluded"),
    ok("job-dismiss", {"id": "<s>"}),
    ok("human-monitor-command", {"command-line": "info snapshots"}, re.compile("There is no snapshot")),
], own=())
new("snapshot-jobs", "7.2", "5.2", [
    snapshot("snapshot-load", tag="none", **DISKS), *job_status("created", "running", "aborting", "concluded"),
    ok("query-jobs", None, has({"id": "<s>", "type": "snapshot-load", "error": re.compile("none")})),
    fails("job-dismiss", {"id": "other"}, "GenericError", "not found"),
    ok("job-dismiss", {"id": "<s>"}), *job_status("null"),
    ok("query-jobs", None, exactly([])),
], what="that fails", own=())

if __name__ == "__main__":
    sys.exit(table.run())
