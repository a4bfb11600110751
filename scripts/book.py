#!/usr/bin/env python3
"""Builds the book in docs/ and checks it: scripts/book.py [MDBOOK]

MDBOOK is the program `mdbook`, by default the one in PATH. The book is written to target/book. Then these must hold:

- every page of docs/ is in docs/SUMMARY.md,
- every link inside the book leads to a page that exists, and to a heading in it,
- every link of the Markdown files outside docs/ leads to a file that exists,
- every file of this repository that any text file names in backticks exists,
- every test that docs/reports/cache-faults.md names exists,
- every row of the tables of attacks in docs/security.md names tests, and their files have them.

Prints what does not hold, and ends with 1 if there is anything; with 2 if called wrongly, with 3 if mdbook can't be started.
"""

import pathlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

PROJECT = pathlib.Path(__file__).resolve().parent.parent
DOCS = PROJECT / "docs"
BOOK = PROJECT / "target/book"
# Pages that mdBook makes of others.
MADE = {"print.html", "404.html", "toc.html"}
# A path in backticks that can be one of this repository's.
NAMED = re.compile(r"`((?:src|build-graph|docker|formats|namespaces|network|recipes|remote|store|support|sandbox|tests|testing|benches|docs|scripts|examples)/[A-Za-z0-9_./-]+)`")
# A placeholder in a path, such as the NAME of `recipes/files/NAME/`.
PLACEHOLDER = re.compile(r"(^|/)[A-Z]+(-[A-Z]+)*(/|\.|$)")
# Where the paths of another project are named: a reader's own, or one that a test makes.
OTHERS = ("docs/guide/first-recipe.md", "docs/guide/native-module.md", "tests/")


class Page(HTMLParser):
    """The links and the anchors of one page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def build(mdbook):
    """Builds the book; mdbook's messages go where ours go."""
    try:
        done = subprocess.run([mdbook, "build", str(DOCS)], check=False)
    except OSError as error:
        print(f"book: can't start `{mdbook}` ({error.strerror}): install mdBook, or name it", file=sys.stderr)
        sys.exit(3)
    if done.returncode != 0:
        sys.exit(1)


def unlisted():
    """Pages that are not in the summary."""
    listed = set(re.findall(r"\]\(([^)]+)\)", (DOCS / "SUMMARY.md").read_text(encoding="utf-8")))
    for path in sorted(DOCS.rglob("*.md")):
        name = path.relative_to(DOCS).as_posix()
        if name != "SUMMARY.md" and name not in listed:
            yield f"docs/{name}: is not in docs/SUMMARY.md"


def broken_in_book():
    """Links of the book that lead nowhere."""
    pages = {path: Page(path) for path in BOOK.rglob("*.html")}
    for path, page in sorted(pages.items()):
        if path.name in MADE:
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            if target.is_dir():
                target = target / "index.html"
            name = path.relative_to(BOOK)
            if not target.is_file():
                yield f"{name}: `{link}` leads to no file"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name}: `{link}` leads to no heading"


def texts():
    """The text files of the repository: each path with its lines."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, stdout=subprocess.PIPE, check=True).stdout
    for name in sorted(filter(None, listed.decode().split("\0"))):
        path = PROJECT / name
        if name.startswith(("patches/", "formats/tests/data/", "recipes/files/")) or path.suffix in (".lock", ".snap") or not path.is_file():
            continue
        try:
            yield name, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def missing_files():
    """Files of the repository that are named, and not there."""
    for name, text in texts():
        if name.startswith(OTHERS):
            continue
        here = PROJECT / name
        named = set(NAMED.findall(text))
        if here.suffix == ".md" and not name.startswith("docs/"):
            links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
            named |= {link for link in links if not link.startswith("http")}
        for path in sorted(named):
            # A crate names its files as they lie in it.
            bases = [PROJECT, *list(here.parents)[: len(pathlib.PurePath(name).parts) - 1]]
            if not PLACEHOLDER.search(path) and not any((base / path).exists() for base in bases):
                yield f"{name}: names `{path}`, which does not exist"


def missing_tests():
    """Tests that the report on caches names, and that are not there."""
    functions = set()
    for name, text in texts():
        if name.endswith(".rs"):
            functions.update(re.findall(r"\bfn (\w+)", text))
    name = "docs/reports/cache-faults.md"
    for test in re.findall(r"`(\w+_\w+_\w+)`", (PROJECT / name).read_text(encoding="utf-8")):
        if test not in functions:
            yield f"{name}: names the test `{test}`, which does not exist"


def untested_attacks():
    """Rows of the tables of attacks without a test, and tests that their files don't have."""
    name = "docs/security.md"
    rows = re.findall(r"^\|.*\|(.*)\|$", (PROJECT / name).read_text(encoding="utf-8").partition("\n## Attacks")[2], re.M)
    for cell in rows:
        if cell.strip() in ("test", "---"):
            continue
        files = re.findall(r"`([\w/]+\.(?:rs|py))`: ((?:`\w+`(?:, )?)+)", cell)
        if not files:
            yield f"{name}: a row names no test:{cell}"
        for path, tests in files:
            there = (PROJECT / path).is_file() and (PROJECT / path).read_text(encoding="utf-8")
            for test in re.findall(r"`(\w+)`", tests):
                if not there or not re.search(rf"\b(fn|def) {test}\b", there):
                    yield f"{name}: names `{test}` in `{path}`, which does not exist"


def main():
    if len(sys.argv) > 2 or sys.argv[1:2] == ["--help"]:
        print(__doc__, file=sys.stderr)
        return 2
    build(sys.argv[1] if len(sys.argv) == 2 else "mdbook")
    problems = [*unlisted(), *broken_in_book(), *missing_files(), *missing_tests(), *untested_attacks()]
    for problem in problems:
        print(problem)
    print(f"book: {len(problems)} problems" if problems else "book: every link and every name is right")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
