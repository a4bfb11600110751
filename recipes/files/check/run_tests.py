"""Runs one file of tests and writes down how each of its methods ended.

    run_one_file_of_tests.py RESULTS RUNNER PACKAGE FILE [RESOURCE...]

RUNNER is `unittest` or `pytest`. PACKAGE is the package that the file is a module of ("" for none). A file of CPython's brings
`test_main`, one of others `test_suite` or just classes of tests, and the oldest test while they are imported. Of what pytest runs,
tests that are marked as slow are left out. RESULTS gets a line an event, with tabs between fields:

    start ID
    pass|fail|error|skip|xfail|xpass ID [MESSAGE [SOURCE]]
    end

MESSAGE is an exception's type and text, or why a test is skipped; SOURCE is the line that raised. ID is `(file)` for what happens outside
of methods. A file without a line `end` did not end by itself. The tests start in the folder that TMPDIR names. This file lies in the
library: tests of tracing leave out what does. Both Pythons run it.
"""

import os
import re
import sys
import traceback

if sys.version_info[0] == 2:
    from StringIO import StringIO
else:
    from io import StringIO

FILE = "(file)"


class Results(object):
    """Writes the lines. A test may close descriptors, so none is kept open; it may replace functions of `os`, so they are kept."""

    def __init__(self, path, prefix):
        self.path = path
        self.prefix = prefix
        self.count = 0
        self.failed = 0
        self.functions = os.open, os.write, os.close

    def write(self, *fields):
        opened, write, close = self.functions
        if fields[0] not in ("start", "end"):
            self.count += 1
            if fields[0] in ("fail", "error", "xpass"):
                self.failed += 1
        line = "\t".join(one_line(field) for field in fields) + "\n"
        descriptor = opened(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            write(descriptor, line.encode("ascii"))
        finally:
            close(descriptor)

    def name(self, name):
        """An ID without the modules that it begins with, and without the places of objects in memory."""
        return re.sub(" at 0x[0-9a-f]+", "", name.replace(self.prefix, "")) or FILE

    def exception(self, kind, name, info):
        self.write(kind, self.name(name), *describe(info))


def identity(test):
    """A test's ID. An attribute of the test may have the method's name."""
    return type(test).id(test)


def one_line(text):
    if isinstance(text, type(u"")):
        text = text.encode("unicode_escape").decode("ascii")
    return "".join(c if " " <= c <= "~" else "\\x%02x" % ord(c) for c in str(text))[:400]


def describe(info):
    """An exception's type and text, and the line that raised it."""
    kind, value, where = info
    try:
        lines = traceback.format_exception_only(kind, value)
        message = [line for line in lines if not line.startswith(" ")][-1].strip()
        parts = [part.strip() for part in message.split("\n") if part.strip()]
        # Some begin with an empty line: what they say is in those after it.
        message = " ".join(parts[:3]) if parts[0].endswith("Error:") else parts[0]
    except Exception:
        message = getattr(kind, "__name__", str(kind))
    frames = traceback.extract_tb(where)
    frames = [frame for frame in frames if "unittest" not in frame[0]] or frames
    source = " < ".join((frame[3] or "").strip() for frame in reversed(frames[-3:]))
    return message, source


def make_result(unittest, results):
    class Result(unittest.TestResult):
        def startTest(self, test):
            unittest.TestResult.startTest(self, test)
            results.write("start", results.name(identity(test)))

        def addSuccess(self, test):
            unittest.TestResult.addSuccess(self, test)
            results.write("pass", results.name(identity(test)))

        def addError(self, test, info):
            unittest.TestResult.addError(self, test, info)
            results.exception("error", identity(test), info)

        def addFailure(self, test, info):
            unittest.TestResult.addFailure(self, test, info)
            results.exception("fail", identity(test), info)

        def addSubTest(self, test, part, info):
            # A part that passes says nothing, and the method ends without a success if any fails.
            if info is not None:
                kind = "fail" if issubclass(info[0], test.failureException) else "error"
                results.exception(kind, identity(test), info)

        def addSkip(self, test, reason):
            unittest.TestResult.addSkip(self, test, reason)
            # A method that leaves out a part of it ends with that: nothing is said of it as a whole.
            whole = test.test_case if isinstance(test, getattr(unittest.case, "_SubTest", ())) else test
            results.write("skip", results.name(identity(whole)), reason)

        def addExpectedFailure(self, test, info):
            unittest.TestResult.addExpectedFailure(self, test, info)
            results.exception("xfail", identity(test), info)

        def addUnexpectedSuccess(self, test):
            unittest.TestResult.addUnexpectedSuccess(self, test)
            results.write("xpass", results.name(identity(test)))

    return Result


def run_doctests(results, module):
    """Every docstring with examples is a test of its own."""
    import doctest

    runner = doctest.DocTestRunner(verbose=False)
    failed = tried = 0
    for test in doctest.DocTestFinder().find(module, module.__name__):
        if not test.examples:
            continue
        name = "doctest " + (test.name[len(module.__name__) :].lstrip(".") or "(module)")
        results.write("start", name)
        said = []
        outcome = runner.run(test, out=said.append)
        failed += outcome.failed
        tried += outcome.attempted
        if outcome.failed:
            lines = [line.strip() for line in "".join(said).split("\n")]
            results.write("fail", name, " ".join(line for line in lines[4:] if line and "<" not in line[:1])[:300])
        else:
            results.write("pass", name)
    return failed, tried


def run_pytest(results, module):
    """Runs a module's tests by pytest, whose names for them are kept, parameters included."""
    import pytest

    if module.startswith("numpy."):
        import numpy.testing

        # What numpy's tests leave out on WebAssembly is asked of the sandbox: other systems of that kind have less.
        numpy.testing.IS_WASM = False

    def name(nodeid):
        test, bracket, parameters = nodeid.partition("::")[2].partition("[")
        return results.name(test.replace("::", ".") + bracket + parameters)

    def said(report):
        # A skipped test says where and why, other reports end with what was raised.
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr).strip().split("\n")[-1]
        return re.sub("^Skipped: ", "", text)

    class Plugin(object):
        # The older kind of wrapper, which returns nothing: Python 2, which reads this file, too, has no generator with a result.
        @pytest.hookimpl(hookwrapper=True)
        def pytest_runtest_makereport(self, item, call):
            outcome = yield
            report = outcome.get_result()
            if report.failed and call.excinfo is not None:
                report.described = describe((call.excinfo.type, call.excinfo.value, call.excinfo.tb))

        def pytest_runtest_logstart(self, nodeid, location):
            results.write("start", name(nodeid))

        def pytest_runtest_logreport(self, report):
            if report.failed:
                kind = "fail" if report.when == "call" else "error"
                results.write(kind, name(report.nodeid), *getattr(report, "described", (said(report),)))
            elif report.skipped and hasattr(report, "wasxfail"):
                results.write("xfail", name(report.nodeid))
            elif report.skipped:
                results.write("skip", name(report.nodeid), said(report))
            elif report.when == "call":
                # Pytest lets a test pass that may fail.
                results.write("xpass" if hasattr(report, "wasxfail") else "pass", name(report.nodeid))

        def pytest_collectreport(self, report):
            if not report.passed:
                results.write("skip" if report.skipped else "error", name(report.nodeid), said(report))

    # The library can't be written to. Assertions stay as they are written: rewriting those of a large file takes longer than its tests.
    options = ["-q", "--assert=plain", "--tb=native", "-p", "no:cacheprovider", "-p", "no:faulthandler", "-m", "not slow"]
    status = int(pytest.main(options + ["--pyargs", module], plugins=[Plugin()]))
    # All passed, some failed, or there are none: the reports say which.
    if status not in (0, 1, 5):
        results.write("error", FILE, "pytest ended with %d" % status)


