#!/usr/bin/env python3
"""Makes the same calls of the C library in the sandbox and natively: scripts/differences.py DEST [SEED…]

DEST is an installed sandbox. The calls are chosen by chance (recipes/files/tests/calls.c), from the seeds 1 to 20 if none is named; what
each gives must be the same in both. Ends with 1 if anything differs, with 2 if called wrongly.
"""

import difflib
import pathlib
import subprocess
import sys
import tempfile

PROJECT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = PROJECT / "recipes/files/tests/calls.c"
COUNT = 2000
# Lines of one difference that are shown.
MAX_SHOWN = 20


def calls(command, seed):
    """What a run prints, line by line."""
    run = subprocess.run([*command, str(seed), str(COUNT)], env={}, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
    if run.returncode != 0:
        sys.exit(f"differences: {command[0]} ended with {run.returncode}, seed {seed}: {run.stderr.decode(errors='replace')}")
    return run.stdout.decode(errors="backslashreplace").splitlines()


def main():
    if len(sys.argv) < 2 or not all(seed.isdecimal() for seed in sys.argv[2:]):
        print(__doc__, file=sys.stderr)
        return 2
    dest = pathlib.Path(sys.argv[1]).resolve()
    seeds = [int(seed) for seed in sys.argv[2:]] or list(range(1, 21))
    total = different = 0
    with tempfile.TemporaryDirectory(prefix="pynbox-differences-") as work:
        work = pathlib.Path(work)
        native = work / "calls"
        subprocess.run(["cc", "-std=gnu2x", "-D_GNU_SOURCE", "-O1", "-w", SOURCE, "-o", native], check=True)
        for seed in seeds:
            # The mode of a mounted directory is the host's, and no guest changes it: the calls work in one below it.
            here, there = work / f"native-{seed}", work / f"sandbox-{seed}"
            (here / "in").mkdir(parents=True)
            (there / "in").mkdir(parents=True)
            natively = calls([native, here / "in"], seed)
            run = [dest / "bin/run", "-m", f"{dest}/root:/:ro", "-m", f"{there}:/mnt:rw", "/test/calls.wasm", "/mnt/in"]
            inside = calls(run, seed)
            total += len(natively)
            if natively != inside:
                different += 1
                lines = list(difflib.unified_diff(natively, inside, f"natively, seed {seed}", "in the sandbox", "", "", 0, ""))
                print("\n".join(lines[:MAX_SHOWN]), file=sys.stderr)
    if different:
        print(f"differences: {different} of {len(seeds)} runs differ", file=sys.stderr)
        return 1
    print(f"differences: {total} lines of {len(seeds)} runs are the same")
    return 0


if __name__ == "__main__":
    sys.exit(main())
