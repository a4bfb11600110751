#!/usr/bin/env python3
"""Imports every module of the standard library in the sandbox and natively: scripts/modules.py DEST [--update]

DEST is an installed sandbox. What comes out is compared with docs/reports/python-support.md; --update writes it anew. A module that can't be
imported, or is limited, has its reason in tests/expected/modules.txt. Ends with 1 if anything differs, with 2 if called wrongly.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

import built

PROJECT = pathlib.Path(__file__).resolve().parent.parent
TABLE = PROJECT / "docs/reports/python-support.md"
REASONS = PROJECT / "tests/expected/modules.txt"
LIBRARY = "lib/python2.7"
NATIVE = "x86_64-linux/python-host/build"

# Modules that act when they are imported.
ACTS = {"antigravity", "this", "__phello__.foo", "hotshot.stones"}

# Imports the modules whose names it reads, and says how each ended; a line each, as a module may end the process.
PROGRAM = """
import sys
if len(sys.argv) == 1:
    print "builtin " + " ".join(sys.builtin_module_names)
for name in sys.argv[1:]:
    sys.stderr.write("@ " + name + "\\n")
    try:
        __import__(name)
    except BaseException as error:
        sys.stderr.write("! %s %s: %s\\n" % (name, type(error).__name__, " ".join(str(error).split())))
    else:
        sys.stderr.write("+ " + name + "\\n")
