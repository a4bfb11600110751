"""Writes Modules/config.c, the table of modules that are linked in, from modules.txt: gen_config.py MODULES.TXT [NAME ...] > config.c

Each NAME is a module to add. Runs under Python 2 and 3.
"""
import sys

# Modules that the core itself brings, and those without an initialisation function.
CORE = [
    ("marshal", "PyMarshal_Init"),
    ("imp", "initimp"),
    ("_ast", "init_ast"),
    ("gc", "initgc"),
    ("_warnings", "_PyWarnings_Init"),
]
BORN_WITH_THE_INTERPRETER = ["__main__", "__builtin__", "sys", "exceptions"]


def names(path):
    with open(path) as table:
        lines = [line.split("#")[0] for line in table]
    return [line.split("|")[0].strip() for line in lines if "|" in line]


def main(path, more):
    entries = CORE + [(name, "init" + name) for name in names(path) + more]
    out = ['/* Written by gen_config.py. */', '#include "Python.h"', ""]
    out += ["extern void %s(void);" % function for _, function in entries]
    out += ["", "struct _inittab _PyImport_Inittab[] = {"]
    out += ['    {"%s", %s},' % entry for entry in entries]
    out += ['    {"%s", NULL},' % name for name in BORN_WITH_THE_INTERPRETER]
    out += ["    {0, 0}", "};"]
    print("\n".join(out))


main(sys.argv[1], sys.argv[2:])
