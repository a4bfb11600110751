"""Compiles a library to bytecode: compile_library.py SOURCES PREFIX OUTPUT

Every SOURCES/x.py gives OUTPUT/__pycache__/x.cpython-313.pyc, in which the source is called PREFIX/x.py. A file that does not compile
(some are there to show that) is named and left out. Runs under the Python 3.13 of the building machine.
"""
import os
import py_compile
import sys
from importlib.util import cache_from_source


def main(sources, prefix, output):
    for folder, folders, names in os.walk(sources):
        folders.sort()
        for name in sorted(names):
            if not name.endswith(".py"):
                continue
            source = os.path.join(folder, name)
            relative = os.path.relpath(source, sources)
            compiled = cache_from_source(os.path.join(output, relative))
            try:
                # Where it finds SOURCE_DATE_EPOCH, it would note the source's digest, and each import would read the source.
                mode = py_compile.PycInvalidationMode.TIMESTAMP
                py_compile.compile(source, compiled, os.path.join(prefix, relative), doraise=True, invalidation_mode=mode)
            except py_compile.PyCompileError as error:
                print(f"left out: {relative}: {error}")


main(*sys.argv[1:])