"""


def names_below(library):
    """The modules whose files lie in a library."""
    found = set()
    for path in library.rglob("*"):
        parts = path.relative_to(library).parts
        if path.suffix not in (".py", ".so") or {"test", "tests", "idle_test", "site-packages"} & set(parts):
            continue
        if parts[0] in ("lib-dynload", "lib-tk") or parts[0].startswith("plat-"):
            parts = parts[1:]
        if parts[0] == "config":
            continue
        name = [*parts[:-1], re.sub(r"(module)?\.so$|\.py$", "", parts[-1])]
        if name[-1] == "__init__":
            name.pop()
        # A folder that is no package holds no modules.
        packages = [library.joinpath(*name[:length], "__init__.py") for length in range(1, len(name))]
        # `NAME_failed` is what CPython's own build leaves of a module that it could not load.
        if name and not name[-1].endswith("_failed") and name[-1] != "__main__" and all(package.exists() for package in packages):
            found.add(".".join(name))
    return found


class Place:
    """An interpreter."""

    def __init__(self, command, library):
        self.command = command
        self.library = library
        self.builtin = set(self.run([]).stdout.split()[1:])

    def run(self, names):
        """Runs the program on these names."""
        return subprocess.run(
            [*self.command, "-c", PROGRAM, *names], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600
        )

    def imports(self, names):
        """How the import of each ended: None if well."""
        results = {}
        left = list(names)
        while left:
            ended = self.run(left)
            for line in ended.stderr.splitlines():
                if line.startswith("+ "):
                    results[line[2:]] = None
                elif line.startswith("! "):
                    _, name, error = line.split(" ", 2)
                    results[name] = error
            started = [line[2:] for line in ended.stderr.splitlines() if line.startswith("@ ")]
            if not started:
                sys.exit(f"modules: {self.command[0]} did not start: {ended.stderr}")
            if started[-1] not in results:
                results[started[-1]] = f"ends the program with status {ended.returncode}"
            left = [name for name in left if name not in results]
        return results

    def kind(self, name):
        """Where a module comes from."""
        if name in self.builtin:
            return "C, in the interpreter"
        if (self.library / "lib-dynload" / f"{name}.so").exists():
            return "C, loaded"
        return "Python"


def read_reasons():
    """The committed reasons: for each module `missing` or `limited`, and a sentence."""
    reasons = {}
    for line in REASONS.read_text().splitlines():
        if line and not line.startswith("#"):
            name, state, why = line.split(None, 2)
            if state not in ("missing", "limited") or name in reasons:
                sys.exit(f"modules: {REASONS}: `{line}` is no reason, or the second one")
            reasons[name] = (state, why)
    return reasons


def reason_for(name, reasons):
    """The reason for a module, or for a package that it is in."""
    if name in reasons:
        return name
    parts = name.split(".")
    packages = (".".join(parts[:length]) + ".*" for length in range(len(parts), 0, -1))
    return next((package for package in packages if package in reasons), None)


def table(sandbox, names, here, natively, reasons):
    """The document."""
    lines = [
        "# The standard library in the sandbox",
        "",
        "Python 2.7.18 on `wasm32-wasi`, module by module: written by `scripts/modules.py DEST --update`, which imports each in the sandbox",
        "and in a native Python built from the same source without other libraries; why something is missing or limited is in",
        "`tests/expected/modules.txt`. What the modules' own tests say is in [cpython-tests](cpython-tests.md).",
        "",
    ]
    working = [name for name in names if here[name] is None]
    lines += [f"Of {len(names)} modules, {len(working)} can be imported.", "", "## Missing", "", "| module | why |", "|---|---|"]
    missing = {}
    for name in names:
        if here[name] is not None:
            missing.setdefault(reason_for(name, reasons), []).append(name)
    for reason, members in missing.items():
        name = reason.removesuffix(".*")
        below = len(members) - (name in members)
        count = f", with {below} in it" if name in members else f": {below} in it"
        lines.append(f"| `{name}`{count if below else ''} | {reasons[reason][1]} |")
    lines += ["", "## There", "", "A package's modules are counted in its line; what is limited has a line of its own.", ""]
    lines += ["| module | kind | modules in it | natively | limits |", "|---|---|---|---|---|"]
    for name in working:
        below = sum(1 for other in working if other.startswith(name + "."))
        limit = reasons.get(name, ("", ""))[1]
        if "." in name and not limit:
            continue
        native = "yes" if natively[name] is None else "no"
        lines.append(f"| `{name}` | {sandbox.kind(name)} | {below or ''} | {native} | {limit} |")
    return "\n".join(lines) + "\n"


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--update"]
    update = "--update" in sys.argv
    if len(arguments) != 1 or len(sys.argv) > 3:
        print(__doc__, file=sys.stderr)
        return 2
    dest = pathlib.Path(arguments[0]).resolve()
    reasons = read_reasons()
    with tempfile.TemporaryDirectory(prefix="pynbox-modules-") as work:
        tree = pathlib.Path(work) / "native"
        subprocess.run([built.find(), "checkout", NATIVE, tree], cwd=PROJECT, check=True)
        native = Place([tree / "python/bin/python2.7"], tree / "python" / LIBRARY)
        sandbox = Place([dest / "bin/run", "python"], dest / "root/python" / LIBRARY)
        names = sandbox.builtin | native.builtin | names_below(sandbox.library) | names_below(native.library)
        names = sorted(names - ACTS)
        here, natively = sandbox.imports(names), native.imports(names)

    wrong = []
    used = set()
    for name in names:
        reason = reason_for(name, reasons)
        used.add(reason)
        state = reasons[reason][0] if reason else None
        if here[name] is not None and state != "missing":
            wrong.append(f"`{name}` can't be imported: {here[name]}; natively: {natively[name] or 'it can'}")
        if here[name] is None and state == "missing" and reason == name:
            wrong.append(f"`{name}` can be imported, and {REASONS.name} says that it is missing")
    wrong += [f"{REASONS.name} has a reason for `{name}`, which is no module" for name in reasons if name not in used]
    if not wrong:
        text = table(sandbox, names, here, natively, reasons)
        if update:
            TABLE.write_text(text)
        elif not TABLE.exists() or TABLE.read_text() != text:
            wrong.append(f"{TABLE.relative_to(PROJECT)} says otherwise: see what `scripts/modules.py DEST --update` changes")
    for line in wrong:
        print(f"modules: {line}", file=sys.stderr)
    if not wrong:
        print(f"modules: {len(names)} modules are as {TABLE.relative_to(PROJECT)} says")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
