"""
What a shim adds to a guest's start: the commands that libvirt sends one after
the other when it starts a guest (they are mostly qom-get of each property of
its processor), to real QEMUs, directly and through qmp-shim: part of "make
bench", alone "make bench-start".

The ways take turns; a ratio is the median of the ratios of the rounds.
QEMU_VERSIONS_DIR, as tests/live/fetch-qemu fills it, has other versions of
QEMU than the machine's own.
"""

import json
import os
import socket
import tempfile

import bench

RULES = os.environ.get("QMP_SHIM_RULES_PATH", os.path.join(bench.HERE, "../../rules"))
N_COMMANDS = 410  # libvirt 9.0 and QEMU 7.2
CPU = "/machine/unattached/device[0]"
WAYS = [
    ("qmp-shim, no rules", ["--no-rules"]),
    ("qmp-shim, 100 rules", None),
    ("qmp-shim, 100 rules, --compact", None),
    ("qmp-shim, all that are installed", ["--client-version", "6.0"]),
]
BEGIN = [
    ("qmp_capabilities", None),
    ("query-migrate-capabilities", None),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": True}]}),
    ("query-chardev", None),
    ("query-hotpluggable-cpus", None),
    ("query-cpus-fast", None),
    ("qom-list", {"path": CPU}),
]
END = [
    ("query-iothreads", None),
    ("query-named-block-nodes", None),
    ("qom-list", {"path": "/machine/peripheral"}),
    ("query-block", None),
    ("query-status", None),
]


def ask(path, *commands):
    """Return: what the last one returns"""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        with s.makefile("rb") as lines:
            lines.readline()
            for command in commands:
                s.send(json.dumps(command).encode() + b"\r\n")
                reply = {}
                while "return" not in reply:
                    reply = json.loads(lines.readline())
    return reply["return"]


def write_commands(path, qemu):
    """as libvirt writes them"""
    listed = ask(qemu, {"execute": "qmp_capabilities"},
                          {"execute": "qom-list", "arguments": {"path": CPU}})
    names = [p["name"] for p in listed]
    n = N_COMMANDS - len(BEGIN) - len(END)
    gets = [("qom-get", {"path": CPU, "property": names[i % len(names)]}) for i in range(n)]
    with open(path, "w", encoding="ascii") as file:
        for i, (name, arguments) in enumerate(BEGIN + gets + END, 1):
            command = {"execute": name, **({"arguments": arguments} if arguments else {}), "id": "libvirt-%d" % i}
            file.write(json.dumps(command, separators=(",", ":")) + "\r\n")


def start_ways(folder, path):
    ways = []
    for i, (name, options) in enumerate(WAYS):
        listen = os.path.join(folder, "way%d" % i)
        if options is None:
            rules = os.path.join(folder, "rules.jsonc")
            bench.write_rules(rules, 100)
            options = ["--rules", rules] + (["--compact"] if "--compact" in name else [])
        ways.append(bench.Way(name, listen, [bench.SHIM, "run", "--listen", listen, "--connect", path,
                                             "--log-level", "error", *options]))
    return ways


def time_starts(folder, program):
    """Return: the figures of each way"""
    path, commands = os.path.join(folder, "qemu"), os.path.join(folder, "commands")
    qemu = bench.Way("direct", path, [program, "-M", "pc", "-cpu", "qemu64", "-nodefaults", "-display", "none", "-S",
                                      "-m", "64", "-accel", "tcg", "-qmp", "unix:%s,server=on,wait=off" % path])
    write_commands(commands, path)
    ways = [qemu] + start_ways(folder, path)
    runs = {way.name: [] for way in ways}
    for i in range(bench.ROUNDS + 1):
        turn = i % len(ways)
        for way in ways[turn:] + ways[:turn]:
            runs[way.name].append(bench.run_serial(way, commands))
    for way in ways:
        way.stop()
    return bench.compare({name: f[1:] for name, f in runs.items()}, "direct", "us")  # the first warms up


def time_all():
    result = {}
    os.environ["QMP_SHIM_RULES_PATH"] = RULES
    for version, program in bench.emulators():
        with tempfile.TemporaryDirectory() as folder:
            found = time_starts(folder, program)
        result[version] = found
        for name, f in found.items():
            print("start, QEMU %-5s %-33s %7.1f ms  x%.3f" % (version, name, f["median"] / 1000, f["ratio"]), flush=True)
    return result


if __name__ == "__main__":
    time_all()
