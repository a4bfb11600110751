# Small programs, each of one kind of work: prints a line with its name and the processor's seconds for each. An argument is the text of
# CPython's pystone.py.
import re
import sys
import time


def pystone():
    names = {'__name__': 'pystone'}
    exec sys.argv[1] in names
    names['pystones'](60000)


def loop():
    total = 0
    for i in xrange(600000):
        if i & 3:
            total += i % 7
        else:
            total -= 1


def floats():
    x, y, z = 1.0, 2.0, 3.0
    for i in xrange(200000):
        x, y, z = y * 0.5 + z, z * 0.25 - x, (x * x + y * y + 1.0) ** 0.5


def calls():
    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)
    fibonacci(22)


def methods():
    class Counter(object):
        def __init__(self):
            self.value = 0

        def add(self, by):
            self.value += by
            return self

    counter = Counter()
    for i in xrange(150000):
        counter.add(i).add(-i)


def dictionaries():
    counts = {}
    for i in xrange(150000):
        key = str(i % 4000)
        counts[key] = counts.get(key, 0) + 1


def generators():
    def below(n):
        for i in xrange(n):
            yield i
    for _ in xrange(10):
        sum(x for x in below(40000) if x & 1)


def sorting():
    values = [(i * 7919) % 100003 for i in xrange(100000)]
    sorted(values)
    sorted(values, key=lambda value: -value)


def strings():
    parts = ["%d:%s" % (i, "x" * (i % 10)) for i in xrange(60000)]
    "".join(parts).upper().replace(":", ", ").split(",")


def expressions():
    pattern = re.compile(r"(\w+)@(\w+)\.org")
    text = "write to someone@example.org or to a@b.org " * 1500
    for _ in xrange(6):
        pattern.findall(text)


works = [loop, floats, calls, methods, dictionaries, generators, sorting, strings, expressions]
for work in works + [pystone] * (len(sys.argv) > 1):
    start = time.clock()
    work()
    print work.__name__, time.clock() - start
