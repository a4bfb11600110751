"""Runs one file of tests and writes down how each of its methods ended.

    run_one_file_of_tests.py RESULTS PACKAGE FILE [RESOURCE...]

PACKAGE is the package that the file is a module of ("" for none). A file of CPython's brings `test_main`, one of others `test_suite`
or just classes of tests, and the oldest test while they are imported. RESULTS gets a line an event, with tabs between fields:

    start ID
    pass|fail|error|skip|xfail|xpass ID [MESSAGE [SOURCE]]
    end

MESSAGE is an exception's type and text, or why a test is skipped; SOURCE is the line that raised. ID is `(file)` for what happens outside
of methods. A file without a line `end` did not end by itself. The tests start in the folder that TMPDIR names. This file lies in the
library: tests of tracing leave out what does.
"""

import os
import sys
import traceback

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
            write(descriptor, line)
        finally:
            close(descriptor)

    def name(self, name):
        """An ID without the modules that it begins with."""
        return name.replace(self.prefix, "") or FILE

    def exception(self, kind, name, info):
        self.write(kind, self.name(name), *describe(info))


def one_line(text):
    if isinstance(text, unicode):
        text = text.encode("unicode_escape")
    return "".join(c if " " <= c <= "~" else "\\x%02x" % ord(c) for c in str(text))[:400]


def describe(info):
    """An exception's type and text, and the line that raised it."""
    kind, value, where = info
    try:
        lines = traceback.format_exception_only(kind, value)
        message = [line for line in lines if not line.startswith(" ")][-1].strip()
        message = message.split("\n")[0] if lines else kind.__name__
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
            results.write("start", results.name(test.id()))

        def addSuccess(self, test):
            unittest.TestResult.addSuccess(self, test)
            results.write("pass", results.name(test.id()))

        def addError(self, test, info):
            unittest.TestResult.addError(self, test, info)
            results.exception("error", test.id(), info)

        def addFailure(self, test, info):
            unittest.TestResult.addFailure(self, test, info)
            results.exception("fail", test.id(), info)

        def addSkip(self, test, reason):
            unittest.TestResult.addSkip(self, test, reason)
            results.write("skip", results.name(test.id()), reason)

        def addExpectedFailure(self, test, info):
            unittest.TestResult.addExpectedFailure(self, test, info)
            results.exception("xfail", test.id(), info)

        def addUnexpectedSuccess(self, test):
            unittest.TestResult.addUnexpectedSuccess(self, test)
            results.write("xpass", results.name(test.id()))

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


def main():
    path, package, name = sys.argv[1:4]
    resources = sys.argv[4:]
    sys.argv[1:] = []
    # The driver's own folder, as for any program.
    del sys.path[0]
    whole = package + "." + name if package else name
    results = Results(path, whole + ".")

    os.chdir(os.environ["TMPDIR"])

    import unittest
    from StringIO import StringIO

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
        support.use_resources = resources
        support._run_suite = run_suite
        support.run_doctest = run_doctest
        support.record_original_stdout(sys.stdout)
        failed = support.TestFailed
    output = sys.stdout
    printed = sys.stdout = StringIO()
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
        # As CPython's own runner sees it, a test does not print.
        if printed.getvalue():
            results.write("fail", FILE, "printed: " + printed.getvalue())
        elif not results.count:
            results.write("pass", FILE)
    results.write("end")


if __name__ == "__main__":
    main()
