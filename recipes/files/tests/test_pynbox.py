"""The Python half of the sandbox's tests, run inside by bin/test_pynbox, which says what it mounts and passes."""

import array
import bz2
import ctypes
import curses
import datetime
import decimal
import errno
import fcntl
import hashlib
import imp
import json
import locale
import math
import operator
import os
import pkgutil
import re
import select
import shutil
import signal
import socket
import sqlite3
import ssl
import stat
import subprocess
import sys
import tempfile
import thread
import threading
import time
import unittest
import zlib

try:
    import multiprocessing
except ImportError:
    # Native Client's Python does without.
    multiprocessing = None

# What can't be imported, and why. Anything else that is shipped must be.
NOT_IMPORTABLE = {
    "_LWPCookieJar": "imported by cookielib alone",
    "_MozillaCookieJar": "imported by cookielib alone",
    "ctypes.wintypes": "Windows",
    "bsddb": "needs _bsddb, of Berkeley DB",
    "dbhash": "needs _bsddb, of Berkeley DB",
    "encodings.mbcs": "Windows",
    "distutils.command.bdist_msi": "Windows",
    "distutils.msvc9compiler": "Windows",
    "lib2to3.pgen2.conv": "imports what CPython does not have",
    "multiprocessing.queues": "needs semaphores",
    "multiprocessing.reduction": "needs other processes",
    "multiprocessing.synchronize": "needs semaphores",
}
if sys.platform == "nacl":
    for name in [name for name in NOT_IMPORTABLE if name.startswith("multiprocessing.")]:
        del NOT_IMPORTABLE[name]
# What acts when it is imported, as a `__main__` does too.
ACTS = ["antigravity", "this", "__phello__.foo", "hotshot.stones"]


# Native Client's loader knows no links, no modes but the owner's, no flags of descriptors, no waiting for them, and no devices; its threads are
# real; and what it is asked to call, it calls.
NACL = sys.platform == "nacl"
not_in_nacl = unittest.skipIf(NACL, "the loader of Native Client does without")


class Blocked(unittest.TestCase):
    """What the operating system would give."""

    def refused(self, function, *arguments):
        try:
            function(*arguments)
        except EnvironmentError as error:
            self.assertEqual(error.errno, errno.ENOSYS)
            self.assertEqual(error.strerror, "Function not implemented")
        else:
            self.fail("not refused")

    def test_sockets(self):
        self.refused(socket.socket)
        self.refused(socket.socket, socket.AF_UNIX)
        if NACL:
            self.refused(socket.socketpair)
            # glibc's resolver says what came of it, not why.
            self.assertRaises(socket.gaierror, socket.getaddrinfo, "localhost", 80)
            self.assertRaises(socket.error, socket.create_connection, ("127.0.0.1", 80))
        else:
            for address in ["127.0.0.1", "localhost"]:
                self.refused(socket.create_connection, (address, 80))
                self.assertEqual(socket.getaddrinfo(address, 80, 0, socket.SOCK_STREAM),
                                 [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))])
            with self.assertRaises(socket.gaierror) as caught:
                socket.getaddrinfo("example.com", 80)
            self.assertIn("the sandbox has no network", str(caught.exception))

    def test_programs(self):
        self.refused(os.fork)
        if NACL:
            self.refused(os.pipe)
        self.refused(os.popen, "true")
        self.refused(os.system, "true")
        self.refused(os.execv, "/bin/sh", ["sh"])
        self.refused(subprocess.Popen, ["true"])
        self.refused(subprocess.call, "true", 0, None, None, None, None, None, False, True)
        with self.assertRaises(OSError) as caught:
            subprocess.Popen(["true"], stdout=subprocess.PIPE)
        self.assertIn("the sandbox runs one process only", str(caught.exception))

    def test_processes(self):
        self.refused(os.kill, 1, signal.SIGTERM)
        self.refused(os.killpg, 1, signal.SIGTERM)
        self.refused(os.wait)
        self.refused(os.waitpid, -1, 0)
        self.refused(os.wait3, 0)

    @unittest.skipUnless(NACL, "one thread only")
    def test_real_threads(self):
        numbers = []
        threads = [threading.Thread(target=numbers.append, args=(number,)) for number in range(20)]
        for started in threads:
            started.start()
        for started in threads:
            started.join(60)
        self.assertEqual(sorted(numbers), range(20))

    @not_in_nacl
    def test_threads(self):
        with self.assertRaises(thread.error) as caught:
            threading.Thread(target=time.time).start()
        self.assertEqual(str(caught.exception), "can't start new thread: the sandbox runs one thread only")
        lock = threading.Lock()
        with lock:
            self.assertFalse(lock.acquire(False))
        self.assertTrue(lock.acquire(False))

    def test_another_user(self):
        self.assertRaises(OSError, os.setuid, 0)
        self.assertRaises(OSError, os.chown, "/rw/given", 0, 0)
        self.assertRaises(OSError, os.chroot, "/rw")


