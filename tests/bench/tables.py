"""What bench.py measured, as the tables of doc/PERFORMANCE.md: tables.py bench.json"""

import json
import sys

WAYS = ["direct", "relay", "socat", "qmp-shim"]


def table(*rows):
    """the first is the head; with an empty line behind it"""
    print("| %s |" % " | ".join(rows[0]))
    print("|%s" % ("---|" * len(rows[0])))
    for row in rows[1:]:
        print("| %s |" % " | ".join(row))
    print()


def scene_of(result, name):
    return next((s for s in result["scenes"] if s["name"] == name), None)


# ---- what is required ----

def ratio(name, key="ways"):
    """of a scene's figure to the relay's"""
    def find(result):
        scene = scene_of(result, name)
        return scene and scene[key]["qmp-shim"]["ratio"]
    return find


def to_socat(name, key, which="to_socat"):
    def find(result):
        scene = scene_of(result, name)
        return scene and scene.get(which, {}).get(key)
    return find


def cpu_ms(name):
    def find(result):
        scene = scene_of(result, name)
        return scene and scene["cpu_ns"]["qmp-shim"]["median"] / 1e6
    return find


def schema_ms(version):
    def find(result):
        schema = result["qemu"].get(version, {}).get("schema")
        return schema and schema["cpu_ns"] / 1e6
    return find


def status(version, way):
    def find(result):
        found = result["qemu"].get(version, {}).get("status")
        return found and found[way]["ratio"]
    return find


def memory(key):
    return lambda result: result.get("memory", {}).get("qmp-shim", {}).get(key)


def kept(name, key):
    return lambda result: result.get("kept", {}).get(name, {}).get(key, {}).get("ratio")


def most_rules(result):
    return max(f["ratio"] for f in result["rules"].values()) if "rules" in result else None


MOST, LEAST = "≤", "≥"

# what it is, where it is found, which way, required, aimed at
FIGURES = [
    ("ping-pong p50, to the relay's", ratio("ping-pong"), MOST, 1.06, 1.02),
    ("— rewritten", ratio("ping-pong, rewritten"), MOST, 1.10, 1.04),
    ("ping-pong p99", ratio("ping-pong", "p99_us"), MOST, 1.15, 1.03),
    ("CPU of a round trip", ratio("ping-pong", "cpu_ns"), MOST, 1.10, 1.03),
    ("— to socat's", to_socat("ping-pong", "cpu_ns"), MOST, 0.65, None),
    ("events, a write each", ratio("events, a write each"), LEAST, 0.90, 0.98),
    ("— renamed", ratio("events, a write each, renamed"), LEAST, 0.75, 0.90),
    ("events, 64 KB a write", ratio("events, 64 KB a write"), LEAST, 0.40, 0.60),
    ("— renamed", ratio("events, 64 KB a write, renamed"), LEAST, 0.32, 0.50),
    ("replies of 200 KB", ratio("replies of 200 KB"), LEAST, 0.80, 1.00),
    ("— to socat's, without `-b`", to_socat("replies of 200 KB", "rate", "to_socat-8k"), LEAST, 2.4, None),
    ("a reply of 200 KB, a member added, CPU in ms", cpu_ms("200 KB replies, a member added"), MOST, 1.7, 0.25),
    ("— 1800 members added", cpu_ms("200 KB replies, 1800 members added"), MOST, 1.7, 0.25),
    ("query-qmp-schema of QEMU 7.2 changed, CPU in ms", schema_ms("7.2"), MOST, 1.7, 0.25),
    ("— of QEMU 10.0 (larger)", schema_ms("10.0"), MOST, 1.7, 0.25),
    ("— of QEMU 11.1 (larger)", schema_ms("11.1"), MOST, 1.7, 0.25),
    ("100 connections", ratio("100 connections"), LEAST, 0.88, 0.97),
    ("1000 connections", ratio("1000 connections"), LEAST, 0.88, 0.97),
    ("connections set up", ratio("connections set up"), LEAST, 0.80, 0.95),
    ("1 to 10,000 rules, CPU of an event", most_rules, MOST, 1.10, 1.03),
    ("memory at the start, kB", memory("rss_kb"), MOST, 3072, 2048),
    ("— for each idle connection, kB", memory("idle_kb"), MOST, 2, 0.6),
    ("— kept after a reply of 200 KB to each, kB", memory("large_kb"), MOST, 1, 0),
    ("QEMU 7.2, query-status p50, to direct", status("7.2", "qmp-shim"), MOST, 1.13, None),
    ("— with `--compact`", status("7.2", "qmp-shim --compact"), MOST, 1.13, 0.88),
    ("QEMU 10.0, query-status p50, to direct", status("10.0", "qmp-shim"), MOST, 1.13, None),
    ("— with `--compact`", status("10.0", "qmp-shim --compact"), MOST, 1.13, 0.88),
    ("QEMU 11.1, query-status p50, to direct", status("11.1", "qmp-shim"), MOST, 1.13, None),
    ("— with `--compact`", status("11.1", "qmp-shim --compact"), MOST, 1.13, 0.88),
    ("sessions kept, CPU of a round trip, to not kept", kept("ping-pong", "cpu_ns"), MOST, 1.02, None),
]


