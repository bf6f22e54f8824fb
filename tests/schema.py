#!/usr/bin/env python3
"""
rules/rules.schema.json, by which editors judge rule files, says what the
program says: it takes the files that load, and refuses the bad ones of
tests/load, but for those whose fault no schema can see.
"""

import json
import os
import re
import sys
from pathlib import Path

TOP = Path(os.environ.get("top_srcdir", Path(__file__).resolve().parents[1]))
CASES = TOP / "tests/load"

# Errors that only the program finds: what several places of a file are to each other.
UNSEEN = {
    "fd-sent-": "which pictures are written",
    "fd-two-": "which variables stand for file descriptors",
    "file-versions-reversed": "one version is later than another",
    "map-told-back": "where a variable is read and written",
    "needs-an-unknown": "which variables the rule has",
    "overlap-": "what two rules match",
    "pattern-member-twice": "two names that differ by a mark",
    "rule-names-twice": "two rules with one name",
    "rule-version-against": "one version is later than another",
    "rule-versions": "one version is later than another",
    "unbound-": "where a variable is bound",
    "vars-default-": "what a map or a type makes of a value",
    "vars-from-an-unknown": "which variables the pictures have",
    "vars-from-itself": "which variable is meant",
    "vars-of-an-unknown-variable": "which variables the pictures have",
    "written-": "which pictures are written",
}


# --- as much of JSON Schema (2020-12) as the file uses -------------------------------------------


class Unknown(Exception):
    """A keyword that is not known here."""


def is_type(value, name):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {
        "null": value is None,
        "boolean": isinstance(value, bool),
        "number": is_number,
        "string": isinstance(value, str),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }[name]


def same(a, b):
    """As JSON: 1 is not true."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


class Schema:
    def __init__(self, root):
        self.root = root

    def find(self, reference):
        place = self.root
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
        return place

    def accepts(self, schema, value):
        if isinstance(schema, bool):
            return schema
        return all(getattr(self, "check_" + self.method(key))(argument, value, schema) for key, argument in schema.items())

    def method(self, key):
        name = {"$ref": "reference", "if": "condition", "not": "negation", "const": "constant"}.get(key, key)
        if key in ("$schema", "$defs", "$comment", "title", "description", "then", "else"):
            return "nothing"
        if not hasattr(self, "check_" + name):
            raise Unknown(key)
        return name

    def check_nothing(self, argument, value, schema):
        return True

    def check_reference(self, argument, value, schema):
        return self.accepts(self.find(argument), value)

    def check_condition(self, argument, value, schema):
        branch = schema.get("then" if self.accepts(argument, value) else "else", True)
        return self.accepts(branch, value)

    def check_negation(self, argument, value, schema):
        return not self.accepts(argument, value)

    def check_constant(self, argument, value, schema):
        return same(argument, value)

    def check_enum(self, argument, value, schema):
        return any(same(a, value) for a in argument)

    def check_type(self, argument, value, schema):
        return is_type(value, argument)

    def check_anyOf(self, argument, value, schema):
        return any(self.accepts(a, value) for a in argument)

    def check_allOf(self, argument, value, schema):
        return all(self.accepts(a, value) for a in argument)

    def check_pattern(self, argument, value, schema):
        return not isinstance(value, str) or re.search(argument, value) is not None

    def check_minLength(self, argument, value, schema):
        return not isinstance(value, str) or len(value) >= argument

    def check_exclusiveMinimum(self, argument, value, schema):
        return not is_type(value, "number") or value > argument

    def check_maximum(self, argument, value, schema):
        return not is_type(value, "number") or value <= argument

    def check_items(self, argument, value, schema):
        rest = value[len(schema.get("prefixItems", [])):] if isinstance(value, list) else []
        return all(self.accepts(argument, v) for v in rest)

    def check_prefixItems(self, argument, value, schema):
        return not isinstance(value, list) or all(self.accepts(a, v) for a, v in zip(argument, value))

    def check_minItems(self, argument, value, schema):
        return not isinstance(value, list) or len(value) >= argument

    def check_maxItems(self, argument, value, schema):
        return not isinstance(value, list) or len(value) <= argument

    def check_minProperties(self, argument, value, schema):
        return not isinstance(value, dict) or len(value) >= argument

    def check_maxProperties(self, argument, value, schema):
        return not isinstance(value, dict) or len(value) <= argument

    def check_required(self, argument, value, schema):
        return not isinstance(value, dict) or all(key in value for key in argument)

    def check_dependentRequired(self, argument, value, schema):
        return not isinstance(value, dict) or all(
            other in value for key, others in argument.items() if key in value for other in others)

    def check_properties(self, argument, value, schema):
        return not isinstance(value, dict) or all(self.accepts(argument[k], v) for k, v in value.items() if k in argument)

    def check_patternProperties(self, argument, value, schema):
        return not isinstance(value, dict) or all(
            self.accepts(a, v) for pattern, a in argument.items() for k, v in value.items() if re.search(pattern, k))

    def check_propertyNames(self, argument, value, schema):
        return not isinstance(value, dict) or all(self.accepts(argument, k) for k in value)

    def check_additionalProperties(self, argument, value, schema):
        if not isinstance(value, dict):
            return True
        known = schema.get("properties", {})
        patterns = schema.get("patternProperties", {})
        return all(self.accepts(argument, v) for k, v in value.items()
                   if k not in known and not any(re.search(p, k) for p in patterns))


# --- files ----------------------------------------------------------------------------------------

COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)


def read(path):
    return json.loads(COMMENT.sub(lambda m: m[1] or " ", path.read_text()))


def is_unseen(name):
    return any(name.startswith(begin) for begin in UNSEEN)


def main():
    root = json.loads((TOP / "rules/rules.schema.json").read_text())
    schema = Schema(root)
    tests = []

    def accepts(path):
        return schema.accepts(root, read(path))

    for path in sorted(TOP.glob("rules/*.jsonc")) + sorted(TOP.glob("tests/*/rules/*.jsonc")):
        tests.append((f"the schema takes {path.relative_to(TOP)}", accepts(path)))
    for case in sorted(CASES.iterdir()):
        if not (case / "expect").exists() or case.name.startswith(("json-", "limit-")):
            continue  # no JSON, or more of it than Python reads
        is_error = ": error: " in (case / "expect").read_text(errors="replace") and case.name != "example-fails"
        if is_error and is_unseen(case.name):
            tests.append((f"the schema cannot see the fault of {case.name}", accepts(case / "rules.jsonc")))
        elif is_error:
            tests.append((f"the schema refuses {case.name}", not accepts(case / "rules.jsonc")))
        else:
            tests.append((f"the schema takes {case.name}", accepts(case / "rules.jsonc")))
    print(f"1..{len(tests)}")
    for i, (name, holds) in enumerate(tests, 1):
        print(f"{'ok' if holds else 'not ok'} {i} - {name}")
    sys.exit(0 if all(holds for _, holds in tests) else 1)


if __name__ == "__main__":
    main()
