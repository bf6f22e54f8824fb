#!/usr/bin/env python3
"""Breaks of devices, objects, character devices, network back ends and displays."""

import sys

from history import Absent, Event, Send, Table, Until, each, exactly, fails, has, ok

table = Table()
old, new, replay = table.old, table.new, table.replay

# --- devices ---------------------------------------------------------------------------------------

old("device-add-strict", "6.1", [
    ok("device_add", {"driver": "virtio-net-pci", "id": "<n>", "addr": "0x8", "bootindex": "3", "mq": "on", "vectors": "4"}),
    ok("qom-get", {"path": "/machine/peripheral/<n>", "property": "vectors"}, 4),
    ok("qom-get", {"path": "/machine/peripheral/<n>", "property": "mq"}, True),
    ok("device_del", {"id": "<n>"}),
], since="9.2", own=[])
old("device-add-addr-int", "9.1", [
    ok("device_add", {"driver": "e1000", "id": "<n>", "addr": 10}),
    ok("qom-get", {"path": "/machine/peripheral/<n>", "property": "addr"}, lambda a: a in ("10.0", 0x10 << 3)),
], since="9.2", own=[])
new("device-add-addr-int", "9.2", "7.2", [
    ok("device_add", {"driver": "e1000", "id": "<n>", "addr": 0x48}),
    ok("qom-get", {"path": "/machine/peripheral/<n>", "property": "addr"}, 0x48),
], own=[])
new("device-add-addr-int", "9.2", "5.2", [
    ok("device_add", {"driver": "e1000", "id": "<n>", "addr": 0x48}),
    ok("qom-get", {"path": "/machine/peripheral/<n>", "property": "addr"}, 0x48),
], own=[])
old("device-prop-removed", "9.0", [
    ok("device_add", {"driver": "virtio-blk-pci", "id": "<n>", "drive": "spare", "scsi": "off"}),
], since="9.1", own=["-drive", "if=none,id=spare,file=null-co://,format=raw"])
old("device-del-twice", "5.2", [
    ok("device_add", {"driver": "e1000", "id": "<n>"}),
    ok("device_del", {"id": "<n>"}),
    ok("device_del", {"id": "<n>"}),
    fails("device_del", {"id": "nosuch"}, "DeviceNotFound", "nosuch"),
], since="6.0", own=[])

CPUS = ["-smp", "1,maxcpus=2,sockets=1,cores=2,threads=1"]
old("cpu-add", "5.1", [
    ok("cpu-add", {"id": 1}),
    ok("query-hotpluggable-cpus", None, each({"qom-path": str})),
    fails("cpu-add", {"id": 1}, "GenericError", "Unable to add CPU: 1"),
    fails("cpu-add", {"id": 7}, "GenericError", "Unable to add CPU: 7"),
], since="5.2", own=CPUS)
old("cpu-add", "5.1", [ok("cpu-add", {"id": 1})], since="5.2", what="sockets",
    own=["-smp", "1,maxcpus=2,sockets=2,cores=1,threads=1"])

# --- objects ---------------------------------------------------------------------------------------

old("object-add-props", "4.2", [
    ok("object-add", {"qom-type": "memory-backend-ram", "id": "<m>", "props": {"size": 1048576}}),
    ok("qom-get", {"path": "/objects/<m>", "property": "size"}, 1048576),
    ok("object-add", {"qom-type": "iothread", "id": "<t>"}),
    ok("object-del", {"id": "<m>"}),
], since="6.0")
old("object-add-loaded", "7.0", [
    ok("object-add", {"qom-type": "secret", "id": "<s>", "data": "x", "loaded": True}),
], since="7.1")
old("object-add-loaded", "7.0", [
    ok("object-add", {"qom-type": "rng-random", "id": "<r>", "filename": "/dev/urandom", "opened": True}),
], since="8.0", what="rng-random.opened")

# --- character devices -----------------------------------------------------------------------------


def socket_backend(**more):
    return {"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": "{listener}"}}, "server": False, **more}}


LISTEN = ok("chardev-add", {"id": "<l>", "backend": {"type": "socket", "data": {
    "addr": {"type": "unix", "data": {"path": "{listener}"}}, "server": True, "wait": False}}})

old("chardev-wait", "3.1", [
    LISTEN, ok("chardev-add", {"id": "<c>", "backend": socket_backend(wait=False)}),
], since="6.0")
old("chardev-reconnect", "9.1", [
    ok("chardev-add", {"id": "<c>", "backend": socket_backend(reconnect=5)}),
], since="10.2")
for server in ("5.2", "7.2"):
    new("chardev-reconnect", "9.2", server, [
        ok("chardev-add", {"id": "<c>", "backend": socket_backend(**{"reconnect-ms": 5000})}),
    ])
# --- network ---------------------------------------------------------------------------------------

old("netdev-add-strict", "4.2", [
    ok("netdev_add", {"type": "user", "id": "<u>", "hostfwd": "tcp:127.0.0.1:0-:22", "restrict": "on", "dnssearch": "a.example"}),
    ok("netdev_del", {"id": "<u>"}),
    fails("netdev_add", {"type": "tap", "id": "<t>", "fd": "none", "vhost": "on", "queues": "2"}, "GenericError",
          "(queues=|fd=|none)"),
], since="5.0")
new("netdev-stream-reconnect", "9.2", "7.2", [
    ok("netdev_add", {"type": "stream", "id": "<n>", "server": False, "addr": {"type": "unix", "path": "{p}"}, "reconnect-ms": 5000}),
])
old("netdev-stream-reconnect", "9.1", [
    ok("netdev_add", {"type": "stream", "id": "<n>", "server": False, "addr": {"type": "unix", "path": "{p}"}, "reconnect": 5}),
], since="10.2")

# --- displays --------------------------------------------------------------------------------------

old("set-password", "6.2", [
    ok("expire_password", {"protocol": "vnc", "time": "bad"}),
    ok("expire_password", {"protocol": "vnc", "time": "never"}),
], since="8.0")
new("set-password", "7.0", "5.2", [
    ok("set_password", {"protocol": "vnc", "password": "x", "display": "default"}),
    ok("expire_password", {"protocol": "vnc", "time": "+60", "display": "default"}),
])
old("change", "5.2", [
    ok("change", {"device": "vnc", "target": "password", "arg": "x"}),
], since="6.0", what="the VNC password")
old("change", "5.2", [
    fails("change", {"device": "vnc", "target": "password"}, "GenericError", "'password' is missing"),
], since="6.0", what="no VNC password")
old("change", "5.2", [
    ok("change", {"device": "vnc", "target": "unix:{vnc}"}),
    ok("query-vnc", None, {"enabled": True, "service": "{vnc}"}),
], since="6.0", what="the VNC display", own=[])
old("change-vnc-password", "1.0", [
    ok("change", {"device": "vnc", "target": "password", "arg": "y"}),
], since="6.0")
new("watchdog-set-action", "6.0", "5.2", [
    ok("set-action", {"watchdog": "none"}),
    fails("set-action", {"watchdog": "none", "reboot": "shutdown"}, "GenericError", "watchdog's action only"),
])

if __name__ == "__main__":
    sys.exit(table.run())
