"""The inner half of the tests of Python 3, run by bin/test_python3, which says what it mounts and passes."""

import asyncio
import concurrent.futures
import errno
import gc
import importlib
import math
import multiprocessing
import os
import pkgutil
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
import warnings

# What can't be imported, and why. Anything else that is shipped must be.
NOT_IMPORTABLE = {
    "_ios_support": "iOS",
    "_pyrepl.windows_console": "Windows",
    "asyncio.windows_events": "Windows",
    "asyncio.windows_utils": "Windows",
    "encodings.mbcs": "Windows",
    "encodings.oem": "Windows",
    "multiprocessing.forkserver": "needs _multiprocessing",
    "multiprocessing.popen_forkserver": "needs other processes",
    "multiprocessing.popen_spawn_win32": "Windows",
    "multiprocessing.resource_tracker": "needs _multiprocessing",
    "multiprocessing.shared_memory": "needs _posixshmem",
    "multiprocessing.synchronize": "needs semaphores",
}
# Modules that act when they are imported.
ACTS = {"antigravity", "this", "__phello__"}
ONE_THREAD = "the sandbox runs one thread only"


class Started(unittest.TestCase):
    """What the start gives."""

    def test_arguments(self):
        self.assertEqual(sys.argv, ["/test/test_python3.py", *ARGUMENTS])
        self.assertEqual(sys.orig_argv[-3:], ["/test/test_python3.py", *ARGUMENTS])
        self.assertEqual((sys.executable, os.path.exists(sys.executable)), ("/python3/bin/python3.wasm", True))

    def test_environment(self):
        self.assertEqual(dict(os.environ), {"GIVEN": "a b"})
        self.assertEqual(os.environb[b"GIVEN"], b"a b")

    def test_streams(self):
        for stream, number in [(sys.stdin, 0), (sys.stdout, 1), (sys.stderr, 2)]:
            self.assertEqual((stream.fileno(), stream.encoding, stream.isatty()), (number, "utf-8", os.isatty(number)))

    def test_path(self):
        self.assertEqual(sys.path, ["/test", "/python3/lib/python313.zip", "/python3/lib/python3.13",
                                    "/python3/lib/python3.13/lib-dynload", "/python3/lib/python3.13/site-packages"])
        self.assertEqual(importlib.import_module("json").__cached__,
                         "/python3/lib/python3.13/json/__pycache__/__init__.cpython-313.pyc")
        self.assertTrue(sys.flags.hash_randomization)

    def test_bytecode(self):
        """What is installed is compiled, and needs not be again."""
        import importlib.util
        for name in ["os", "json.decoder", "asyncio.events"]:
            spec = importlib.util.find_spec(name)
            source = os.stat("/python3/lib/python3.13/" + name.replace(".", "/") + ".py")
            with open(importlib.util.cache_from_source("/python3/lib/python3.13/" + name.replace(".", "/") + ".py"), "rb") as stream:
                header = stream.read(16)
            self.assertEqual(header[:4], importlib.util.MAGIC_NUMBER)
            self.assertEqual(int.from_bytes(header[8:12], "little"), int(source.st_mtime), name)
            self.assertEqual(int.from_bytes(header[12:], "little"), source.st_size, name)
            self.assertIsNotNone(spec)

    def test_garbage_that_calls_methods(self):
        """The collector, which clears the oldest first, counts a dictionary from when something is in it."""
        import operator
        found = {}
        found["get"] = operator.methodcaller("get", found)
        del found
        self.assertGreater(gc.collect(), 1)

    def test_hashes(self):
        """Every dictionary and set finds its keys, and every string has the hash of an equal one that is new."""
        seen, left = set(), [sys.modules, gc.get_objects()]
        counts = {}
        while left:
            found = left.pop()
            if id(found) in seen or found is seen or found is left or found is counts:
                continue
            seen.add(id(found))
            kind = type(found)
            counts[kind] = counts.get(kind, 0) + 1
            if kind in (str, bytes) and len(found) > 1:
                self.assertEqual(hash(found), hash(found[:1] + found[1:]), found)
            elif kind in (dict, set, frozenset):
                for key in list(found):
                    self.assertIn(key, found)
                if kind is frozenset:
                    self.assertEqual(hash(found), hash(frozenset(list(found))))
            elif kind is type(self.test_hashes.__code__):
                left.extend([found.co_consts, found.co_names, found.co_varnames, found.co_freevars, found.co_cellvars,
                             found.co_filename, found.co_name, found.co_qualname])
            left.extend(gc.get_referents(found))
        self.assertGreater(counts[str], 3000)
        self.assertGreater(counts[dict], 900)
        for name, module in list(sys.modules.items()):
            for attribute in dir(module):
                self.assertTrue(hasattr(module, attribute), (name, attribute))


