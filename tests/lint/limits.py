"""The manual's tables of limits are the program's, none is left out, and every limit has its test."""

import re

import lint

report = lint.Report()
header = (lint.TOP / "src/proxy/limits.h").read_text()
manual = (lint.TOP / "man/qmp-shim.1").read_text()
section = manual[manual.index(".Sh LIMITS") : manual.index(".Sh ENVIRONMENT")]
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "s": 1000, "ms": 1, "": 1}
NAMED_LIMITS = {"INT32_MAX": (1 << 31) - 1}

# What no peer and no operator comes to: the reason stands beside it.
NO_LIMIT = {
    "ACCESS_MAX_GROUPS": "the kernel's",
    "ACTIVATION_MAX_NAME_BYTES": "systemd's",
    "ADDRESS_MAX_PATH_BYTES": "the kernel's, told where paths are",
    "FDSTORE_MAX_NAME_BYTES": "of names that this program makes",
    "CONN_MAX_PIECES": "the rest goes with the next call", "POLLER_MAX_EVENTS": "likewise", "LISTENER_MAX_ACCEPTS": "likewise",
    "FRAME_QUICK_MAX_BYTES": "what is longer is read in another way", "FRAME_QUICK_MAX_DEPTH": "likewise", "USUAL_MAX_REPLY_BYTES": "likewise",
    "SKIM_MAX_NAMES": "what is more is read in another way", "SKIM_MAX_DEPTH": "likewise", "PLAN_MAX_VARS": "likewise",
    "PLAN_MAX_MEMBERS": "likewise", "PLAN_MAX_FOUND": "likewise", "PLAN_MAX_DEPTH": "likewise",
    "SELECTION_MAX_SHARED": "those beyond are made anew each time",
    "ESCAPED_MAX_BYTES": "of one byte", "LOG_MAX_LINE_BYTES": "follows from log_max_text_bytes",
    "MAX_NUMBER_BYTES": "of 64 bits", "MAX_MEMBER_BYTES": "of what this program writes", "MAX_START_BYTES": "likewise",
    "MAX_MIB": "told with --trace-size", "MAX_ID_BYTES": "what is longer is compared in another way",
    "COMPARE_MAX_NUMBERS": "of a case file", "PLAYER_MAX_TICKS": "likewise", "REHEARSAL_MAX_LINES": "read ahead; the rest is read later",
    "REPLY_MAX_NAME_BYTES": "of a rule file; longer names are quoted in part", "VERSION_MAX_PART": "of a rule file",
    "PACK_MAX_FILES": "of rules that another process had", "CONFORM_MAX_DEPTH": "types are recursive", "GAP_MAX_DEPTH": "likewise",
    "USES_MAX": "of what is counted", "USES_MAX_KEY_BYTES": "likewise",
    "DIALOGUE_MAX_CALLS": "of what is drawn", "DIGEST_MAX_NAMES": "likewise", "DIGEST_MAX_HOLDS": "likewise",
    "DIGEST_MAX_SESSIONS": "likewise", "EXPLAIN_MAX_WAITS": "likewise", "LADDER_MAX_TEXT": "likewise", "LADDER_MAX_CHANGES": "likewise",
    "PAGE_MAX_CHANGES": "likewise", "MAX_VALUE_BYTES": "likewise", "MAX_INSIDE_BYTES": "likewise", "MAX_LINE": "likewise",
    "EXEC_MAX_WORDS": "of words that this program makes", "EXEC_MAX_OWN": "likewise", "OPTIONS_MAX": "likewise",
    "QEMU_ARGS_MAX_IDS": "more chardevs than monitors can be on", "PERFORM_MAX_FDS": "of a record that is played",
    "ALIGNMENT_MAX_APART": "of what is compared", "MANTISSA_MAX": "of 128 bits", "FIELD_MAX_BYTES": "of a number",
    "REPLAY_MAX_TIMEOUT_S": "told with --timeout",
    "JOURNAL_MAX_FDS": "the kernel's", "RECORD_MAX_MS": "of a clock", "RECORD_MAX_US": "likewise",
}


def c_number(text):
    text = text.strip()
    m = re.fullmatch(r"(\d+)u?(?: << (\d+))?", text)
    return int(m[1]) << int(m[2] or 0) if m else NAMED_LIMITS.get(text)


def manual_number(text):
    m = re.fullmatch(r"(\d+) ?(\w*)", text.strip())
    return int(m[1]) * UNITS[m[2]]


def constants():
    """What the sources name, with numbers: an enumerator or a macro."""
    found = {}
    for path in lint.sources():
        text = lint.without_comments(path.read_text())
        for name, value in re.findall(r"\b([A-Z][A-Z0-9_]*)\s*=\s*([^,;}=]+?)\s*(?=[,;}\n])", text):
            found[name] = c_number(value)
        for name, value in re.findall(r"#define ([A-Z][A-Z0-9_]*MAX\w*) ([^\n]+)", text):
            found[name] = c_number(value)
    return found


struct = lint.without_comments(header)[header.index("struct limits {") :]
members = re.findall(r"\w+\s+(\w+);", struct[: struct.index("};")])
defaults = {name: c_number(value) for name, value in re.findall(r"\.(\w+) = ([^,]+),", header)}
table = {name: manual_number(value) for name, value in re.findall(r"^\.It Li ([\w-]+) , No ([^\n]+)$", section, re.MULTILINE)}

report.state("every limit has a default", [m for m in members if m not in defaults])

known = constants()
others = {name.lower(): value for name, value in known.items() if name.lower() in table or (re.search(r"(^|_)MAX(_|$)", name) and name not in NO_LIMIT)}
for enumerator in re.findall(r"\b(CONF_MAX_\w+)\b", (lint.TOP / "src/conf/conf.h").read_text()):
    if known.get(enumerator) is None:  # it names a member of struct limits
        others.pop(enumerator.lower(), None)
options = {
    "max-guests": re.search(r"\.max_guests = (\d+)", (lint.TOP / "src/conf/conf.h").read_text())[1],
    "max-sessions": re.search(r'"max-sessions", "(\d+)"\)', (lint.TOP / "src/cmd/run.c").read_text())[1],
    "fd-store": known["KEEP_ROOM"],
}
all_limits = {**defaults, **others, **{name: int(value) for name, value in options.items()}}

report.state("the manual has every limit, and no other",
             [f"{name}: only in one of src and qmp-shim(1)" for name in sorted(set(all_limits) ^ set(table))])
report.state("the manual tells the limits as they are",
             [f"{name}: {all_limits[name]} in src, {table[name]} in qmp-shim(1)"
              for name in sorted(set(all_limits) & set(table)) if all_limits[name] != table[name]])
tests = "".join(p.read_text() for p in [*lint.TOP.glob("tests/cases/*.case"), *lint.TOP.glob("tests/unit/*.c")])
live = "".join(p.read_text() for p in lint.TOP.glob("tests/live/*.py"))
report.state("every limit is set or named in some test",
             [f"{name}: in no case file and no unit test" for name in members if not re.search(rf"\b{name} ?=", tests)]
             + [f"{name}: in no unit test and no live test" for name in others if not re.search(rf"\b{name.upper()}\b", tests + live)]
             + [f"--{name}: in no live test" for name in options if f'"--{name}"' not in live])
report.done()