def is_within(value, which, limit):
    return value <= limit if which == MOST else value >= limit


def verdict(value, which, required, aim):
    if not is_within(value, which, required):
        return "**no**"
    return "yes" if aim is None or not is_within(value, which, aim) else "yes, as aimed at"


def print_required(result):
    rows = [("figure", "required", "aim", "measured", "met?")]
    for name, find, which, required, aim in FIGURES:
        value = find(result)
        if value is not None:
            places = "%.0f" if value >= 100 else "%.2f" if value >= 10 else "%.3f"
            rows.append((name, "%s %g" % (which, required), "" if aim is None else "%g" % aim, places % value,
                         verdict(value, which, required, aim)))
    table(*rows)


# ---- all that was measured ----

def print_scenes(result):
    rows = [("", *WAYS, "CPU", "p99")]
    for scene in result["scenes"]:
        unit = "{:,.1f} µs" if scene["key"] == "p50_us" else "{:,.0f}/s"
        cells = [(unit + " ({:.2f})").format(f["median"], f["ratio"]) if f else ""
                 for f in map(scene["ways"].get, WAYS)]
        p99 = "%.2f" % scene["p99_us"]["qmp-shim"]["ratio"] if "p99_us" in scene else ""
        cpu = scene["cpu_ns"]["qmp-shim"]
        rows.append((scene["name"], *cells, "%s (%.2f)" % (duration(cpu["median"]), cpu["ratio"]), p99))
    table(*rows)


def duration(ns):
    if ns < 1e3:
        return "%.0f ns" % ns
    return "%.2f µs" % (ns / 1e3) if ns < 1e5 else "%.2f ms" % (ns / 1e6)


def print_rules(result):
    found = result.get("rules", {})
    table(("Number of rules", "CPU for an event, ns", "ratio"),
          *((name.split("-")[1], "%.0f" % f["median"], "%.2f" % f["ratio"]) for name, f in found.items()))


def print_memory(result):
    found = result.get("memory", {})
    table(("Memory, kB", "at the start (RSS)", "for each idle connection", "more after a reply of 200 KB to each"),
          *((name, "%d" % f["rss_kb"], "%.2f" % f["idle_kb"], "%.2f" % f["large_kb"]) for name, f in found.items()))


def print_qemu(result):
    found = {version: f["status"] for version, f in result["qemu"].items() if "status" in f}
    ways = list(next(iter(found.values()), {}))
    table(("A real QEMU, query-status", *found),
          *((way, *("%.1f µs (%.3f)" % (f[way]["median"], f[way]["ratio"]) for f in found.values())) for way in ways))
    found = {version: f["schema"] for version, f in result["qemu"].items() if "schema" in f}
    table(("`query-qmp-schema` of a real QEMU, changed", *found),
          ("size", *("%d kB" % (f["bytes"] / 1000) for f in found.values())),
          ("CPU", *("%.2f ms" % (f["cpu_ns"] / 1e6) for f in found.values())))


def print_kept(result):
    table(("Sessions kept in an fd store (`--fd-store`), to not kept", "rate", "CPU"),
          *((name, "%.2f" % f["rate"]["ratio"], "%.2f" % f["cpu_ns"]["ratio"])
            for name, f in result.get("kept", {}).items()))
    table(("Recorded (`--trace`), to not recorded", "CPU", "more, ns"),
          *((name, "%.2f" % f["recorded"]["ratio"], "%.0f" % (f["recorded"]["median"] - f["unrecorded"]["median"]))
            for name, f in result.get("recorded", {}).items()))


def print_start(result):
    found = result.get("start", {})
    ways = list(next(iter(found.values()), {}))
    table(("A guest's start", *("QEMU " + version for version in found)),
          *((way.replace("qmp-shim, ", ""), *("%.1f ms (%.3f)" % (f[way]["median"] / 1000, f[way]["ratio"])
                                             for f in found.values())) for way in ways))


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        result = json.load(f)
    print_required(result)
    for part in print_scenes, print_rules, print_memory, print_qemu, print_kept, print_start:
        part(result)


if __name__ == "__main__":
    main()