class Alone(unittest.TestCase):
    """What a program can have without another thread, process or machine; and what it is told of the rest."""

    def fails(self, kind, text, function, *arguments, **named):
        with self.assertRaises(kind) as caught:
            function(*arguments, **named)
        self.assertIn(text, str(caught.exception))
        return caught.exception

    def test_threads(self):
        self.fails(RuntimeError, "can't start new thread: " + ONE_THREAD, threading.Thread(target=time.time).start)
        self.fails(RuntimeError, ONE_THREAD, concurrent.futures.ThreadPoolExecutor().submit, time.time)

    def test_locks(self):
        for lock in [threading.Lock(), threading.Semaphore()]:
            with lock:
                self.assertFalse(lock.acquire(False))
                began = time.monotonic()
                self.assertFalse(lock.acquire(timeout=0.02))
                self.assertGreaterEqual(time.monotonic() - began, 0.02)
                self.fails(RuntimeError, ONE_THREAD, lock.acquire)
            self.assertTrue(lock.acquire(False))
        again = threading.RLock()
        with again, again:
            self.assertTrue(again.acquire(False))
        event = threading.Event()
        self.assertFalse(event.wait(0.01))
        self.fails(RuntimeError, ONE_THREAD, event.wait)
        event.set()
        self.assertTrue(event.wait())
        self.fails(RuntimeError, ONE_THREAD, threading.Barrier(2).wait)

    def test_queues(self):
        for made in [queue.Queue(1), queue.SimpleQueue(), queue.PriorityQueue(1)]:
            made.put("a")
            self.assertEqual(made.get(), "a")
            self.assertRaises(queue.Empty, made.get, timeout=0.01)
            self.fails(RuntimeError, ONE_THREAD, made.get)
        full = queue.Queue(1)
        full.put(1)
        self.fails(RuntimeError, ONE_THREAD, full.put, 2)

    def test_processes(self):
        for function, arguments in [(os.fork, ()), (os.system, ("true",))]:
            error = self.fails(OSError, "the sandbox runs one process only", function, *arguments)
            self.assertEqual((error.errno, error.strerror), (errno.ENOSYS, "Function not implemented"))
        self.fails(OSError, "wasi does not support processes", subprocess.run, ["true"])
        self.fails(OSError, "the sandbox runs one process only", multiprocessing.Process(target=time.time).start)
        self.assertRaises(OSError, os.execv, "/bin/sh", ["sh"])

    def test_network(self):
        for function, *arguments in [(socket.socket,), (socket.create_connection, ("127.0.0.1", 80)),
                                     (socket.create_connection, ("localhost", 80))]:
            self.fails(OSError, "the sandbox has no network", function, *arguments)

    def test_names(self):
        for function in [socket.gethostbyname, lambda name: socket.getaddrinfo(name, 80),
                         lambda name: socket.create_connection((name, 80))]:
            self.fails(socket.gaierror, "the sandbox has no network", function, "example.com")
        self.fails(socket.herror, "the sandbox has no network", socket.gethostbyaddr, "10.1.2.3")
        stream = socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, ""
        for name, address in [("localhost", "127.0.0.1"), (socket.gethostname(), "127.0.0.1"), ("10.1.2.3", "10.1.2.3")]:
            self.assertEqual(socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM), [(*stream, (address, 80))])
            self.assertEqual(socket.gethostbyname_ex(name)[2], [address])
        self.assertEqual(socket.gethostbyaddr("127.0.0.1"), ("localhost", [], ["127.0.0.1"]))
        self.assertEqual(socket.getnameinfo(("127.0.0.1", 80), 0), ("localhost", "80"))
        self.assertEqual(socket.getnameinfo(("10.1.2.3", 80), socket.NI_NUMERICHOST), ("10.1.2.3", "80"))

    def test_pairs(self):
        one, two = socket.socketpair()
        with one, two:
            one.sendall(b"ping")
            self.assertEqual(two.recv(100), b"ping")
        reading, writing = os.pipe()
        os.write(writing, b"abc")
        self.assertEqual(os.read(reading, 100), b"abc")
        os.close(reading)
        os.close(writing)

    def test_not_there(self):
        """Programs look whether a function is there: one that could never work is not, as in CPython for WASI."""
        names = [(os, "lchmod mkfifo mknod memfd_create eventfd posix_spawn"), (signal, "setitimer getitimer")]
        for module, absent in names:
            self.assertEqual([name for name in absent.split() if hasattr(module, name)], [])

    def test_signals(self):
        got = []
        before = signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number))
        os.kill(os.getpid(), signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, before)
        self.assertEqual(got, [signal.SIGUSR1])


