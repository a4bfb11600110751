"""Compiles a library to bytecode: compile_library.py SOURCES PREFIX OUTPUT

Every SOURCES/x.py gives OUTPUT/x.pyc, in which the source is called PREFIX/x.py. A file that does not compile (some are there to show
that) is named and left out. Runs under the Python 2.7 of the building machine.
"""
import os
import py_compile
import sys


def main(sources, prefix, output):
    for folder, folders, names in os.walk(sources):
        folders.sort()
        for name in sorted(names):
            if not name.endswith(".py"):
                continue
            source = os.path.join(folder, name)
            relative = os.path.relpath(source, sources)
            compiled = os.path.join(output, relative + "c")
            if not os.path.isdir(os.path.dirname(compiled)):
                os.makedirs(os.path.dirname(compiled))
            try:
                py_compile.compile(source, compiled, os.path.join(prefix, relative), True)
            except py_compile.PyCompileError as error:
                print("left out: %s: %s" % (relative, error))


main(*sys.argv[1:])