@not_in_nacl
class Alone(unittest.TestCase):
    """What a program can have of processes and their talk without anybody else."""

    def fails(self, number, function, *arguments):
        with self.assertRaises(EnvironmentError) as caught:
            function(*arguments)
        self.assertEqual(errno.errorcode[caught.exception.args[0]], errno.errorcode[number])

    def test_pipe(self):
        reading, writing = os.pipe()
        self.assertTrue(stat.S_ISFIFO(os.fstat(reading).st_mode))
        self.assertEqual(select.select([reading], [writing], [reading], 0), ([], [writing], []))
        # Nobody else could write meanwhile.
        self.fails(errno.EAGAIN, os.read, reading, 1)
        self.assertEqual((os.write(writing, "abc"), os.read(reading, 2)), (3, "ab"))
        self.assertEqual(select.select([reading], [], [], 0), ([reading], [], []))
        self.fails(errno.ESPIPE, os.lseek, reading, 0, os.SEEK_SET)
        self.assertEqual(os.write(writing, "x" * 100000), 65535)
        self.fails(errno.EAGAIN, os.write, writing, "x")
        self.assertEqual(len(os.read(reading, 100000)), 65536)
        other = os.dup(writing)
        os.close(writing)
        os.write(other, "end")
        os.close(other)
        with os.fdopen(reading) as stream:
            self.assertEqual(stream.read(), "end")
        reading, writing = os.pipe()
        os.close(reading)
        self.fails(errno.EPIPE, os.write, writing, "x")
        os.close(writing)

    def test_socket_pair(self):
        one, two = socket.socketpair()
        self.assertEqual((one.family, one.getsockname(), two.getpeername()), (socket.AF_UNIX, "", ""))
        one.sendall("ping")
        self.assertEqual((two.recv(2, socket.MSG_PEEK), two.recv(100)), ("pi", "ping"))
        two.settimeout(0.001)
        self.assertRaises(socket.timeout, two.recv, 1)
        with two.makefile("w") as stream:
            stream.write("line\n")
        self.assertEqual(one.makefile().readline(), "line\n")
        one.shutdown(socket.SHUT_WR)
        self.assertEqual(two.recv(1), "")
        self.fails(errno.EPIPE, one.send, "x")
        two.close()
        self.assertEqual(one.recv(1), "")
        one.close()

    def test_signals(self):
        got = []
        before = signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number))
        try:
            os.kill(os.getpid(), 0)
            os.kill(os.getpid(), signal.SIGUSR1)
            os.killpg(os.getpgrp(), signal.SIGUSR1)
            self.assertEqual(got, [signal.SIGUSR1] * 2)
        finally:
            signal.signal(signal.SIGUSR1, before)
        self.assertRaises(KeyboardInterrupt, os.kill, 0, signal.SIGINT)
        self.fails(errno.ESRCH, os.kill, 4321, 0)
        self.fails(errno.EINVAL, os.kill, os.getpid(), 99)
        self.assertEqual((os.nice(0), os.getpgid(0), os.getsid(0)), (0, os.getpid(), os.getpid()))

    def test_locks(self):
        with open("/rw/lock", "w") as one:
            with open("/rw/lock") as two:
                fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.fails(errno.EAGAIN, fcntl.flock, two, fcntl.LOCK_SH | fcntl.LOCK_NB)
                self.fails(errno.EDEADLK, fcntl.flock, two, fcntl.LOCK_SH)
                fcntl.flock(one, fcntl.LOCK_SH)
                fcntl.flock(two, fcntl.LOCK_SH)
                self.fails(errno.EBADF, fcntl.lockf, two, fcntl.LOCK_EX)
        os.remove("/rw/lock")

    def test_multiprocessing(self):
        self.assertEqual(multiprocessing.cpu_count(), 1)
        with self.assertRaises(OSError) as caught:
            multiprocessing.Process(target=time.time).start()
        self.assertEqual(caught.exception.errno, errno.ENOSYS)
        self.assertIn("the sandbox runs one process only", str(caught.exception))
        one, two = multiprocessing.Pipe()
        one.send({"a": [1]})
        self.assertEqual((two.poll(), two.recv(), two.poll()), (True, {"a": [1]}, False))
        two.close()
        self.assertRaises(EOFError, one.recv)