class Asynchronous(unittest.TestCase):
    """asyncio, whose loop wakes itself by a pair of sockets."""

    def test_run(self):
        async def add(one, other):
            await asyncio.sleep(0.01)
            return one + other

        async def all_of_them():
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(add(number, number)) for number in range(5)]
            return [task.result() for task in tasks]

        began = time.monotonic()
        self.assertEqual(asyncio.run(all_of_them()), [0, 2, 4, 6, 8])
        self.assertGreaterEqual(time.monotonic() - began, 0.01)

    def test_time_limit(self):
        async def wait():
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()

        self.assertRaises(TimeoutError, asyncio.run, wait())

    def test_streams(self):
        async def talk():
            one, two = socket.socketpair()
            reader, writer = await asyncio.open_connection(sock=one)
            other_reader, other_writer = await asyncio.open_connection(sock=two)
            writer.write(b"question\n")
            await writer.drain()
            question = await other_reader.readline()
            other_writer.write(question.upper())
            other_writer.close()
            answer = await reader.read()
            writer.close()
            return answer

        self.assertEqual(asyncio.run(talk()), b"QUESTION\n")

    def test_threads(self):
        with self.assertRaises(RuntimeError) as caught:
            asyncio.run(asyncio.to_thread(time.time))
        self.assertIn(ONE_THREAD, str(caught.exception))


class Sums(unittest.TestCase):
    """They are kept in a machine word while they fit."""

    def test_around_the_words(self):
        for edge in [1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, 1 << 64]:
            for values in [edge, 3, True, -7, edge], [-edge, -1, edge, -edge], [1, -edge, -edge]:
                total, product = 0, 1
                for value in values:
                    total, product = total + value, product * value
                self.assertEqual((sum(values), math.prod(values)), (total, product), values)
                pairs = [(a << 100) * b for a, b in zip(values, reversed(values))]
                self.assertEqual(math.sumprod(values, values[::-1]) << 100, sum(pairs), values)
        self.assertEqual((sum([1], 1 << 40), math.prod([-1 << 32, 1 << 31])), ((1 << 40) + 1, -1 << 63))


