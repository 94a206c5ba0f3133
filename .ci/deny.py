"""Checks what the project depends on against deny.toml: bans, licences, sources; needs no network.

cargo-deny knows more (advisories), but building it takes longer than building the project. Prints one line per
check and `N passed, N failed` at the end.
"""

import json
import re
import subprocess
import sys
import tomllib


def cargo(*arguments):
    """What a cargo command prints; it may not change the lock file."""
    return subprocess.run(["cargo", *arguments, "--locked"], check=True, text=True, stdout=subprocess.PIPE).stdout


def allowed(licence, allow):
    """Whether an SPDX expression is satisfied by a list of licences. `/` is the old way to write OR."""
    tokens = re.findall(r"\(|\)|[^\s()]+", licence.replace("/", " OR "))

    def either():
        found = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            found = both() or found
        return found

    def both():
        found = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            found = one() and found
        return found

    def one():
        token = tokens.pop(0)
        if token == "(":
            found = either()
            tokens.pop(0)
            return found
        if tokens and tokens[0] == "WITH":
            token = f"{token} WITH {tokens[1]}"
            del tokens[:2]
        return token in allow

    return either()


def main():
    with open("deny.toml", "rb") as file:
        rules = tomllib.load(file)
    # `cargo metadata` also lists what only a switched-off feature would bring in; `cargo tree` knows better.
    tree = cargo("tree", "--workspace", "--edges", "all", "--target", "all", "--prefix", "none", "--format", "{p}")
    lines = [line for line in tree.splitlines() if " v" in line]
    used = {tuple(line.split()[:2]) for line in lines}
    # Behind name and version `cargo tree` tells where a package is from, unless that is the usual registry.
    elsewhere = {line for line in lines if not re.fullmatch(r"\S+ v\S+( \((proc-macro|\*|/[^)]*)\))*", line)}
    packages = json.loads(cargo("metadata", "--format-version", "1"))["packages"]
    packages = [package for package in packages if (package["name"], "v" + package["version"]) in used]
    banned = {ban["name"]: ban["reason"] for ban in rules["bans"]["deny"]}
    allow = set(rules["licenses"]["allow"])
    name = "{name} {version}".format_map

    found = {
        "bans": [f"{name(p)}: {banned[p['name']]}" for p in packages if p["name"] in banned],
        "licences": [f"{name(p)}: {p['license']}" for p in packages if not allowed(p["license"] or "none", allow)],
        "sources": sorted(elsewhere),
    }
    for check, wrong in found.items():
        print(f"FAIL {check}: {'; '.join(wrong)}" if wrong else f"ok {check}")
    failed = sum(1 for wrong in found.values() if wrong)
    print(f"{len(found) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