class Files(unittest.TestCase):
    """What is mounted."""

    def read(self, path):
        with open(path) as stream:
            return stream.read()

    def test_listing(self):
        # The other Python may be there, too.
        names = [name for name in os.listdir("/") if name != "python3"]
        self.assertEqual(sorted(names), ["python", "ro", "rw", "slib", "test", "tmp"])
        self.assertEqual(os.listdir("/ro"), ["given"])

    def test_read(self):
        self.assertEqual(self.read("/rw/given"), "from outside\n")
        self.assertEqual(self.read("/ro/given"), "from outside\n")
        if not NACL:
            self.assertEqual(self.read("/rw/link-inside"), "from outside\n")

    def test_write(self):
        folder = tempfile.mkdtemp(dir="/rw")
        path = os.path.join(folder, "file")
        with open(path, "wb") as stream:
            stream.write("one\ntwo\n")
            stream.seek(4)
            stream.write("TWO")
        self.assertEqual(self.read(path), "one\nTWO\n")
        self.assertEqual(os.path.getsize(path), 8)
        os.utime(path, (1000, 2000))
        self.assertEqual(os.stat(path).st_mtime, 2000)
        os.rename(path, path + "2")
        self.assertEqual(os.listdir(folder), ["file2"])
        shutil.rmtree(folder)
        self.assertFalse(os.path.exists(folder))

    def test_empty_path(self):
        folder = tempfile.mkdtemp(dir="/rw")
        os.chdir(folder)
        try:
            with open("precious", "w"):
                pass
            for function, arguments in [(os.stat, ()), (os.lstat, ()), (os.listdir, ()), (os.chmod, (0755,)), (os.utime, (None,)),
                                        (os.rmdir, ()), (os.remove, ()), (os.mkdir, ()), (os.rename, ("x",)), (os.chdir, ()),
                                        (shutil.rmtree, ()), (open, ())]:
                self.assertEqual(self.errno_of(function, "", *arguments), errno.ENOENT, function)
            self.assertFalse(os.access("", os.F_OK) or os.path.exists(""))
            if not NACL:
                # It has a name, but not this one.
                self.assertEqual(self.errno_of(os.rmdir, "."), errno.EINVAL)
            self.assertEqual(os.listdir("."), ["precious"])
        finally:
            os.chdir("/")
            shutil.rmtree(folder)

    def errno_of(self, function, *arguments):
        try:
            function(*arguments)
        except EnvironmentError as error:
            return error.errno

    @not_in_nacl
    def test_current_folder(self):
        folder = tempfile.mkdtemp(dir="/rw")
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fchdir(descriptor)
            self.assertEqual(os.getcwd(), folder)
            os.rmdir(folder)
            self.assertEqual(self.errno_of(os.getcwd), errno.ENOENT)
            os.mkdir(folder)
            self.assertEqual(self.errno_of(os.getcwd), errno.ENOENT)
            os.rmdir(folder)
        finally:
            os.chdir("/")
            os.close(descriptor)

    @not_in_nacl
    def test_times(self):
        with open("/rw/times", "w"):
            pass
        os.utime("/rw/times", (-5, -7))
        self.assertEqual((os.stat("/rw/times").st_atime, os.stat("/rw/times").st_mtime), (-5, -7))
        os.utime("/rw/times", None)
        self.assertTrue(abs(os.stat("/rw/times").st_mtime - time.time()) < 1000)
        os.remove("/rw/times")

    @not_in_nacl
    def test_access(self):
        self.assertTrue(os.access("/rw", os.R_OK | os.W_OK) and os.access("/rw/given", os.R_OK | os.W_OK))
        for path in ["/", "/ro", "/ro/given", "/python/lib/python2.7/os.py"]:
            self.assertEqual((os.access(path, os.R_OK), os.access(path, os.W_OK)), (True, False), path)
        self.assertFalse(os.access("/ro/absent", os.F_OK))

    @not_in_nacl
    def test_umask(self):
        before = os.umask(077)
        try:
            with open("/rw/private", "w") as stream:
                self.assertEqual(os.fstat(stream.fileno()).st_mode, 0100600)
        finally:
            os.umask(before)
        os.remove("/rw/private")

    def test_modes(self):
        descriptor, path = tempfile.mkstemp()
        self.assertEqual(stat.S_IMODE(os.fstat(descriptor).st_mode), 0600)
        os.close(descriptor)
        os.chmod(path, 0444)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0400 if NACL else 0444)
        self.assertEqual(os.stat(path).st_uid, os.getuid())
        os.remove(path)

    @not_in_nacl
    def test_paths_need_no_descriptor(self):
        names = sorted(os.listdir("/"))
        kept = os.dup(3)
        try:
            os.close(3)
            self.assertEqual(sorted(os.listdir("/")), names)
            # Another folder gets its number.
            self.assertEqual(os.open("/test", os.O_RDONLY), 3)
            self.assertEqual(sorted(os.listdir("/")), names)
            self.assertTrue(os.path.exists("/test/test_pynbox.py"))
        finally:
            os.dup2(kept, 3)
            os.close(kept)

    def test_descriptors(self):
        stream = tempfile.TemporaryFile()
        other = os.dup(stream.fileno())
        os.write(other, "abc")
        stream.seek(0)
        self.assertEqual(stream.read(), "abc")
        os.close(other)
        self.assertRaises(OSError, os.write, other, "x")

    def test_read_only(self):
        def opened(path, mode):
            open(path, mode).close()

        for path in ["/ro/given", "/python/lib/python2.7/os.py", "/test/test_pynbox.py"]:
            self.assertRaises(IOError, opened, path, "a")
            self.assertRaises(OSError, os.remove, path)
            self.assertRaises(OSError, os.rename, path, path + "2")
            self.assertRaises(OSError, os.chmod, path, 0777)
        for folder in ["/", "/ro", "/python", "/slib", "/test"]:
            self.assertRaises(IOError, opened, os.path.join(folder, "new"), "w")
            self.assertRaises(OSError, os.mkdir, os.path.join(folder, "new"))
            self.assertRaises(OSError, os.symlink, "x", os.path.join(folder, "new"))

    def test_escapes(self):
        for path in ["/rw/link-out", "/rw/link-absolute", "/rw/link-folder/secret", "/rw/../secret",
                     "/../../../etc/passwd", "/etc/passwd", "/proc/self/environ", "/rw/link-folder/../secret"]:
            self.assertRaises(IOError, open, path)
        self.assertRaises(OSError, os.listdir, "/rw/link-folder")
        self.assertEqual(sorted(os.listdir("/..")), sorted(os.listdir("/")))
        os.chdir("/rw")
        try:
            self.assertRaises(IOError, open, "../secret")
            if NACL:
                self.assertRaises(OSError, os.symlink, "../" * 20 + "etc", "escape")
                return
            os.symlink("../" * 20 + "etc", "escape")
            try:
                self.assertRaises(OSError, os.listdir, "escape")
                self.assertRaises(IOError, open, "escape/passwd")
            finally:
                os.remove("escape")
        finally:
            os.chdir("/")


