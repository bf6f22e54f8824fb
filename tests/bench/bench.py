"""
Measures qmp-shim against a direct connection, the least a relay can do
(relay.c) and socat, and says by how much: "make bench".

Everything runs on one processor, in real-time order if that is allowed, so
that the figures are what the code costs and not what the scheduler makes of
it.  The ways take turns, in rotating order, and a ratio is the median of the
ratios of the rounds: what disturbs one round disturbs all ways of it.

"bench.py --only ping-pong,events* --without socat" measures that alone; with
--help it says more.
"""

import argparse
import fnmatch
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("top_builddir", ".")
SHIM = os.environ.get("QMP_SHIM", os.path.join(BUILD, "qmp-shim"))
LOAD = os.path.join(BUILD, "tests/bench/load")
SERIAL = os.path.join(BUILD, "tests/bench/serial")
RELAY = os.path.join(BUILD, "tests/bench/relay")
QEMU = os.environ.get("QEMU", "qemu-system-x86_64")
ROUNDS = int(os.environ.get("ROUNDS", "9"))
LATENCY_ROUNDS = int(os.environ.get("LATENCY_ROUNDS", "31"))  # of what is told in us
MS = int(os.environ.get("MS", "120"))

RUNNING = '{"return": {"status": "running"}'
# what qmp-shim makes of what the server says; without rules, it comes as it is
RENAMED_COMMAND = ["command=x-bench-old", 'return={"return": {"old-status": "running"}']
RENAMED_EVENT = ["event=X_BENCH_OLD", "sent=X_BENCH_NEW"]

# name, what is told of it, mode of load and its arguments, and what changes for qmp-shim
SCENES = [
    ("ping-pong", "p50_us", ["batches"], []),
    ("ping-pong, rewritten", "p50_us", ["batches"], RENAMED_COMMAND),
    ("64 commands by one write", "rate", ["batches", "in-flight=64"], []),
    ("events, a write each", "rate", ["events"], []),
    ("events, a write each, renamed", "rate", ["events"], RENAMED_EVENT),
    ("events, 64 KB a write", "rate", ["events", "events=100000", "batch=65536"], []),
    ("events, 64 KB a write, renamed", "rate",
     ["events", "events=100000", "batch=65536"], RENAMED_EVENT),
    ("replies of 200 KB", "rate", ["batches", "command=x-bench-large", "large=200000"], []),
    ("200 KB replies, a member added", "rate", ["batches", "command=x-bench-object", "large=200000", "form=object"],
     ["command=x-bench-added", "form=added"]),
    ("200 KB replies, 1800 members added", "rate", ["batches", "command=x-bench-large", "large=200000"],
     ["command=x-bench-each", "form=each"]),
    ("100 connections", "rate", ["many", "connections=100"], []),
    ("1000 connections", "rate", ["many", "connections=1000"], []),
    ("connections set up", "rate", ["setups"], []),
]
RULE_COUNTS = [1, 10, 100, 1000, 10000]
IDLE = 1000


def settle():
    """in the child: one processor, before all others if that is allowed"""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pass


def start(*command, **how):
    return subprocess.Popen(command, preexec_fn=settle, start_new_session=True, **how)


def wait_for(path):
    for _ in range(1000):
        if os.path.exists(path):
            return
        time.sleep(0.01)
    sys.exit("bench: %s did not appear" % path)


class Way:
    """from a client to the server: directly, or through a relay"""

    def __init__(self, name, listen, command=None):
        self.name, self.listen, self.process = name, listen, None
        if command:  # socat tells of every client that goes
            self.process = start(*command, stderr=subprocess.DEVNULL)
            wait_for(listen)

    def processes(self):
        """socat makes one for each connection"""
        out = subprocess.run(["ps", "-o", "pid=", "-s", str(self.process.pid)],
                             stdout=subprocess.PIPE, text=True, check=False).stdout
        return out.split()

    def cpu_ns(self):
        """Return: the processor time of each of its processes"""
        found = {}
        for pid in self.processes() if self.process else []:
            try:
                with open("/proc/%s/schedstat" % pid, encoding="ascii") as f:
                    found[pid] = int(f.read().split()[0])
            except OSError:
                pass
        return found

    def memory_kb(self):
        private = 0
        for pid in self.processes():
            with open("/proc/%s/smaps_rollup" % pid, encoding="ascii") as f:
                private += sum(int(line.split()[1]) for line in f if line.startswith("Private_"))
        return private

    def rss_kb(self):
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))

    def stop(self):
        if self.process:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait()


