"""Writes the module _sysconfigdata from what configure found: gen_sysconfigdata.py MAKEFILE PYCONFIG.H > MODULE

Runs under the Python 3.13 of the building machine, whose own sysconfig knows how to read both files.
"""
import pprint
import sys
from sysconfig import parse_config_h
from sysconfig.__main__ import _parse_makefile


def main(makefile, header):
    found = {}
    _parse_makefile(makefile, found)
    with open(header) as lines:
        parse_config_h(lines, found)
    print("# What configure found out, for sysconfig; written by gen_sysconfigdata.py.")
    sys.stdout.write("build_time_vars = ")
    pprint.pprint(found)


main(*sys.argv[1:])