class Modules(unittest.TestCase):
    """The library, and its modules in C."""

    def names(self):
        library = "/python3/lib/python3.13"
        for folder in [library, library + "/lib-dynload"]:
            for found in pkgutil.walk_packages([folder], onerror=lambda name: None):
                if found.name.split(".")[0] not in {*ACTS, "test", "site-packages", "lib-dynload"}:
                    yield found.name

    def test_every_module_can_be_imported(self):
        failed = {}
        names = sorted({*self.names(), *sys.builtin_module_names})
        for name in names:
            if not name.endswith("__main__"):
                try:
                    with warnings.catch_warnings(action="ignore"):
                        importlib.import_module(name)
                except Exception as error:
                    failed[name] = error
        self.assertGreater(len(names), 500)
        self.assertEqual(sorted(failed), sorted(NOT_IMPORTABLE), failed)

    def test_libraries(self):
        import bz2
        import ctypes
        import dbm.gnu
        import dbm.ndbm
        import decimal
        import zlib
        data = bytes(range(256)) * 100
        self.assertEqual(zlib.decompress(zlib.compress(data)), data)
        self.assertEqual(bz2.decompress(bz2.compress(data)), data)
        self.assertEqual(decimal.Decimal(1) / 7, decimal.Decimal("0.1428571428571428571428571429"))
        for kind in [dbm.gnu, dbm.ndbm]:
            with kind.open("/rw/database", "n") as database:
                database["a"] = "b"
                self.assertEqual((database["a"], database.keys()), (b"b", [b"a"]))

    def test_ctypes(self):
        import ctypes
        program = ctypes.CDLL(None)
        program.strtod.restype = ctypes.c_double
        self.assertEqual(program.strtod(b"1.5", None), 1.5)
        compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
        numbers = (ctypes.c_int * 5)(3, 1, 4, 1, 5)
        program.qsort.restype = None
        program.qsort(numbers, 5, ctypes.sizeof(ctypes.c_int), compare(lambda a, b: a[0] - b[0]))
        self.assertEqual(list(numbers), [1, 1, 3, 4, 5])
        self.assertEqual(ctypes.pythonapi.PyLong_AsLong(ctypes.py_object(7)), 7)
        # One that has another type than the call says is not called.
        program.strtod.restype = ctypes.c_longlong
        self.assertRaises(ValueError, program.strtod, b"1", None)

    def test_system(self):
        import fcntl
        import grp
        import mmap
        import pwd
        import resource
        import termios
        self.assertEqual(pwd.getpwuid(os.getuid()).pw_uid, os.getuid())
        self.assertEqual(grp.getgrgid(os.getgid()).gr_gid, os.getgid())
        self.assertEqual(len(resource.getrlimit(resource.RLIMIT_NOFILE)), 2)
        with open("/rw/mapped", "w+b") as stream:
            stream.write(b"abc")
            stream.flush()
            fcntl.flock(stream, fcntl.LOCK_EX)
            with mmap.mmap(stream.fileno(), 3, prot=mmap.PROT_READ) as mapped:
                self.assertEqual(mapped[:], b"abc")
            self.assertRaises(termios.error, termios.tcgetattr, stream)

    def test_links(self):
        """Links have no modes of their own, so nothing fails to copy them."""
        os.mkdir("/rw/tree")
        os.symlink("nowhere", "/rw/tree/link")
        shutil.copytree("/rw/tree", "/rw/copy", symlinks=True)
        self.assertEqual(os.readlink("/rw/copy/link"), "nowhere")
        for path in ["/rw/tree", "/rw/copy"]:
            shutil.rmtree(path)

    def test_zone(self):
        before = os.environ.get("TZ")
        os.environ["TZ"] = "EST5EDT,M3.2.0,M11.1.0"
        time.tzset()
        self.assertEqual((time.tzname, time.timezone, time.localtime(1751328000).tm_hour), (("EST", "EDT"), 18000, 20))
        del os.environ["TZ"]
        time.tzset()
        self.assertEqual((time.timezone, before), (0, None))


ARGUMENTS = sys.argv[1:]
if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