def prepare(support):
    """Sees to it that files of CPython 3's are imported whose helpers expect processes or sockets, and whose tests mostly take neither."""
    import socket

    from test.support import socket_helper

    # A helper of tests of argparse, getopt and optparse lies in a package of tests that is not imported where no process can be started.
    can_start = support.has_subprocess_support
    support.has_subprocess_support = True
    try:
        import test.test_tools
    finally:
        support.has_subprocess_support = can_start
    # Asked whether a socket of Unix can be bound, it expects that there is one.
    try:
        socket.socket(socket.AF_UNIX).close()
    except OSError as why:
        socket_helper._bind_nix_socket_error = why


def main():
    path, runner, package, name = sys.argv[1:5]
    resources = sys.argv[5:]
    sys.argv[1:] = []
    # The driver's own folder, as for any program.
    del sys.path[0]
    whole = package + "." + name if package else name
    results = Results(path, whole + ".")

    os.chdir(os.environ["TMPDIR"])

    if runner == "pytest":
        run_pytest(results, whole)
        if not results.count:
            results.write("pass", FILE)
        return results.write("end")

    import unittest

    make = make_result(unittest, results)

    # CPython's own raise an exception if a test fails, and what the file has after them does not run.
    def run_suite(suite):
        suite.run(make())

    def run_doctest(module, verbosity=None, optionflags=0):
        return run_doctests(results, module)

    try:
        from test import support
    except ImportError:
        # Tests of others do without CPython's.
        class NotUsed(Exception):
            pass

        failed = NotUsed
    else:
        support.verbose = 0
        # What CPython's tests leave out on WASI is asked of the sandbox as it is of Linux: other systems of that name have no sockets,
        # no `dup`, no masks of modes. What takes other processes or threads stays out.
        support.is_wasi = False
        support.has_socket_support = True
        support.use_resources = resources
        support._run_suite = run_suite
        support.run_doctest = run_doctest
        support.record_original_stdout(sys.stdout)
        if sys.version_info[0] > 2:
            prepare(support)
        failed = support.TestFailed
    output = sys.stdout
    printed = StringIO()
    # As the runners of CPython see it, a test of Python 2 does not print, and one of Python 3 may; it finds a stream with a descriptor.
    if sys.version_info[0] == 2:
        sys.stdout = printed
    try:
        try:
            module = __import__(whole)
            for part in whole.split(".")[1:]:
                module = getattr(module, part)
            if hasattr(module, "test_main"):
                module.test_main()
            elif hasattr(module, "test_suite"):
                run_suite(module.test_suite())
            else:
                suite = unittest.defaultTestLoader.loadTestsFromModule(module)
                if suite.countTestCases():
                    run_suite(suite)
        finally:
            sys.stdout = output
    except unittest.SkipTest as why:
        results.write("skip", FILE, str(why))
    except failed:
        if not results.failed:
            results.exception("fail", FILE, sys.exc_info())
    except (Exception, SystemExit):
        results.exception("error", FILE, sys.exc_info())
    else:
        if printed.getvalue():
            results.write("fail", FILE, "printed: " + printed.getvalue())
        elif not results.count:
            results.write("pass", FILE)
    results.write("end")


if __name__ == "__main__":
    main()
