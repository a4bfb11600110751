"""Writes the module _sysconfigdata from what configure found: gen_sysconfigdata.py MAKEFILE PYCONFIG.H > _sysconfigdata.py

Runs under the Python 2.7 of the building machine, whose own sysconfig knows how to read both files.
"""
import pprint
import sys
import sysconfig


def main(makefile, header):
    found = {}
    sysconfig._parse_makefile(makefile, found)
    with open(header) as lines:
        sysconfig.parse_config_h(lines, found)
    # Modules are linked in. A module in a file of its own would be called NAME.so.
    found["SO"] = ".so"
    print("# What configure found out, for sysconfig and distutils; written by gen_sysconfigdata.py.")
    sys.stdout.write("build_time_vars = ")
    pprint.pprint(found)


main(sys.argv[1], sys.argv[2])
