#!/usr/bin/env python3
"""Runs well-known projects' own tests in the sandbox: scripts/wheels.py DEST [--full] [--update]

Installs the wheels that tests/wheels/requirements.txt pins into DEST, beside Python 3, lxml and MarkupSafe by their recipes, and the projects'
tests from their source distributions; runs them with pytest in the sandbox, and compares how many passed, failed and were skipped with
tests/wheels/expected.json, which says why what fails or is left out does. Without --full, long parts are left out. Ends with 1 if anything
differs; --update writes what was found.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent.parent
EXPECTED = HERE / "tests/wheels/expected.json"
REQUIREMENTS = HERE / "tests/wheels/requirements.txt"
TESTS = ["attrs", "beautifulsoup4", "charset-normalizer", "idna", "jinja2", "markupsafe", "requests", "soupsieve", "urllib3"]
PACKAGES = ["python3-lxml", "python3-markupsafe", *(f"python3-{project}-tests" for project in TESTS)]


def pytest(dest, folder, arguments):
    """Runs pytest on a folder of the sandbox; gives the counts of its last line by their words, and all that it said."""
    run = [dest / "bin/run", "--time", "1500", "--tmpfs", "/tmp:256M", "-E", "HOME=/tmp", "-E", "PYTHONDONTWRITEBYTECODE=1", "python3"]
    options = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--rootdir", folder, "--color=no", "-rfE"]
    done = subprocess.run([*run, *options, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    last = next((line for line in reversed(done.stdout.splitlines()) if re.search(r" in [0-9.]+s", line)), "")
    counts = {word.rstrip("s") if word == "errors" else word: int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", last.split(" in ")[0])}
    counts.pop("warnings", None), counts.pop("warning", None)
    return counts, done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dest", type=pathlib.Path)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--update", action="store_true")
    arguments = parser.parse_args()
    dest = arguments.dest.resolve()
    tool = subprocess.run([HERE / "scripts/built.py"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    subprocess.run([tool, "build", *PACKAGES, "python3"], check=True, cwd=HERE)
    subprocess.run([tool, "install", dest, *PACKAGES, "-r", REQUIREMENTS], check=True, cwd=HERE)
    expected = json.loads(EXPECTED.read_text())
    differs = False
    for project, part in expected.items():
        if part.get("full") and not arguments.full:
            print(f"{project:16} left out: only with --full")
            continue
        counts, said = pytest(dest, part["folder"], part["arguments"])
        print(f"{project:16} " + ", ".join(f"{number} {word}" for word, number in sorted(counts.items())))
        if counts != part["counts"]:
            differs = True
            print(said[-8000:])
            print(f"{project}: expected {part['counts']}, found {counts}")
            part["counts"] = counts
    if arguments.update:
        EXPECTED.write_text(json.dumps(expected, indent=1) + "\n")
    return int(differs and not arguments.update)


if __name__ == "__main__":
    sys.exit(main())
