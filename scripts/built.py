#!/usr/bin/env python3
"""Says where cargo puts pynbox-build with the settings that count here: scripts/built.py [--build]

With --build it is built first, and cargo itself says where it is. Without, cargo is asked for its target folder; of what lies there
for several targets, the one of $CARGO_BUILD_TARGET counts, else the newest. Ends with 3 if it was not built, and as cargo ends if that fails.
"""

import json
import os
import pathlib
import subprocess
import sys

PROJECT = pathlib.Path(__file__).resolve().parent.parent
NAME = "pynbox-build"


def cargo(*arguments):
    """What cargo prints; its messages go where ours go."""
    try:
        done = subprocess.run(["cargo", *arguments], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    except OSError as error:
        print(f"built: can't start `cargo` ({error.strerror}): install Rust, or put it in PATH", file=sys.stderr)
        sys.exit(3)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done.stdout


def build():
    """Builds it. Gives its path, or None if cargo does not say."""
    place = None
    for line in cargo("build", "--release", "--locked", "--message-format=json-render-diagnostics").splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("target", {}).get("name") == NAME and message.get("executable"):
            place = pathlib.Path(message["executable"])
    return place


def find():
    """The one that was built last."""
    folder = pathlib.Path(json.loads(cargo("metadata", "--no-deps", "--format-version", "1"))["target_directory"])
    target = os.environ.get("CARGO_BUILD_TARGET")
    if target:
        places = [folder / pathlib.Path(target).stem / "release" / NAME, folder / target / "release" / NAME]
    else:
        places = [folder / "release" / NAME, *folder.glob(f"*/release/{NAME}")]
    places = [place for place in places if place.is_file()]
    if not places:
        print(f"built: there is no `{NAME}` in `{folder}`; build it: `cargo build --release`", file=sys.stderr)
        sys.exit(3)
    return max(places, key=lambda place: place.stat().st_mtime_ns)


def main():
    if sys.argv[1:] not in ([], ["--build"]):
        print(__doc__, file=sys.stderr)
        return 2
    place = build() if sys.argv[1:] else None
    print(place or find())
    return 0


if __name__ == "__main__":
    sys.exit(main())