def write_rules(path, n_rules):
    """rules that the load does not touch, but for the first few"""
    rules = [
        {"name": "bench-command", "old": {"execute": "x-bench-old", "return": {"old-status": "$s"}},
         "new": {"execute": "x-bench-new", "return": {"status": "$s"}}},
        {"name": "bench-event", "old": {"event": "X_BENCH_OLD"}, "new": {"event": "X_BENCH_NEW"}},
        {"name": "bench-added", "old": {"execute": "x-bench-added", "return": {"list": "$list", "added": True}},
         "new": {"execute": "x-bench-object", "return": {"list": "$list"}}},
        {"name": "bench-each", "old": {"execute": "x-bench-each", "return": [{"...": "$rest", "added": True}, "..."]},
         "new": {"execute": "x-bench-large", "return": [{"...": "$rest"}, "..."]}},
        {"name": "bench-schema", "old": {"execute": "x-bench-status"}, "new": {"execute": "query-status"}},
    ][:n_rules]
    for i in range(len(rules), n_rules):
        kind = "event" if i % 2 else "execute"
        rules.append({"name": "other-%d" % i, "old": {kind: "x-old-%d" % i},
                      "new": {kind: "x-new-%d" % i}})
    with open(path, "w", encoding="ascii") as f:
        json.dump({"qmp-shim-rules": 1, "name": "bench-%d" % n_rules, "rules": rules}, f)


def shim(folder, name, server, n_rules=100, *more):
    rules = os.path.join(folder, "rules-%d.jsonc" % n_rules)
    listen = os.path.join(folder, name)
    write_rules(rules, n_rules)
    return Way(name, listen, [SHIM, "run", "--listen", listen, "--connect", server, "--rules", rules,
                              "--log-level", "error", *more])


def socat(folder, name, server, *options):
    listen = os.path.join(folder, name)
    return Way(name, listen, ["socat", *options, "UNIX-LISTEN:%s,fork,backlog=1024" % listen,
                              "UNIX-CONNECT:" + server])


def all_ways(folder, server):
    ways = [Way("direct", server)]
    listen = os.path.join(folder, "relay")
    ways.append(Way("relay", listen, [RELAY, listen, server]))
    if shutil.which("socat"):
        ways.append(socat(folder, "socat", server, "-b", "65536"))
    ways.append(shim(folder, "qmp-shim", server))
    return ways


def measure(way, arguments):
    """one run of the load; Return: its figures"""
    load = start(LOAD, *arguments, "ms=%d" % MS, "connect=" + way.listen, stdin=subprocess.PIPE,
                 stdout=subprocess.PIPE)
    load.stdout.readline()  # it is connected
    before = way.cpu_ns()
    load.stdin.write(b"\n")
    load.stdin.flush()
    out = load.stdout.readline()
    after = way.cpu_ns()
    load.communicate(b"\n")
    if load.returncode:
        sys.exit("bench: %s: the load failed: %s" % (way.name, " ".join(arguments)))
    figures = json.loads(out)
    figures["rate"] = figures["n"] / figures["seconds"]
    figures["cpu_ns"] = sum(ns - before.get(pid, 0) for pid, ns in after.items()) / figures["n"]
    return figures


def interleave(ways, arguments, of_shim, rounds=ROUNDS):
    """Return: a list of figures for each way, round by round"""
    runs = {way.name: [] for way in ways}
    for i in range(rounds):
        for way in ways[i % len(ways):] + ways[:i % len(ways)]:
            more = of_shim if way.name == "qmp-shim" else []
            runs[way.name].append(measure(way, arguments + more))
    return runs


def compare(runs, base, key):
    """Return: for each way the median and the median of the ratios to @base"""
    found = {}
    for name, of_way in runs.items():
        ratios = [mine[key] / other[key] for mine, other in zip(of_way, runs[base]) if other[key]]
        found[name] = {"median": statistics.median(f[key] for f in of_way),
                       "ratio": statistics.median(ratios) if ratios else None}
    return found


