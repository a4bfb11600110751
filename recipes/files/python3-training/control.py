"""Calls, generators, exceptions and what else directs a program."""
import contextlib
import functools
import itertools


def recursion():
    def count(n):
        return n if n < 2 else count(n - 1) + count(n - 2)

    def queens(size, row=0, columns=0, left=0, right=0):
        if row == size:
            return 1
        found = 0
        for column in range(size):
            here = 1 << column
            if not (columns & here or left & here or right & here):
                found += queens(size, row + 1, columns | here, (left | here) << 1, (right | here) >> 1)
        return found

    def moves(n, a, b, c):
        return 0 if n == 0 else moves(n - 1, a, c, b) + 1 + moves(n - 1, c, b, a)

    assert count(20) == 6765
    assert queens(7) == 40
    assert moves(12, 'a', 'b', 'c') == 4095


def generators():
    def numbers(limit):
        n = 0
        while n < limit:
            yield n
            n += 1

    def keep(source, test):
        for item in source:
            if test(item):
                yield item

    def walk(tree):
        if tree:
            left, value, right = tree
            yield from walk(left)
            yield value
            yield from walk(right)

    def averages():
        total, count, value = 0.0, 0, None
        while True:
            value = yield (total / count if count else 0)
            total += value
            count += 1

    for _ in range(4):
        assert sum(keep(numbers(8000), lambda n: n % 3 == 0)) == sum(range(0, 8000, 3))
        assert sum(1 for _ in itertools.islice(filter(None, itertools.cycle([0, 1])), 3000)) == 3000
        tree = None
        for value in ((n * 37) % 211 for n in range(211)):
            tree = insert(tree, value)
        assert list(walk(tree)) == list(range(211))
        running = averages()
        next(running)
        for value in numbers(2000):
            last = running.send(value)
        assert last == 999.5
        running.close()


def insert(tree, value):
    if not tree:
        return (None, value, None)
    left, here, right = tree
    if value < here:
        return (insert(left, value), here, right)
    return (left, here, insert(right, value))


class Refused(Exception):
    def __init__(self, what, code=3):
        super().__init__(what)
        self.code = code


def exceptions():
    def parse(text):
        try:
            return int(text)
        except ValueError as error:
            raise Refused(f'no number: {text!r}') from error

    def look(mapping, key):
        try:
            return mapping[key]
        except KeyError as error:
            return error.args[0]
        finally:
            mapping['asked'] = key

    refused = found = 0
    for n in range(12000):
        try:
            parse(str(n) if n % 4 else 'x%d' % n)
        except Refused as error:
            refused += error.code
        else:
            found += 1
    assert refused == 9000 and found == 9000
    known = {}
    for n in range(6000):
        assert look(known, n) == n
        assert getattr(known, 'missing', None) is None
        try:
            [1, 2][n % 5]
            known.missing
        except (IndexError, AttributeError):
            pass


def arguments():
    def many(a, b=2, *rest, **named):
        return a + b + len(rest) + len(named)

    def traced(function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            calls.append(function.__name__)
            return function(*args, **kwargs)
        return call

    @traced
    def add(a, b):
        return a + b

    calls = []
    add_five = functools.partial(add, 5)
    for n in range(6000):
        assert many(1) == 3 and many(1, 2, 3) == 4
        assert many(n, b=1, c=2) == n + 2
        assert many(*(1, 2), **{'z': 3}) == 4
        assert add(n, b=1) == n + 1 and add_five(n) == n + 5
    assert len(calls) == 12000
    assert functools.reduce(lambda a, b: a * b % 1009, range(1, 4000)) == 0


@contextlib.contextmanager
def entered(log):
    log.append('in')
    try:
        yield log
    finally:
        log.append('out')


def contexts_and_closures():
    def counter(start):
        state = start

        def step(by=1):
            nonlocal state
            state += by
            return state
        return step

    step = counter(0)
    log = []
    for n in range(4000):
        with entered(log) as inside:
            assert inside is log
            step()
            if n % 2:
                continue
            step(2)
    assert step(0) == 8000 and len(log) == 8000
    functions = [lambda x, k=k: x * k for k in range(10)]
    assert sum(f(n) for n in range(2000) for f in functions) == 45 * sum(range(2000))


def loops():
    total = 0
    for i in range(300):
        j = 0
        while True:
            j += 1
            if j & 1:
                continue
            total += i ^ j
            if j > 100 or (i > 3 and not total % 17):
                break
        else:
            total = 0
    first, second = 0, 1
    for _ in range(3000):
        first, second = second, (first + second) % 1000003
    assert total and first


TASKS = [recursion, generators, exceptions, arguments, contexts_and_closures, loops]