class Modules(unittest.TestCase):
    """Files that are no modules are errors of Python's, whatever is wrong with them."""

    def refused(self, content):
        folder = tempfile.mkdtemp(dir="/rw")
        path = os.path.join(folder, "module.so")
        try:
            with open(path, "wb") as module:
                module.write(content)
            with self.assertRaises(ImportError) as caught:
                imp.load_dynamic("module", path)
        finally:
            shutil.rmtree(folder)
        return str(caught.exception)

    def test_damaged(self):
        with open(bz2.__file__, "rb") as module:
            whole = module.read()
        # glibc's loader reads what the headers promise, wherever the file ends; in the first 64 KiB are the headers and what they tell of.
        for length in range(0, min(len(whole), 0x10000) if NACL else len(whole), 97):
            self.assertTrue(self.refused(whole[:length]))

    def test_foreign(self):
        self.assertIn("module.so", self.refused("\x7fELF" + "\0" * 1000))
        with open(sys.executable, "rb") as program:
            self.refused(program.read())

    def test_absent(self):
        self.assertRaises(ImportError, imp.load_dynamic, "bz2", "/../nowhere/bz2.so")
        self.assertRaises(ImportError, imp.load_dynamic, "bz2", "/python/lib")


class Numbers(unittest.TestCase):
    """Linux's numbers, written out."""

    def errno(self, function, *arguments):
        try:
            function(*arguments)
        except EnvironmentError as error:
            return error.errno, error.strerror
        self.fail("no error")

    def test_errors(self):
        self.assertEqual(self.errno(open, "/rw/absent"), (2, "No such file or directory"))
        self.assertEqual(self.errno(os.listdir, "/rw/given"), (20, "Not a directory"))
        self.assertEqual(self.errno(os.mkdir, "/rw"), (17, "File exists"))
        self.assertEqual(self.errno(os.read, 99, 1), (9, "Bad file descriptor"))
        self.assertEqual(self.errno(open, "/ro/given", "w"), (30, "Read-only file system"))
        self.assertEqual(self.errno(os.rename, "/rw/given", "/tmp/given"), (18, "Invalid cross-device link"))
        self.assertEqual(self.errno(os.fork), (38, "Function not implemented"))
        self.assertEqual((errno.ENOENT, errno.ENOSYS, errno.ENOTEMPTY, errno.ETIMEDOUT), (2, 38, 39, 110))
        self.assertEqual((errno.errorcode[13], os.strerror(13)), ("EACCES", "Permission denied"))
        self.assertRaises(OverflowError, math.exp, 1e9)

    def test_flags(self):
        self.assertEqual((os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_EXCL), (0, 1, 2, 0100, 0200))
        self.assertEqual((os.O_TRUNC, os.O_APPEND, os.O_NONBLOCK, os.O_DIRECTORY), (01000, 02000, 04000, 0200000))
        if NACL:
            self.assertEqual(self.errno(fcntl.fcntl, 0, fcntl.F_GETFL), (38, "Function not implemented"))
            return
        descriptor = os.open("/rw/flags", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0604)
        try:
            self.assertEqual(os.fstat(descriptor).st_mode, 0100604)
            self.assertEqual(fcntl.fcntl(descriptor, fcntl.F_GETFL), os.O_RDWR | os.O_APPEND)
            fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_NONBLOCK)
            self.assertEqual(fcntl.fcntl(descriptor, fcntl.F_GETFL), os.O_RDWR | os.O_NONBLOCK)
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN | select.POLLOUT)
            self.assertEqual(waiting.poll(1000), [(descriptor, 1 | 4)])
            self.assertEqual(select.select([descriptor], [descriptor], [], 1), ([descriptor], [descriptor], []))
        finally:
            os.close(descriptor)
            os.remove("/rw/flags")
        self.assertEqual(waiting.poll(1000), [(descriptor, 32)])

    def test_others(self):
        self.assertEqual((socket.AF_UNIX, socket.AF_INET, socket.SOCK_STREAM, socket.SOCK_DGRAM), (1, 2, 1, 2))
        self.assertEqual((signal.SIGINT, signal.SIGUSR1, signal.SIGTERM, signal.SIGCHLD), (2, 10, 15, 17))
        self.assertEqual(socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, "10.0.0.1")), "10.0.0.1")
        self.assertEqual(len(os.urandom(1000)), 1000)
        mask = os.umask(0o22)
        self.assertEqual(os.umask(mask), 0o22)
        self.assertEqual((socket.gethostname(), os.getpid(), os.getppid()), ("sandbox", 42, 1))
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.assertEqual(signal.signal(signal.SIGTERM, before), signal.SIG_IGN)
        if NACL:
            return
        self.assertEqual(stat.S_IFMT(os.stat("/dev/null").st_mode), 0020000)
        with open("/dev/urandom", "rb") as stream:
            self.assertNotEqual(stream.read(16), "\0" * 16)
        with open("/dev/null", "r+") as stream:
            stream.write("x")
            self.assertEqual(stream.read(), "")

    def test_locale(self):
        self.assertRaises(locale.Error, locale.setlocale, locale.LC_ALL, "de_DE.UTF-8")
        self.assertEqual(locale.setlocale(locale.LC_NUMERIC, ""), "C")
        self.assertEqual(locale.localeconv()["decimal_point"], ".")
        self.assertEqual(sys.getfilesystemencoding(), "ANSI_X3.4-1968" if NACL else "UTF-8")
        locale.setlocale(locale.LC_ALL, locale.setlocale(locale.LC_ALL))
        locale.setlocale(locale.LC_ALL, locale.getlocale())
        self.assertEqual((time.tzname[0], time.strftime("%Z", time.gmtime(0))), ("UTC", "UTC"))