def scene(ways, name, key, arguments, of_shim):
    runs = interleave(ways, arguments, of_shim, LATENCY_ROUNDS if key == "p50_us" else ROUNDS)
    result = {"name": name, "key": key, "ways": compare(runs, "relay", key),
              "cpu_ns": compare(runs, "relay", "cpu_ns")}
    if key == "p50_us":
        result["p99_us"] = compare(runs, "relay", "p99_us")
    for other in "socat", "socat-8k":
        if other in runs:
            result["to_" + other] = {k: compare(runs, other, k)["qmp-shim"]["ratio"] for k in (key, "cpu_ns")}
    tell(result)
    return result


def tell(result):
    cells = []
    for name, f in result["ways"].items():
        unit = "%9.1f us" if result["key"] == "p50_us" else "%10.0f/s"
        cells.append("%s %s x%.3f" % (name, unit % f["median"], f["ratio"]))
    cpu = result["cpu_ns"]["qmp-shim"]
    print("%-34s %s | cpu %.0f ns x%.3f" % (result["name"], "  ".join(cells), cpu["median"], cpu["ratio"]), flush=True)
    if "p99_us" in result:
        print("%-34s %s" % ("- 99th percentile", "  ".join(
            "%s x%.3f" % (name, f["ratio"]) for name, f in result["p99_us"].items())), flush=True)
    for key in "to_socat", "to_socat-8k":
        if key in result:
            print("%-34s %s" % ("- " + key.replace("_", " "), "  ".join("%s x%.3f" % f for f in result[key].items())),
                  flush=True)


def scale_rules(folder, server):
    """does the number of rules cost anything?"""
    ways = [shim(folder, "rules-%d" % n, server, n) for n in RULE_COUNTS]
    runs = interleave(ways, ["events", "events=100000", "batch=65536"], [])
    found = compare(runs, "rules-1", "cpu_ns")
    for way in ways:
        way.stop()
        print("%-32s %8.1f ns an event  x%.3f" % (way.name, found[way.name]["median"],
                                                  found[way.name]["ratio"]), flush=True)
    return found


KEPT_SCENES = [
    ("ping-pong", ["batches"]),
    ("ping-pong, rewritten", ["batches"] + RENAMED_COMMAND),
    ("events, a write each", ["events"]),
    ("events, 64 KB a write", ["events", "events=100000", "batch=65536"]),
    ("replies of 200 KB", ["batches", "command=x-bench-large", "large=200000"]),
    ("connections set up", ["setups"]),
]


def forget(notified):
    """a service manager's part: all it is told is read, and the fds are closed"""
    while True:
        try:
            _, fds, _, _ = socket.recv_fds(notified, 4096, 4)
        except OSError:
            return
        for fd in fds:
            os.close(fd)


def keep_sessions(folder, server):
    """what does it cost that sessions can outlive the process?"""
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notified.bind(os.path.join(folder, "notify"))
    threading.Thread(target=forget, args=(notified,), daemon=True).start()
    os.environ.update(NOTIFY_SOCKET=notified.getsockname(), FDSTORE="4000")
    ways = [shim(folder, "kept", server)]
    for name in "NOTIFY_SOCKET", "FDSTORE":
        del os.environ[name]
    ways.append(shim(folder, "not-kept", server))
    found = {}
    for name, arguments in KEPT_SCENES:
        runs = interleave(ways, arguments, [])
        rate, cpu_ns = (compare(runs, "not-kept", key)["kept"] for key in ("rate", "cpu_ns"))
        found[name] = {"rate": rate, "cpu_ns": cpu_ns}
        print("kept: %-26s %10.0f/s  x%.3f | cpu x%.3f" %
              (name, rate["median"], rate["ratio"], cpu_ns["ratio"]), flush=True)
    for way in ways:
        way.stop()
    return found


def record_sessions(folder, server):
    """what does it cost to record all traffic?"""
    secrets = os.path.join(HERE, "..", "..", "data", "redact.jsonc")
    ways = [shim(folder, "unrecorded", server),
            shim(folder, "recorded", server, 100, "--trace", os.path.join(folder, "trace"), "--redact", secrets)]
    result = {}
    for name, arguments in (("ping-pong", ["batches"]), ("events, a write each", ["events"])):
        found = result[name] = compare(interleave(ways, arguments, []), "unrecorded", "cpu_ns")
        print("%-32s %8.0f ns of processor, %.0f unrecorded  x%.3f" % (
            "recorded: " + name, found["recorded"]["median"], found["unrecorded"]["median"], found["recorded"]["ratio"]), flush=True)
    for way in ways:
        way.stop()
    return result


