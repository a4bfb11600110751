#!/usr/bin/env python3
"""Reads and writes XML and HTML in every encoding, in the sandbox and natively: scripts/encodings.py DEST [--update]

DEST is an installed sandbox with lxml. The names are those of this machine's C library and of the sandbox's tables. What comes out is compared with
docs/reports/encodings.md; --update writes it anew. Ends with 1 if anything differs, with 2 if called wrongly.
"""

import pathlib
import subprocess
import sys
import tempfile

import built

PROJECT = pathlib.Path(__file__).resolve().parent.parent
TABLE = PROJECT / "docs/reports/encodings.md"
PYTHON, LXML = "x86_64-linux/python-host/build", "x86_64-linux/lxml/tree"

# Encodings that the sandbox does without, by one of their names.
MISSING = {
    "ISO-2022-CN": "Its sets of characters are selected within a line.",
    "ISO-2022-CN-EXT": "As ISO-2022-CN.",
    "ISO-2022-JP-2": "Its sets of characters depend on a tag for the language. `ISO-2022-JP` is there.",
    "ISO-2022-JP-3": "As ISO-2022-JP-2.",
    "TSCII": "Its characters are no sequence of bytes, but depend on those around them.",
    "UTF-7": "Browsers forbid it: it hides markup.",
    "UTF-7-IMAP": "For names of mailboxes; Python has it in `imaplib`.",
}

# Reads names, and writes a line for each: what it could do, and digests of what came of it. Of the characters, those that a document may have.
PROGRAM = r'''
import hashlib, sys
from lxml import etree, html

def valid(code):
    return code not in (0x26, 0x3c, 0x3e, 0x7f) and not 0x80 <= code < 0xa0 and not 0xd800 <= code < 0xe000 and code & 0xfffe != 0xfffe

# The tags are for no text: what can't write them leaves them out.
CHARS = [unichr(code) for code in range(0x21, 0x30000) if valid(code)]
SOME = u"".join(CHARS[:700]) + u"\u20ac\u0430\u0e01\u3042\u4e2d\u6587\uac00\U00020000"
# What all of them come to, the tests of the tables compare; here they come in a document.
ALL = u"".join(CHARS[:1500] + CHARS[1500::17])

def digest(data):
    if isinstance(data, unicode):
        data = data.encode("utf-8")
    return hashlib.md5(data).hexdigest()

def attempt(function, *arguments):
    try:
        return function(*arguments)
    except Exception as error:
        return error

def said(result):
    if isinstance(result, Exception):
        return "error:" + type(result).__name__
    return digest(result)

def written(text, name):
    root = etree.Element("a")
    root.text = text
    return etree.tostring(root, encoding=name)

def read(data, name):
    return etree.fromstring(data, etree.XMLParser(encoding=name, huge_tree=True)).text

def read_html(data, name):
    return html.document_fromstring(data, parser=html.HTMLParser(encoding=name)).text_content()

for line in sys.stdin:
    kind, name = line.split()
    data = attempt(written, ALL if kind == "whole" else SOME, name)
    page = attempt(written, SOME, name)
    back = data if isinstance(data, Exception) else attempt(read, data, name)
    shown = page if isinstance(page, Exception) else attempt(read_html, page, name)
    print name, said(data), said(back), said(shown)
'''


def run(command, names, environment=None):
    """What the program says of each name."""
    lines = "".join(f"{kind} {name}\n" for kind, name in names)
    ended = subprocess.run([*command, "-c", PROGRAM], input=lines, capture_output=True, text=True, env=environment, timeout=3000)
    if ended.returncode:
        sys.exit(f"encodings: {command[0]} failed: {ended.stderr}")
    return {line.split()[0]: line.split()[1:] for line in ended.stdout.splitlines()}


def read_names(dest):
    """The names of the tables, each with its encoding."""
    lines = (dest / "root/slib/encodings/names").read_text().splitlines()
    return dict(line.split() for line in lines)