class Library(unittest.TestCase):
    """The interpreter and what comes with it."""

    def test_start(self):
        self.assertEqual(sys.argv[1:], ["first", "second one"])
        self.assertEqual(os.environ.data, {"GIVEN": "a b"})
        self.assertEqual(sys.version_info[:3], (2, 7, 18))
        self.assertEqual((sys.prefix, sys.exec_prefix), ("/python", "/python"))
        self.assertEqual(sys.stdin.read(), "")

    def test_integers(self):
        # Those of few bits are computed in another way than large ones, and both are the same.
        edges = [0, 1, 7, 1 << 29, 1 << 30, 1 << 31, (1 << 59) + 3, 1 << 60, (1 << 61) - 1, 1 << 63, 1 << 64]
        edges = [sign * (edge + off) for edge in edges for off in (-1, 0, 1) for sign in (1, -1)]
        for a in edges:
            for b in edges:
                large, other = a << 200, b << 200
                self.assertEqual((a + b, a - b, a * b), (large + other >> 200, large - other >> 200, large * other >> 400))
                self.assertEqual((a & b, a | b, a ^ b), ((large & other) >> 200, (large | other) >> 200, (large ^ other) >> 200))
                if b:
                    self.assertEqual((a / b, a // b, a % b), (large / other, large // other, (large % other) >> 200))
                    self.assertEqual(divmod(a, b), (a // b, a % b))
                self.assertRaises(ZeroDivisionError, operator.mod, a, 0)
                self.assertRaises(ZeroDivisionError, operator.floordiv, a, 0L)
            for count in (0, 1, 29, 30, 31, 59, 60, 61, 300):
                self.assertEqual(a >> count, a // (1 << count))
            self.assertRaises(ValueError, operator.rshift, a, -1)
        self.assertEqual([type(value) for value in (1L + 1, 3 & 1L, 5L % 2, 7L >> 1, 8L / 2)], [long] * 5)
        self.assertEqual((True + 1L, 5L * False), (2, 0))

    def test_time(self):
        before = time.time()
        time.sleep(0.01)
        self.assertTrue(0.01 <= time.time() - before < 60)
        self.assertEqual(select.select([], [], [], 0.001), ([], [], []))
        self.assertTrue(datetime.datetime.now() > datetime.datetime(2017, 1, 1))
        moment = datetime.datetime(2000, 2, 29, 12, 30) + datetime.timedelta(days=366)
        self.assertEqual(moment.isoformat(), "2001-03-01T12:30:00")
        self.assertEqual(datetime.datetime.strptime("2001-03-01", "%Y-%m-%d").strftime("%d.%m.%y"), "01.03.01")
        self.assertEqual(time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(86400 * 365)), "1971-01-01 00:00:00")

    @not_in_nacl
    def test_zones(self):
        moments = [1e9, 1.01e9]
        try:
            for zone, hours in [("EST5EDT,M3.2.0,M11.1.0", [21, 14]), ("AEST-10AEDT,M10.1.0,M4.1.0/3", [11, 6]), ("<+0330>-3:30", [5, 23]),
                                ("", [1, 19])]:
                os.environ["TZ"] = zone
                time.tzset()
                self.assertEqual([time.localtime(moment).tm_hour for moment in moments], hours)
                self.assertEqual([time.mktime(time.localtime(moment)) for moment in moments], moments)
            os.environ["TZ"] = "EST5EDT,M3.2.0,M11.1.0"
            time.tzset()
            self.assertEqual((time.timezone, time.altzone, time.tzname), (18000, 14400, ("EST", "EDT")))
            self.assertEqual(time.strftime("%H %Z", time.localtime(1e9)), "21 EDT")
        finally:
            del os.environ["TZ"]
            time.tzset()
        self.assertEqual((time.timezone, time.tzname), (0, ("UTC", "UTC")))

    def test_numbers(self):
        self.assertEqual(repr(0.1), "0.1")
        self.assertEqual(2 ** 100 % 1000007, pow(2, 100, 1000007))
        self.assertEqual(str(2 ** 200), "1606938044258990275541962092341162602522202993782792835301376")
        self.assertEqual((math.factorial(30), math.sqrt(2)), (265252859812191058636308480000000, 1.4142135623730951))
        self.assertEqual(str(decimal.Decimal(1) / 7), "0.1428571428571428571428571429")
        self.assertEqual((5).real + (5L).imag + (2.5).real + True.conjugate(), 8.5)

    def test_array(self):
        numbers = array.array("i", range(1000))
        numbers.reverse()
        self.assertEqual((numbers[0], len(numbers), numbers.itemsize), (999, 1000, 4))
        self.assertEqual(array.array("d", [1.5]).tostring(), "\0\0\0\0\0\0\xf8?")
        copy = array.array("i")
        copy.fromstring(numbers.tostring())
        self.assertEqual(copy, numbers)

    def test_hashlib(self):
        for name, digest in [
            ("md5", "900150983cd24fb0d6963f7d28e17f72"),
            ("sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("sha224", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
            ("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("sha384", "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
                       "8086072ba1e7cc2358baeca134c825a7"),
            ("sha512", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                       "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"),
        ]:
            self.assertEqual(hashlib.new(name, "abc").hexdigest(), digest)

    def test_zlib(self):
        data = "".join(chr(i * i % 251) for i in range(10000))
        packed = zlib.compress(data, 9)
        self.assertTrue(len(packed) < len(data))
        self.assertEqual(zlib.decompress(packed), data)
        self.assertEqual((zlib.crc32("123456789") & 0xffffffff, zlib.adler32("Wikipedia")), (0xcbf43926, 0x11e60398))
        self.assertRaises(zlib.error, zlib.decompress, packed[:-4] + "oops")

    def test_bz2(self):
        self.assertEqual(bz2.__file__, "/python/lib/python2.7/lib-dynload/bz2.so")
        text = "all work and no play makes Jack a dull boy\n" * 5000
        packed = bz2.compress(text)
        self.assertTrue(len(packed) < 1000, len(packed))
        self.assertEqual(bz2.decompress(packed), text)
        self.assertRaises(IOError, bz2.decompress, packed[:-10] + "x" * 10)
        compressor = bz2.BZ2Compressor()
        self.assertEqual(bz2.decompress(compressor.compress(text) + compressor.flush()), text)
        folder = tempfile.mkdtemp(dir="/rw")
        with bz2.BZ2File(os.path.join(folder, "file.bz2"), "w") as stream:
            stream.write(text)
        with bz2.BZ2File(os.path.join(folder, "file.bz2")) as stream:
            self.assertEqual(list(stream.xreadlines()), text.splitlines(True))
        shutil.rmtree(folder)

    def test_text(self):
        self.assertEqual(u"\u1234\U0001f600".encode("utf-8").decode("utf-8"), u"\u1234\U0001f600")
        self.assertEqual(json.loads(json.dumps({"a": [1, 2.5, None, u"\xe4"]})), {"a": [1, 2.5, None, u"\xe4"]})
        self.assertEqual(re.sub(u"(\\w+)", u"<\\1>", u"\xe4b c", flags=re.U), u"<\xe4b> <c>")

    def test_deep_recursion(self):
        def depth(n):
            return 1 + depth(n + 1)

        self.assertRaises(RuntimeError, depth, 0)

    def test_foreign_functions(self):
        program = ctypes.CDLL(None)
        numbers = (ctypes.c_int * 5)(5, 1, 4, 2, 3)
        compared = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
        program.qsort(numbers, 5, ctypes.sizeof(ctypes.c_int), compared(lambda a, b: a[0] - b[0]))
        self.assertEqual(list(numbers), [1, 2, 3, 4, 5])
        text = ctypes.create_string_buffer(40)
        program.sprintf(text, "%d %s %.2f", 7, "of", ctypes.c_double(9.5))
        self.assertEqual(text.value, "7 of 9.50")
        for name in ["/slib/libz.so.1", "libz.so.1"]:
            crc32 = ctypes.CDLL(name).crc32
            crc32.restype, crc32.argtypes = ctypes.c_ulong, [ctypes.c_ulong, ctypes.c_char_p, ctypes.c_uint]
            self.assertEqual(crc32(0, "123456789", 9), 0xcbf43926)
        if NACL:
            return
        with self.assertRaises(ValueError) as caught:
            program.strlen("too", "many")
        self.assertIn("not `ii>i`", str(caught.exception))
        # What is no function is not called.
        self.assertRaises(ValueError, ctypes.CFUNCTYPE(None)(0x7fffffff))

    def test_libraries(self):
        with open("/rw/base", "wb"):
            pass
        base = sqlite3.connect("/rw/base")
        base.execute("create table numbers (value)")
        base.executemany("insert into numbers values (?)", [(value,) for value in range(10)])
        base.commit()
        base.close()
        base = sqlite3.connect("/rw/base")
        self.assertEqual(base.execute("select sum(value) from numbers").fetchone(), (45,))
        base.close()
        os.remove("/rw/base")
        self.assertEqual(ssl.OPENSSL_VERSION.split()[0], "OpenSSL")
        self.assertTrue(ssl.RAND_status())
        self.assertEqual(hashlib.new("ripemd160", "").hexdigest()[:8], "9c1185a5")
        curses.setupterm("xterm", 1)
        self.assertEqual(curses.tparm(curses.tigetstr("cup"), 1, 2), "\x1b[2;3H")

    def test_imports(self):
        names = set(sys.builtin_module_names)
        # Whatever a program can name: what lies in any folder of the path.
        folders = [path for path in sys.path if path.startswith("/python/lib/python2.7") and not path.endswith("site-packages")]
        names.update(name for _, name, _ in pkgutil.walk_packages(folders, onerror=lambda name: None))
        names.difference_update(ACTS)
        names = set(name for name in names if not name.endswith(".__main__"))
        # CPython's own tests (the package `python-tests`) have to run, not to be imported.
        names = set(name for name in names if not {"test", "tests"}.intersection(name.split(".")))
        failed = {}
        for name in sorted(names):
            try:
                __import__(name)
            except Exception as error:
                failed[name] = "%s: %s" % (type(error).__name__, error)
        unexpected = sorted("%s (%s)" % item for item in failed.items() if item[0] not in NOT_IMPORTABLE)
        self.assertEqual(unexpected, [])
        self.assertEqual(sorted(set(NOT_IMPORTABLE) - set(failed)), [])
        self.assertEqual(failed["bsddb"], "ImportError: No module named _bsddb")
        self.assertFalse({"Tkinter", "turtle", "idlelib"} & names)
        self.assertTrue(len(names) > 400, len(names))


if __name__ == "__main__":
    del sys.argv[3:]
    unittest.main(argv=sys.argv[:1])