def private_kb(way, *arguments):
    """with many connections that have done something"""
    idle = start(LOAD, "idle", "connections=%d" % IDLE, "connect=" + way.listen, *arguments,
                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    idle.stdout.readline()
    found = way.memory_kb()
    idle.communicate(b"\n")
    return found


def weigh(ways):
    """memory: at the start, for each of many idle connections, and what is kept after a large reply to each"""
    found = {}
    for way in ways:
        if not way.process:
            continue
        before, rss_kb = way.memory_kb(), way.rss_kb()
        idle_kb = private_kb(way)
        large_kb = private_kb(way, "command=x-bench-large", "large=200000")
        f = found[way.name] = {"rss_kb": rss_kb, "idle_kb": (idle_kb - before) / IDLE,
                               "large_kb": (large_kb - idle_kb) / IDLE}
        print("%-34s %8.2f kB an idle connection, %.2f more after 200 KB, %d kB before there is one" %
              (way.name, f["idle_kb"], f["large_kb"], rss_kb), flush=True)
    return found


class Monitor:
    """a client, past the negotiation"""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rb")
        self.lines.readline()
        self.ask(b"qmp_capabilities", 0)

    def ask(self, command, number):
        self.socket.send(b'{"execute": "%s", "id": "libvirt-%d"}\r\n' % (command, number))
        line = self.lines.readline()
        if not line.endswith(b'"id": "libvirt-%d"}\r\n' % number):
            sys.exit("bench: wrong reply: %r" % line[:200])
        return line

    def close(self):
        self.lines.close()
        self.socket.close()


def write_status(path, n=400):
    """commands for serial"""
    with open(path, "w", encoding="ascii") as f:
        for i in range(n):
            f.write('{"execute": "%s", "id": "libvirt-%d"}\r\n' % ("query-status" if i else "qmp_capabilities", i))


def run_serial(way, commands):
    """one run of commands, one after the other; Return: the figures"""
    run = start(SERIAL, way.listen, commands, stdout=subprocess.PIPE)
    out = run.communicate()[0]
    if run.returncode:
        sys.exit("bench: %s: the commands failed" % way.name)
    return json.loads(out)


def time_qemu(qemu, folder):
    """it takes one client after the other, directly and through qmp-shim; Return: of query-status"""
    ways, commands = [qemu], os.path.join(folder, "status")
    write_status(commands)
    for name, option in ("qmp-shim", []), ("qmp-shim --compact", ["--compact"]):
        listen = os.path.join(folder, name.replace(" ", ""))
        ways.append(Way(name, listen, [SHIM, "run", "--listen", listen, "--connect", qemu.listen, "--no-rules",
                                       "--log-level", "error", *option]))
    runs = {way.name: [] for way in ways}
    for i in range(LATENCY_ROUNDS):
        for way in ways[i % len(ways):] + ways[:i % len(ways)]:
            runs[way.name].append(run_serial(way, commands))
    for way in ways[1:]:
        way.stop()
    return compare(runs, "direct", "p50_us")


def doctor_schema(qemu, folder, n=20):
    """Return: the processor time for a reply to query-qmp-schema that a rule changes"""
    way = shim(folder, "schema", qemu.listen)
    monitor = Monitor(way.listen)
    line = monitor.ask(b"query-qmp-schema", 0)
    if b'"x-bench-status"' not in line:
        sys.exit("bench: the schema is not what the rules make of it")
    before = way.cpu_ns()
    for i in range(n):
        monitor.ask(b"query-qmp-schema", i)
    ns = sum(way.cpu_ns().values()) - sum(before.values())
    monitor.close()
    way.stop()
    return {"bytes": len(line), "cpu_ns": ns / n}


def measure_emulator(program, folder, choice):
    path = os.path.join(folder, "qemu")
    qemu = Way("direct", path, [program, "-M", "pc", "-nodefaults", "-display", "none", "-S", "-m", "64",
                                "-accel", "tcg", "-qmp", "unix:%s,server=on,wait=off" % path])
    found = {}
    if choice.has("schema"):
        found["schema"] = doctor_schema(qemu, folder)
    if choice.has("qemu"):
        found["status"] = time_qemu(qemu, folder)
    qemu.stop()
    return found


def tell_emulator(version, found):
    for name, f in found.get("status", {}).items():
        print("QEMU %-5s %-24s %8.1f us  x%.3f" % (version, name, f["median"], f["ratio"]), flush=True)
    if "schema" in found:
        print("QEMU %-5s schema of %d kB, changed: cpu %.2f ms" % (
            version, found["schema"]["bytes"] / 1000, found["schema"]["cpu_ns"] / 1e6), flush=True)


def emulators():
    """Return: the version and the program of each"""
    found = []
    if shutil.which(QEMU):
        out = subprocess.run([QEMU, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
        found.append((".".join(out.split("version ")[1].split(".")[:2]), shutil.which(QEMU)))
    folder = os.path.join(os.environ.get("QEMU_VERSIONS_DIR", ""), "bin")
    found += [(version, os.path.join(folder, "qemu-" + version)) for version in ("10.0", "11.1")]
    missing = [program for _, program in found if not os.path.exists(program)]
    if missing:
        print("left out, for they are not there: %s (QEMU_VERSIONS_DIR)" % " ".join(missing), flush=True)
    return [f for f in found if f[1] not in missing]


def machine():
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"processor": model, "kernel": platform.release(), "rounds": ROUNDS,
            "latency_rounds": LATENCY_ROUNDS, "ms": MS}


def slug(name):
    """as --only has it: ping-pong-rewritten"""
    return name.replace(",", "").replace(" ", "-")


PARTS = ["memory", *(slug(name) for name, _, _, _ in SCENES), "rules", "kept", "recorded", "schema", "qemu", "start"]


class Choice:
    """which parts are wanted"""

    def __init__(self, only, without):
        for pattern in only + without:
            if not fnmatch.filter(PARTS + ["direct", "socat"], pattern):
                sys.exit("bench: no such part: %s; there are %s" % (pattern, " ".join(PARTS)))
        self.only, self.without = only or ["*"], without

    def has(self, part):
        return any(fnmatch.fnmatch(part, o) for o in self.only) and not self.lacks(part)

    def lacks(self, part):
        return any(fnmatch.fnmatch(part, w) for w in self.without)


def measure_load(result, choice, folder):
    """all that is measured with a stand-in for a server"""
    path = os.path.join(folder, "server")
    server = Way("server", path, [LOAD, "server", "listen=" + path, "large=200000"])
    ways = [way for way in all_ways(folder, path) if not choice.lacks(way.name)]
    if choice.has("memory"):
        result["memory"] = weigh(ways)  # before anything else leaves its traces
    if shutil.which("socat") and not choice.lacks("socat"):
        ways.append(socat(folder, "socat-8k", path))  # as it is if nothing is said
    for name, key, arguments, of_shim in SCENES:
        more = [way for way in ways if way.name != "socat-8k" or "200 KB" in name]
        if choice.has(slug(name)):
            result["scenes"].append(scene(more, name, key, arguments, of_shim))
    for way in ways:
        way.stop()
    for name, part in ("rules", scale_rules), ("kept", keep_sessions), ("recorded", record_sessions):
        if choice.has(name):
            result[name] = part(folder, path)
    server.stop()


def measure_qemu(result, choice, folder):
    """all that is measured with real ones"""
    if choice.has("qemu") or choice.has("schema"):
        for version, program in emulators():
            place = os.path.join(folder, version)
            os.mkdir(place)
            result["qemu"][version] = measure_emulator(program, place, choice)
            tell_emulator(version, result["qemu"][version])
    if choice.has("start"):
        import start  # it needs what is here
        result["start"] = start.time_all()


def main():
    usage = argparse.ArgumentParser(prog="bench.py", description="How fast is qmp-shim?")
    usage.add_argument("--only", default="", help="these parts, with commas between them, as ping-pong,events*")
    usage.add_argument("--without", default="", help="these not; of the ways, socat or direct")
    usage.add_argument("out", nargs="?", default="bench.json")
    given = usage.parse_args()
    choice = Choice(*([p for p in text.split(",") if p] for text in (given.only, given.without)))
    result = {"machine": machine(), "scenes": [], "qemu": {}}
    with tempfile.TemporaryDirectory() as folder:
        measure_load(result, choice, folder)
        measure_qemu(result, choice, folder)
    with open(given.out, "w", encoding="ascii") as f:
        json.dump(result, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