def document(tables, same, only):
    """The page."""
    lines = [
        "# Encodings in the sandbox",
        "",
        "What lxml, and whatever else calls `iconv`, reads and writes on `wasm32-wasi`; written by `scripts/encodings.py DEST --update`, which reads",
        "and writes documents by every name in the sandbox and natively, and compares all that comes out. The tables (`/slib/encodings`) are made",
        "from what glibc makes of every sequence of bytes and of every character (`recipes/files/encodings/tables.c`), so both are the same; a",
        "table is read when its encoding is asked for. A character that an encoding lacks becomes a character reference. Python's own codecs are",
        "CPython's, and have nothing to do with these.",
        "",
        f"{len(same)} names read and write the same as natively. Beside them, names that browsers know and glibc does not: "
        + ", ".join(f"`{name.lower()}`" for name in only)
        + ".",
        "",
        "## Missing",
        "",
        "| encoding | why |",
        "|---|---|",
        *(f"| `{name}` | {why} |" for name, why in MISSING.items()),
        "",
        "## There",
        "",
        "UTF-8, UTF-16, UTF-32, UCS-2 and UCS-4, in both orders of bytes, and:",
        "",
        "| encoding | other names |",
        "|---|---|",
    ]
    for encoding in sorted(set(tables.values())):
        others = sorted(name for name in tables if tables[name] == encoding and name != encoding)
        lines.append(f"| `{encoding}` | {', '.join(f'`{name}`' for name in others)} |")
    return "\n".join(lines) + "\n"


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--update"]
    if len(arguments) != 1 or len(sys.argv) > 3:
        print(__doc__, file=sys.stderr)
        return 2
    dest = pathlib.Path(arguments[0]).resolve()
    tables = read_names(dest)
    listed = subprocess.run(["iconv", "-l"], capture_output=True, text=True, check=True).stdout.split()
    native_names = {name.removesuffix("//") for name in listed}
    # All characters once for each encoding, some of them by its other names.
    names = sorted(("whole" if tables.get(name, name) == name else "some", name) for name in native_names | set(tables))
    with tempfile.TemporaryDirectory(prefix="pynbox-encodings-") as work:
        for node in (PYTHON, LXML):
            subprocess.run([built.find(), "checkout", node, pathlib.Path(work) / node.split("/")[1]], cwd=PROJECT, check=True)
        library = pathlib.Path(work) / "lxml/python/lib/python2.7/site-packages"
        natively = run([f"{work}/python-host/python/bin/python2.7"], names, {"PYTHONPATH": str(library)})
        here = run([str(dest / "bin/run"), "python"], names)

    wrong, same, only, missing = [], [], [], []
    for _, name in names:
        is_here, is_there = (not place[name][0].startswith("error") for place in (here, natively))
        if here[name] == natively[name]:
            same += [name] if is_here else []
        elif not is_there:
            only.append(name)
        elif not is_here:
            missing.append(name)
        else:
            wrong.append(f"`{name}`: {' '.join(here[name])} in the sandbox, {' '.join(natively[name])} natively")
    wrong += [f"`{name}` is there natively, not in the sandbox" for name in missing if not is_expected(name)]
    wrong += [f"`{name}` is there, and is said to be missing" for name in MISSING if name not in missing]
    for line in wrong:
        print(line)
    if wrong:
        return 1
    text = document(tables, same, only)
    if "--update" in sys.argv:
        TABLE.write_text(text)
    elif TABLE.read_text() != text:
        print(f"{TABLE.name} says something else: run `scripts/encodings.py DEST --update`")
        return 1
    print(f"{len(same)} names as natively, {len(only)} only here, {len(missing)} only natively")
    return 0


def is_expected(name):
    """Whether it is another name of an encoding that is missing."""
    plain = name.replace("-", "").removeprefix("CS")
    return any(plain == other.replace("-", "") for other in MISSING)


if __name__ == "__main__":
    sys.exit(main())
