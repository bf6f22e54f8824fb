"""The manual's table of limits is the one of the program, and every limit has its test."""

import re

import lint

report = lint.Report()
header = (lint.TOP / "src/proxy/limits.h").read_text()
manual = (lint.TOP / "man/qmp-shim.1").read_text()
section = manual[manual.index(".Sh LIMITS") : manual.index(".Sh ENVIRONMENT")]
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "s": 1000, "ms": 1, "": 1}


def c_number(text):
    m = re.fullmatch(r"(\d+)u?(?: << (\d+))?", text.strip())
    return int(m[1]) << int(m[2] or 0)


def manual_number(text):
    m = re.fullmatch(r"(\d+) ?(\w*)", text.strip())
    return int(m[1]) * UNITS[m[2]]


struct = lint.without_comments(header)[header.index("struct limits {") :]
members = re.findall(r"\w+\s+(\w+);", struct[: struct.index("};")])
defaults = {name: c_number(value) for name, value in re.findall(r"\.(\w+) = ([^,]+),", header)}
table = {name: manual_number(value) for name, value in re.findall(r"^\.It Li (\w+) , No ([^\n]+)$", section, re.MULTILINE)}

report.state("every limit has a default", [m for m in members if m not in defaults])
report.state("the manual has every limit, and no other",
             [f"{name}: only in one of limits.h and qmp-shim(1)" for name in sorted(set(members) ^ set(table))])
report.state("the manual tells the defaults as they are",
             [f"{name}: {defaults[name]} in limits.h, {table[name]} in qmp-shim(1)"
              for name in members if defaults[name] != table.get(name, defaults[name])])
tests = "".join(p.read_text() for p in [*lint.TOP.glob("tests/cases/*.case"), *lint.TOP.glob("tests/unit/*.c")])
report.state("every limit is set in some test",
             [f"{name}: in no case file and no unit test" for name in members
              if not re.search(rf"\b{name} ?=", tests)])
report.done()
