#!/usr/bin/env python3
"""Writes inputs from which fuzzing begins: fuzz/seeds.py DIR, a folder a target below DIR.

What is well-formed, small and different in kind; the fuzzers find the rest. What they found is kept in fuzz/corpus, so this is needed for a
new target, or for a new kind of input for one.
"""

import base64
import bz2
import gzip
import hashlib
import io
import json
import lzma
import pathlib
import sys
import tarfile
import zipfile


def leb(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def name(text):
    return leb(len(text)) + text.encode()


def vector(items):
    return leb(len(items)) + b"".join(items)


def libraries():
    """Side modules: each section framed as the target `dylink` has it, and whole."""
    memory_info = b"\x01" + name("")[:0] + leb(4) + bytes([16, 2, 2, 0])
    part = lambda kind, body: bytes([kind]) + leb(len(body)) + body
    dylink = (
        memory_info
        + part(2, vector([name("libm.so"), name("x/y.so")]))
        + part(3, vector([name("f") + leb(0x10)]))
        + part(4, vector([name("env") + name("weak") + leb(1)]))
        + part(5, vector([name("$ORIGIN/..:/slib")]))
    )
    i32, func = b"\x7f", b"\x60"
    function = lambda takes, gives: func + vector([i32] * takes) + vector([i32] * gives)
    imports = [
        name("env") + name("memory") + b"\x02\x00\x01",
        name("env") + name("__indirect_function_table") + b"\x01\x70\x00\x01",
        name("env") + name("__stack_pointer") + b"\x03\x7f\x01",
        name("env") + name("__memory_base") + b"\x03\x7f\x00",
        name("env") + name("__table_base") + b"\x03\x7f\x00",
        name("GOT.mem") + name("x") + b"\x03\x7f\x01",
        name("GOT.func") + name("f") + b"\x03\x7f\x01",
        name("env") + name("weak") + b"\x00\x00",
        name("wasi_snapshot_preview1") + name("fd_write") + b"\x00\x01",
        name("pynbox") + name("fn_call") + b"\x00\x01",
    ]
    sections = [
        (0, name("dylink.0") + dylink),
        (1, vector([function(0, 0), function(1, 1)])),
        (2, vector(imports)),
        (3, vector([leb(0), leb(0), leb(1)])),
        (6, vector([b"\x7f\x00\x41\x08\x0b"])),
        (7, vector([
            name("__wasm_apply_data_relocs") + b"\x00\x03",
            name("__wasm_call_ctors") + b"\x00\x04",
            name("f") + b"\x00\x05",
            name("x") + b"\x03\x05",
        ])),
        (9, vector([b"\x00\x23\x02\x0b" + vector([leb(5), leb(3)]), b"\x05\x70" + vector([b"\xd2\x05\x0b"])])),
        (12, leb(2)),
        (10, vector([leb(2) + b"\x00\x0b", leb(4) + b"\x01\x02\x7f\x0b", leb(4) + b"\x00\x20\x00\x0b"])),
        (11, vector([b"\x00\x23\x01\x0b" + name("data"), b"\x01" + name("passive")])),
        (0, name("pynbox.snapshot") + b"cold-env PYTHON\ncold-arg -S\nend-arg -c\n# note\n"),
    ]
    program = [
        (1, vector([function(0, 0)])),
        (3, vector([leb(0)])),
        (4, vector([b"\x70\x00\x04"])),
        (7, vector([
            name("__indirect_function_table") + b"\x01\x00",
            name("pynbox_snapshot_init") + b"\x00\x00",
            name("pynbox_snapshot_resume") + b"\x00\x00",
        ])),
        (9, vector([b"\x00\x41\x01\x0b" + vector([leb(0)]), b"\x02\x00\x41\x02\x0b\x00" + vector([leb(0)])])),
        (10, vector([leb(2) + b"\x00\x0b"])),
    ]
    for which, parts in (("library", sections), ("program", program)):
        yield f"{which}-framed", b"F" + b"".join(bytes([k]) + len(b).to_bytes(2, "little") + b for k, b in parts)
        yield which, b"\0asm\x01\0\0\0" + b"".join(bytes([k]) + leb(len(b)) + b for k, b in parts)


def records():
    identity = "12 345 1600000000000000000 -5"
    yield "record", (
        f"pynbox-compiled 1\ncode {identity} {'ab' * 32}\nwarm {identity} {'cd' * 32}\nside {identity} {'0' * 64}\n"
        f"table {identity} {'1' * 64}\ncold-env PYTHON\ncold-arg -S\nend-arg -c\nabsent a\\0ab\\\\\ndir 5 16877 lib\n"
        "exact 7 33188 12 1 2 lib/a b\n"
    ).encode()
    yield "index", b"\x01" + (2).to_bytes(4, "little") + b"".join(
        end.to_bytes(4, "little") + entry.to_bytes(4, "little") for end, entry in ((1, 3), (7, 9))
    ) + b"aPyInit"
    yield "signature", b"iilfd>d"


def command_lines():
    limits = "--profile strict --time 1.5 --cpu=2 --max-output 1M --max-file 2K --max-write 3G --max-files 4 --max-open 5 --tmpfs /tmp:64M"
    yield "limits", "\n".join((limits + " --fixed-time=7 --hide-inodes --status-fd 3 --threads 2 /x").split()).encode()
    words = "-m /a:b:/data:rw -m/x:/:ro --cross-mounts -h 5:5 -r0:7 -w 1:8 -E A=1 -p -l /log -v --max-memory 64 python -c pass"
    yield "run", "\n".join(words.split()).encode()
    yield "precompile", b"-v\n--precompile\n--code-cache\n/c\n/x\n/y.so"
    yield "help", b"--help"


def guest_paths():
    yield "below", b"/a/./b//c/\n/a"
    yield "text", "/é/\xff".encode("latin-1") + b"\n/"


def guests():
    """Guests of the target `calls`: settings, then calls with arguments; any bytes are some."""
    # path_open from "/", to make a file if it is not there, and to read and write it.
    opened = lambda place: bytes([200, 16, 0, place, 0, 0, 1, 66, 0, 0, 0])
    # fd_write of two buffers of 4095 bytes to the descriptor.
    written = lambda fd: bytes([26, fd, 2, 0, 128, 0, 128, 0, 0, 0])
    # fd_write of 40 bytes; path_open to read, and fd_read from the descriptor.
    told = lambda fd: bytes([26, fd, 1, 0, 40, 0, 0, 0])
    read = lambda place, fd: bytes([200, 16, 0, place, 0, 0, 0, 2, 0, 0, 0, 20, fd, 1, 0, 100, 0, 0, 0])
    for bit in range(17):
        settings = (1 << bit).to_bytes(3, "little")
        yield f"any-{bit}", settings + bytes(range(bit, 247, 3))
        yield f"files-{bit}", settings + b"".join(opened(place) for place in range(10))
        yield f"writes-{bit}", settings + opened(0) + b"".join(written(fd) for fd in (4, 4, 1, 8, 9))
        yield f"tells-{bit}", settings + told(1) * 3 + told(9) * 2
        # What is mounted read-only, the loader's own log, a link that leads out, another file system.
        yield f"reads-{bit}", settings + read(49, 4) + opened(49) + opened(41) + told(4) + told(10) + read(36, 10) + read(40, 10)


def tar(kind, names):
    """A tar archive of a folder with a file of each kind, with these names in it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for name, letter, rest in names:
            member = tarfile.TarInfo(name)
            member.type = letter
            if letter == tarfile.REGTYPE:
                member.size = len(rest)
                member.mode = 0o755 if name.endswith("run") else 0o644
                archive.addfile(member, io.BytesIO(rest))
            else:
                member.linkname = rest
                archive.addfile(member)
    return out.getvalue()


FILES = [
    ("top", tarfile.DIRTYPE, ""),
    ("top/a", tarfile.REGTYPE, b"content"),
    ("top/run", tarfile.REGTYPE, b"#!/bin/sh"),
    ("top/link", tarfile.SYMTYPE, "a"),
    ("top/hard", tarfile.LNKTYPE, "top/a"),
    ("top/empty", tarfile.DIRTYPE, ""),
]
LONG = [("top/" + "d" * 120 + "/" + "n" * 140, tarfile.REGTYPE, b"x"), ("top/l", tarfile.SYMTYPE, "t" * 150)]


def archives():
    for title, kind in (("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
        yield title, tar(kind, FILES)
        if kind != tarfile.USTAR_FORMAT:
            yield f"{title}-long", tar(kind, LONG)
    plain = tar(tarfile.USTAR_FORMAT, FILES[:3])
    yield "gz", gzip.compress(plain, mtime=0)
    yield "bz2", bz2.compress(plain)
    yield "xz", lzma.compress(plain)
    for title, method in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            for name, mode, content in (("top/a", 0o100644, "aaaa"), ("top/run", 0o100755, "x"), ("top/l", 0o120777, "a"), ("top/d/", 0o040755, "")):
                member = zipfile.ZipInfo(name)
                member.external_attr = mode << 16
                member.compress_type = method
                archive.writestr(member, content)
        yield f"zip-{title}", out.getvalue()


def ar(members):
    out = b"!<arch>\n"
    for title, content in members:
        out += b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (title, 0, 0, 0, b"100644", len(content)) + content + b"\n" * (len(content) % 2)
    return out


def debian_packages():
    data = tar(tarfile.GNU_FORMAT, [("./usr/a", tarfile.REGTYPE, b"x"), ("./usr/l", tarfile.SYMTYPE, "a")])
    parts = [(b"debian-binary", b"2.0\n"), (b"control.tar.gz", gzip.compress(b"", mtime=0))]
    yield "xz", ar([*parts, (b"data.tar.xz", lzma.compress(data))])
    yield "plain", ar([*parts, (b"data.tar/", data)])


def packages():
    digest = "5" * 64
    content = {
        "bin/run": {"kind": "file", "digest": digest, "size": 9, "executable": True},
        "lib/l": {"kind": "symlink", "target": "x"},
        "lib/none": {"kind": "empty_directory"},
    }
    manifest = {"format": 1, "name": "a", "version": "1.2", "target": "wasm32-wasi", "requires": ["b"], "content": content}
    members = [
        ("package.json", tarfile.REGTYPE, json.dumps(manifest).encode()),
        ("content/bin/run", tarfile.REGTYPE, b"#!/bin/sh"),
        ("content/lib/l", tarfile.SYMTYPE, "x"),
        ("content/lib/none", tarfile.DIRTYPE, ""),
    ]
    yield "package", tar(tarfile.GNU_FORMAT, members)
    yield "description", tar(tarfile.GNU_FORMAT, members[:1])


def patches():
    change = "--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"
    yield "change", change.encode()
    yield "two", (change + "\0" + change.replace("-two\n+2", "-2\n+two")).encode()
    yield "new", b"--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n"
    yield "gone", b"--- a/d/b\n+++ /dev/null\n@@ -1 +0,0 @@\n-no end\n\\ No newline at end of file\n"
    git = "diff --git a/%s b/%s\n%s"
    yield "rename", (git % ("a.txt", "c", "similarity index 100%\nrename from a.txt\nrename to c\n")).encode()
    yield "copy", (git % ("a.txt", "c", "similarity index 50%\ncopy from a.txt\ncopy to c\n")).encode()
    yield "mode", (git % ("d/b", "d/b", "old mode 100644\nnew mode 100755\n")).encode()
    yield "link", (git % ("l", "l", "new file mode 120000\nindex 0000000..1111111\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+a.txt\n\\ No newline at end of file\n")).encode()
    yield "quoted", b'diff --git "a/d\\303\\251" "b/d\\303\\251"\nnew file mode 100644\nindex 0000000..e69de29\n'
    yield "mail", b"From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nSubject: [PATCH] x\n\n---\n" + change.encode() + b"-- \n2.39\n"
    yield "ends", b"--- a/d/run\r\n+++ b/d/run\r\n@@ -1,2 +1,2 @@\r\n #!/bin/sh\r\n-x\r\n+y\r\n"


def envelopes():
    yield "whole", b"E"
    yield "edited", b"E\x10\x00\x01\x20\x01\xff"
    domain = b"pynbox-tree-v1"
    yield "manifest", b"M" + b"\0" + len(domain).to_bytes(8, "little") + domain + b"\4" + (0).to_bytes(8, "little")


def repositories():
    """Documents of a repository of packages, and an envelope that nobody signed."""
    digest = lambda byte: ("%02x" % byte) * 32
    item = lambda byte, size: {"digest": digest(byte), "size": size}
    package = lambda name, version, **more: {
        "name": name, "version": version, "target": "wasm32-wasi", "requires": ["b"], "object": item(1, 10), "content": digest(2),
        "installed-size": 20, "provenance": {"node": "n", "key": digest(3), "statement": item(4, 30)}, "published": 5, **more,
    }
    index = {
        "format": 1, "number": 2, "keys": 1, "signed-at": 1800000000, "expires": 1800000100,
        "packages": [package("a", "1"), package("a", "1.1", withdrawn="why")],
        "code": [{"package": digest(1), "loader": digest(5), "processor": "x86_64 avx", "object": item(6, 7), "unpacked": 8}],
        "tools": [{"name": "loader", "platform": "x86_64-linux", "object": item(7, 9), "sha256": digest(8)}],
    }
    keys = {"format": 1, "number": 1, "signed-at": 1800000000, "root": ["iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w="], "index": [], "revoked": ["0123456789abcdef"]}
    statement = {"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "a", "digest": {"blake3": digest(1), "pynboxTree": digest(2)}}]}
    for kind, document in [("I", index), ("K", keys), ("S", statement)]:
        yield "document-" + kind.lower(), kind.encode() + json.dumps(document).encode()
    payload = base64.b64encode(json.dumps(index).encode()).decode()
    yield "envelope", json.dumps({"payload": payload, "payloadType": "application/vnd.pynbox.index+json", "signatures": []}).encode()


def packs():
    """What a pack is made of, a byte a member."""
    yield "whole", bytes([0, 1, 3, 4])
    yield "damaged", bytes([0, 2, 7, 1, 1, 3, 5, 6, 1])


def field(number, content):
    if isinstance(content, int):
        return leb(number << 3) + leb(content)
    content = content.encode() if isinstance(content, str) else content
    return leb(number << 3 | 2) + leb(len(content)) + content


def answers():
    """Trees of the Remote Execution API: a child's digest is the number of a directory."""
    digest = lambda text, size=5: field(1, text) + field(2, size)
    file = field(1, field(1, "a") + field(2, digest("ab" * 32)) + field(4, 1))
    link = field(3, field(1, "l") + field(2, "../a"))
    child = lambda name, number: field(2, field(1, name) + field(2, digest(str(number))))
    yield "flat", field(1, file + link)
    yield "deep", field(1, file + child("d", 0) + child("e", 1)) + field(2, child("f", 1)) + field(2, link)
    yield "empty", field(1, child("d", 0)) + field(2, b"")


def debian_indices():
    digest = "0123456789abcdef" * 4
    packages = (
        f"Package: a\nVersion: 1:1.2-3\nArchitecture: amd64\nMulti-Arch: foreign\nDepends: b (>= 1.0~rc1), c | d:any\nPre-Depends: d\n"
        f"Provides: v (= 2)\nFilename: pool/a.deb\nSize: 12\nSHA256: {digest}\n\n"
        f"Package: b\nVersion: 1.0\nArchitecture: all\nDepends: v (<< 3),\n a\nFilename: pool/b.deb\nSize: 1\nSHA256: {digest}\n\n"
        f"Package: d\nVersion: 0\nFilename: d\nSize: 0\nSHA256: {digest}\n"
    )
    sources = f"Package: a\nVersion: 1.2+dfsg-1\nDirectory: pool\nChecksums-Sha256:\n {digest} 7 a_1.2.orig.tar.xz\n"
    signed = f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n- {sources}\n-----BEGIN PGP SIGNATURE-----\n\nxx\n"
    yield "index", "\0".join([packages, sources, "1:1.0~rc1-2", "1.0-2", "1.0+dfsg"]).encode()
    yield "signed", "\0".join([packages, signed, "1a", "1+", "1."]).encode()


def python_indices():
    page = {"files": [{"filename": "a-1.tar.gz", "url": "../a-1.tar.gz", "hashes": {"sha256": "ab"}, "yanked": False}], "name": "a"}
    yield "json", json.dumps(page).encode()
    yield "html", b'<html><a href="../a-1.tar.gz#sha256=ab" data-x=\'1\'>a-1.tar.gz</a><a\nclass="x" href=\'b&amp;c\'>b</a><abbr>'


def settings():
    yield "settings", b"""[build]
target = "wasm32-wasi"
executor = "auto"
[source]
debian-mirror = "https://x"
pypi-index = "https://y"
offline = true
[engine]
name = "farm"
url = "grpcs://h:1"
instance = ""
token-variable = "T"
header-variables = { x = "Y" }
tls = { ca = "ca.pem", certificate = "m", key = "k" }
platform = { OSFamily = "linux" }
patience = 60
[[remote]]
name = "team"
url = "s3://x/y"
role = "read-write"
unsigned = true
endpoint = "https://z"
timeout = 3
[trust]
revoked = ["a"]
engines = ["farm"]
signing-key = "k.pem"
[[trust.key]]
key = "x"
from = 2026-01-01
"""
    yield "wanted", b"""[debian]
suite = "bookworm"
component = "main"
architecture = "amd64"
foreign = ["i386"]
[images.a]
seeds = ["bash"]
without = ["x"]
[sources.z]
version = "1"
debian = "zlib"
urls = ["https://z"]
[sources.p]
version = "2"
pypi = "p"
package-version = "3"
"""
    digest = b"0123456789abcdef" * 4
    yield "images", b"""[release]
suite = "bookworm"
version = "12.1"
component = "main"
architecture = "amd64"
[images.a]
seeds = ["bash"]
packages = ["bash"]
[[package]]
name = "bash"
version = "5"
path = "pool/b.deb"
sha256 = "%s"
size = 5
""" % digest
    yield "sources", b"""[sources.z]
version = "1"
file = "z.tar"
sha256 = "%s"
size = 5
[[sources.z.origins]]
from = "debian"
path = "pool/z.tar"
""" % digest


def plans():
    node = json.dumps({"name": "a/b", "recipe": "a", "op": {"op": "local", "tree": {"x": {"kind": "symlink", "target": "y"}}}})
    tree = "ab" * 32
    head = f"alias x a/b\nnode 0 {len(node)} {tree} {tree} a/b\nnode 0 {len(node)} - - c\n"
    yield "plan", f"pynbox-plan 1 {tree} {len(head)}\n{head}{node}\n".encode()
    seen = {"path": "/x", "inode": 1}
    record = {
        "question": {"root": "/", "program": ["/x", "y"], "compilers": [], "options": [], "store": "/s", "remotes": ""},
        "generation": 1, "seen": [], "plan": tree, "plan_file": seen, "build_file": "x",
        "ended": {"secs_since_epoch": 1, "nanos_since_epoch": 2},
        "summary": {"nodes": 1, "left": 0, "elsewhere": 0, "remote": 0},
    }
    yield "record", json.dumps(record).encode()


def wheels():
    """Files of a wheel, a zero byte between path and content; and a whole archive."""
    info = "a-1.dist-info/"
    files = {
        info + "METADATA": "Metadata-Version: 2.1\nName: a\nVersion: 1\nRequires-Dist: b>=2; python_version < '4'\n",
        info + "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        info + "entry_points.txt": "[console_scripts]\nrun = a.b:main [x]\n",
        "a/__init__.py": "x = 1\n",
        "a/__pycache__/b.pyc": "",
        "a-1.data/scripts/s": "#!python -E\n",
        "a-1.data/headers/a.h": "",
        "a-1.data/data/share/a": "",
    }
    few = dict(list(files.items())[:2])
    odd = dict(few, **{"A-1.dist-info/x": "", "a-1.data/odd/x": ""})
    for title, some in (("files", files), ("few", few), ("odd", odd)):
        yield title, "\0".join(part for file in some.items() for part in file).encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        rows = []
        for path, text in few.items():
            made.writestr(zipfile.ZipInfo(path), text)
            sum = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            rows.append(f"{path},sha256={sum},{len(text)}\n")
        made.writestr(zipfile.ZipInfo(info + "RECORD"), "".join(rows) + info + "RECORD,,\n")
    yield "archive", archive.getvalue()


def requirements():
    """A file of requirements, and what else is read of a wheel."""
    sum = "ab" * 32
    yield "file", f"# c\n-i https://example.org\n-r x.txt\na[b,c]==1.0 ; python_version >= '3.9' \\\n  --hash=sha256:{sum}\n".encode()
    yield "lines", b"a (>=1,<2) ; (extra == 'a' or os_name in 'x y') and 'z' not in sys_platform\n-e .\nb @ https://x/y;1 ; extra=='a'\n"
    yield "metadata", b"Metadata-Version: 2.4\nName: a\nVersion: 1!2.0rc1+x\nLicense: b\n  c\nRequires-Python: >=3\nRequires-Dist: a[b]~=1.0; extra == 'a'\n\nx"
    yield "about", b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py2.py3-none-any\nTag: cp313-cp313-x_y\n"
    yield "list", b'a.py,sha256=' + b"A" * 43 + b',1\n"b,""c""",sha512=' + b"A" * 86 + b",\nRECORD,,\n"
    yield "programs", b"[console_scripts]\na-b.c = d.e:f.g [x,y]\n[x]\ny = z\n"


TARGETS = {
    "requirements": requirements,
    "wheel": wheels,
    "archive": archives,
    "deb": debian_packages,
    "debian": debian_indices,
    "envelope": envelopes,
    "pack": packs,
    "package": packages,
    "patch": patches,
    "plan": plans,
    "pypi": python_indices,
    "reapi": answers,
    "toml": settings,
    "calls": guests,
    "dylink": libraries,
    "options": command_lines,
    "paths": guest_paths,
    "record": records,
    "repository": repositories,
}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for target, seeds in TARGETS.items():
        folder = pathlib.Path(sys.argv[1], target)
        folder.mkdir(parents=True, exist_ok=True)
        for title, content in seeds():
            (folder / title).write_bytes(content)


if __name__ == "__main__":
    main()
