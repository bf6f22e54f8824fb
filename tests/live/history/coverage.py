#!/usr/bin/env python3
"""
The table in rules/COVERAGE.md: for each break of QMP's history the rules that
bridge it, in each direction, and the versions against which that was played.

usage: coverage.py                   TAP: is the table what its sources say?
       coverage.py --record TAP...   take the results of the tests from their output, then write the table
       coverage.py --write           write the table

The sources are the rule files, fixtures/breaks.json (the breaks, and why some
have no rule) and results.json (what the tests gave when last recorded).  A
rule belongs to the break whose id its name begins with.
"""

import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, "..", "..", "..")
RULES = os.path.join(TOP, "rules")
TABLE = os.path.join(RULES, "COVERAGE.md")
RESULTS = os.path.join(HERE, "results.json")
DIRECTIONS = ("old", "new")
CLASSES = {"a": "one message for one", "b": "the reply too, by its command", "c": "several messages for one",
           "d": "events, order, memory", "e": "an answer of the shim's own", "f": "impossible"}
# names that do not begin with an id
NAMED_OTHERWISE = {"redhat-drive-del": "redhat-drive-add", "redhat-drive-del-error": "redhat-drive-add"}
LINE = re.compile(r"(ok|not ok) \d+ - ([\w-]+): (old|new) client (\S+), (QEMU|record of) ([\w.-]*\w)(?::[^#]*)?(# SKIP.*)?$")


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def read_rules(path):
    """A rule file without its comments."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return json.loads(re.sub(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', lambda m: m[1] or "", text, flags=re.S))


def break_of(rule, file, ids):
    if file == "image-streaming-2011":
        return "blockjob-underscore"
    name = NAMED_OTHERWISE.get(rule, rule)
    known = [i for i in ids if name == i or name.startswith(i + "-")]
    return max(known, key=len) if known else None


def collect_rules(ids):
    """({(break, direction): {file: [rules]}}, [rules of no break])"""
    found, strays = {}, []
    for name in sorted(os.listdir(RULES)):
        if not name.endswith(".jsonc"):
            continue
        rules = read_rules(os.path.join(RULES, name))
        if rules.get("default") == "deny":
            continue
        for rule in rules["rules"]:
            of = break_of(rule["name"], rules["name"], ids)
            if not of:
                strays.append("%s: %s" % (name, rule["name"]))
            for direction in DIRECTIONS:
                if rule.get("for") in (None, direction + "-client"):
                    found.setdefault((of, direction), {}).setdefault(rules["name"], []).append(rule["name"])
    return found, strays


def record(paths):
    """{break: {direction: [what it was played against]}} of all tests that passed; one that failed takes its version away."""
    passed, failed = {}, set()
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for line in file:
                m = LINE.match(line.rstrip("\n"))
                if not m or m[7]:
                    continue
                against = m[6] if m[5] == "QEMU" else m[6] + "*"
                if m[1] == "ok":
                    passed.setdefault(m[2], {}).setdefault(m[3], set()).add(against)
                else:
                    failed.add((m[2], m[3], against))
    for name, direction, against in failed:
        passed.get(name, {}).get(direction, set()).discard(against)
    write(RESULTS, json.dumps({b: {d: sorted(v, key=version_key) for d, v in sorted(r.items())} for b, r in sorted(passed.items())},
                              indent=1) + "\n")


def version_key(text):
    return [int(n) for n in re.findall(r"\d+", text)], text


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def state(of, direction, rules, results):
    """played, rule, handled or missing"""
    played = results.get(of["id"], {}).get(direction)
    if played and (rules.get((of["id"], direction)) or not of.get("why", {}).get(direction)):
        return "played"
    if rules.get((of["id"], direction)):
        return "rule"
    return "reason" if of.get("why", {}).get(direction) else "missing"


def cell(of, direction, rules, results):
    files = rules.get((of["id"], direction), {})
    played = results.get(of["id"], {}).get(direction, [])
    parts = []
    if files:
        parts.append(", ".join("`%s` (%d)" % (f, len(r)) for f, r in sorted(files.items())))
    if played:
        parts.append("played: " + ", ".join(played))
    if not files and of.get("why", {}).get(direction):
        parts.append(of["why"][direction])
    return "; ".join(parts) or "—"


def totals(breaks, rules, results):
    lines = ["| class | | old client: played | rule | reason | open | new client: played | rule | reason | open |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    sums = [0] * 8
    for name, meaning in CLASSES.items():
        counts = []
        for direction in DIRECTIONS:
            states = [state(b, direction, rules, results) for b in breaks if b[direction] == name]
            counts += [states.count(s) for s in ("played", "rule", "reason", "missing")]
        sums = [a + b for a, b in zip(sums, counts)]
        lines.append("| (%s) | %s | %s |" % (name, meaning, " | ".join(map(str, counts))))
    lines.append("| | all | %s |" % " | ".join(map(str, sums)))
    return lines


def table(breaks, rules, results):
    lines = ["# What the rules bridge", "",
             "Made by tests/live/history/coverage.py; do not edit.  Each line is a place where QMP broke with itself,",
             "the version in which it did, and for a client of before (old) and of after (new): the rule files, with",
             "the number of their rules for it, and the servers against which tests played it.  A version with a star",
             "is a record of that server.  The class of a break is that of the hardest step that its usual form needs.", "",
             *totals(breaks, rules, results), "",
             "*played*: tests prove it; *rule*: there is a rule that no test plays; *reason*: there is none, and the",
             "table says why; *open*: neither.", "",
             "| break | in | old client | | new client | |", "|---|---|---|---|---|---|"]
    for b in breaks:
        lines.append("| **%s** %s | %s | %s | %s | %s | %s |" % (
            b["id"], b["title"].replace("|", "/"), b["version"], b["old"], cell(b, "old", rules, results),
            b["new"], cell(b, "new", rules, results)))
    return "\n".join(lines) + "\n"


def check(wanted, strays, breaks, rules, results):
    with open(TABLE, encoding="utf-8") as file:
        is_current = file.read() == wanted
    missing = ["%s, %s client" % (b["id"], d) for b in breaks for d in DIRECTIONS if state(b, d, rules, results) == "missing"]
    tests = [("rules/COVERAGE.md is what its sources say (else run coverage.py --write)", is_current, []),
             ("every rule of history belongs to a break", not strays, strays),
             ("every break has a rule, or a reason why not", not missing, missing)]
    print("1..%d" % len(tests))
    for i, (name, is_ok, what) in enumerate(tests, 1):
        print("%s %d - %s" % ("ok" if is_ok else "not ok", i, name))
        for line in what:
            print("# " + line)
    return 0 if all(t[1] for t in tests) else 1


def main():
    breaks = read_json(os.path.join(HERE, "fixtures", "breaks.json"))
    rules, strays = collect_rules([b["id"] for b in breaks])
    if sys.argv[1:2] == ["--record"]:
        record(sys.argv[2:])
    results = read_json(RESULTS)
    wanted = table(breaks, rules, results)
    if sys.argv[1:]:
        write(TABLE, wanted)
        return 0
    return check(wanted, strays, breaks, rules, results)


if __name__ == "__main__":
    sys.exit(main())
