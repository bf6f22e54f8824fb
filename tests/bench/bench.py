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
        """processor time of all its processes; of those that are gone, too"""
        if not self.process:
            return 0
        total = 0
        for pid in self.processes():
            try:
                with open("/proc/%s/schedstat" % pid, encoding="ascii") as f:
                    total += int(f.read().split()[0])
            except OSError:
                pass
        return total

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
    """rules that the load does not touch, but for the first two"""
    rules = [
        {"name": "bench-command", "old": {"execute": "x-bench-old", "return": {"old-status": "$s"}},
         "new": {"execute": "x-bench-new", "return": {"status": "$s"}}},
        {"name": "bench-event", "old": {"event": "X_BENCH_OLD"}, "new": {"event": "X_BENCH_NEW"}},
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


def all_ways(folder, server):
    ways = [Way("direct", server)]
    listen = os.path.join(folder, "relay")
    ways.append(Way("relay", listen, [RELAY, listen, server]))
    if shutil.which("socat"):
        listen = os.path.join(folder, "socat")
        ways.append(Way("socat", listen, ["socat", "-b", "65536",
                                          "UNIX-LISTEN:%s,fork,backlog=1024" % listen,
                                          "UNIX-CONNECT:" + server]))
    ways.append(shim(folder, "qmp-shim", server))
    return ways


def measure(way, arguments):
    """one run of the load; Return: its figures"""
    cpu_ns = way.cpu_ns()
    run = start(LOAD, *arguments, "ms=%d" % MS, "connect=" + way.listen, stdout=subprocess.PIPE)
    out = run.communicate()[0]
    if run.returncode:
        sys.exit("bench: %s: the load failed: %s" % (way.name, " ".join(arguments)))
    figures = json.loads(out)
    figures["rate"] = figures["n"] / figures["seconds"]
    figures["cpu_ns"] = (way.cpu_ns() - cpu_ns) / figures["n"]
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
    tell(result)
    return result


def tell(result):
    cells = []
    for name, f in result["ways"].items():
        unit = "%9.1f us" if result["key"] == "p50_us" else "%10.0f/s"
        cells.append("%s %s x%.3f" % (name, unit % f["median"], f["ratio"]))
    cpu = result["cpu_ns"]["qmp-shim"]
    print("%-32s %s | cpu %.0f ns x%.3f" % (result["name"], "  ".join(cells), cpu["median"], cpu["ratio"]), flush=True)
    if "p99_us" in result:
        print("%-32s %s" % ("- 99th percentile", "  ".join(
            "%s x%.3f" % (name, f["ratio"]) for name, f in result["p99_us"].items())), flush=True)


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


def weigh(ways):
    """memory: at the start, and for each of many idle connections"""
    found = {}
    for way in ways:
        if not way.process:
            continue
        before, rss_kb = way.memory_kb(), way.rss_kb()
        idle = start(LOAD, "idle", "connections=%d" % IDLE, "connect=" + way.listen,
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        idle.stdout.readline()
        found[way.name] = {"rss_kb": rss_kb, "idle_kb": (way.memory_kb() - before) / IDLE}
        idle.communicate(b"\n")
        print("%-32s %8.2f kB an idle connection, %d kB before there is one" %
              (way.name, found[way.name]["idle_kb"], rss_kb), flush=True)
    return found


def ask_qemu(path, n=1500):
    """Return: the median time in us that query-status takes"""
    times = []
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        with s.makefile("rb") as lines:
            lines.readline()
            s.send(b'{"execute": "qmp_capabilities"}\r\n')
            lines.readline()
            for i in range(n):
                begin = time.perf_counter()
                s.send(b'{"execute": "query-status", "id": "libvirt-%d"}\r\n' % i)
                line = lines.readline()
                times.append((time.perf_counter() - begin) * 1e6)
                if not line.endswith(b'"id": "libvirt-%d"}\r\n' % i):
                    sys.exit("bench: wrong reply: %r" % line)
    return statistics.median(times)


def time_qemu(folder):
    """a real QEMU, which takes one client after the other, directly and through qmp-shim"""
    path = os.path.join(folder, "qemu")
    ways = [Way("direct", path, [shutil.which(QEMU), "-M", "pc", "-nodefaults", "-display", "none", "-S",
                                 "-m", "64", "-accel", "tcg", "-qmp", "unix:%s,server=on,wait=off" % path])]
    for name, option in ("qmp-shim", []), ("qmp-shim --compact", ["--compact"]):
        listen = os.path.join(folder, name.replace(" ", ""))
        ways.append(Way(name, listen, [SHIM, "run", "--listen", listen, "--connect", path, "--no-rules",
                                       "--log-level", "error", *option]))
    runs = {way.name: [] for way in ways}
    for _ in range(ROUNDS):
        for way in ways:
            runs[way.name].append({"p50_us": ask_qemu(way.listen)})
    for way in ways:
        way.stop()
    found = compare(runs, "direct", "p50_us")
    for name, f in found.items():
        print("QEMU, %-26s %8.1f us  x%.3f" % (name, f["median"], f["ratio"]), flush=True)
    return found


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


PARTS = ["memory", *(slug(name) for name, _, _, _ in SCENES), "rules", "kept", "recorded", "qemu", "start"]


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
    for name, key, arguments, of_shim in SCENES:
        if choice.has(slug(name)):
            result["scenes"].append(scene(ways, name, key, arguments, of_shim))
    for way in ways:
        way.stop()
    for name, part in ("rules", scale_rules), ("kept", keep_sessions), ("recorded", record_sessions):
        if choice.has(name):
            result[name] = part(folder, path)
    server.stop()


def measure_qemu(result, choice, folder):
    if choice.has("qemu") and shutil.which(QEMU):
        result["qemu"] = time_qemu(folder)
    if choice.has("start") and shutil.which(QEMU):
        import start  # it needs what is here
        result["start"] = start.time_all()


def main():
    usage = argparse.ArgumentParser(prog="bench.py", description="How fast is qmp-shim?")
    usage.add_argument("--only", default="", help="these parts, with commas between them, as ping-pong,events*")
    usage.add_argument("--without", default="", help="these not; of the ways, socat or direct")
    usage.add_argument("out", nargs="?", default="bench.json")
    given = usage.parse_args()
    choice = Choice(*([p for p in text.split(",") if p] for text in (given.only, given.without)))
    result = {"machine": machine(), "scenes": []}
    with tempfile.TemporaryDirectory() as folder:
        measure_load(result, choice, folder)
        measure_qemu(result, choice, folder)
    with open(given.out, "w", encoding="ascii") as f:
        json.dump(result, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
