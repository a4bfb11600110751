"""Compares the units that meson would compile with those that the recipe lists.

Usage: units.py TARGETS SOURCES LISTED. TARGETS is meson's `intro-targets.json`, SOURCES the folder
of numpy's sources, LISTED a file with a line `TARGET UNIT` for each unit, by its path in them. A
unit that is generated is named as if it lay beside its template.
"""
import json
import pathlib
import sys


def built(targets, sources):
    """Yields target and unit of all that is compiled."""
    templates = {}
    for pattern, ending in (("*.src", ""), ("*.pyx", ".c"), ("*.pyx.in", ".c")):
        for path in sources.glob("numpy/**/" + pattern):
            generated = path.with_name(path.name[: -len(pattern) + 1] + ending)
            templates[generated.name] = generated.relative_to(sources)
    for target in targets:
        if target["type"] == "custom":
            continue
        # A library for each unit that is compiled for several processors; a module with a suffix.
        is_dispatched = target["name"].endswith(".dispatch.h_baseline")
        name = "dispatch" if is_dispatched else target["name"].split(".cpython-")[0]
        for group in target["target_sources"]:
            for path in group.get("sources", []):
                yield name, pathlib.Path(path).resolve().relative_to(sources)
            for path in group.get("generated_sources", []):
                generated = pathlib.Path(path).name.replace(".pyx.c", ".c")
                yield name, templates[generated]


def main():
    targets, sources, listed = map(pathlib.Path, sys.argv[1:])
    found = {f"{name} {unit}" for name, unit in built(json.loads(targets.read_text()), sources.resolve())}
    listed = set(listed.read_text().splitlines())
    for line in sorted(found - listed):
        print(f"meson compiles `{line}`, which the recipe does not list")
    for line in sorted(listed - found):
        print(f"the recipe lists `{line}`, which meson does not compile")
    if found != listed:
        sys.exit("bring recipes/src/packages/python3_numpy/units.rs up to date")


if __name__ == "__main__":
    main()
