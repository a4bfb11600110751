# Nine small programs, each of one kind of work: prints a line with its name and the processor's seconds for each. Both Pythons 3 run it.
import json
import re
import time


def records():
    class Record:
        __slots__ = ("kind", "count", "link")

        def __init__(self, kind, count, link=None):
            self.kind, self.count, self.link = kind, count, link

        def grown(self, by):
            return Record(self.kind, self.count + by, self)

    table = [[0] * 50 for _ in range(50)]
    for number in range(240000):
        record = Record("first" if number & 1 else "second", number).grown(3)
        row, column = number % 50, record.count % 50
        table[row][column] += record.link.count & 7
        if record.kind == "first" and table[row][column] > 100:
            table[row][column] = 0


def floats():
    bodies = [[0.1 * n, 0.2 * n, 0.3 * n, 0.0, 0.0, 0.0, 1.0 + n] for n in range(1, 6)]
    pairs = [(one, other) for n, one in enumerate(bodies) for other in bodies[n + 1:]]
    for _ in range(20000):
        for one, other in pairs:
            x, y, z = one[0] - other[0], one[1] - other[1], one[2] - other[2]
            pull = 0.001 / (x * x + y * y + z * z + 0.1) ** 1.5
            for body, sign in ((one, -pull * other[6]), (other, pull * one[6])):
                body[3] += x * sign
                body[4] += y * sign
                body[5] += z * sign
        for body in bodies:
            body[0] += 0.001 * body[3]
            body[1] += 0.001 * body[4]
            body[2] += 0.001 * body[5]


def documents():
    document = {"key %d" % n: [n, n / 4, "text" * 3, None, True, {"below": n}] for n in range(1500)}
    for _ in range(40):
        document = json.loads(json.dumps(document))


def integers():
    number = 7 ** 15000
    for n in range(60):
        (number * number + n) % (10 ** 4000 + 1)
    str(number % 10 ** 3000)


def dictionaries():
    counts = {}
    for n in range(600000):
        key = str(n % 6000)
        counts[key] = counts.get(key, 0) + 1


def expressions():
    pattern = re.compile(r"(\w+)@(\w+)\.org")
    text = "write to someone@example.org or to a@b.org " * 2500
    for _ in range(32):
        pattern.findall(text)


def sorting():
    values = [(n * 7919) % 100003 / 3 for n in range(150000)]
    for _ in range(2):
        sorted(values)
        sorted(values, key=lambda value: -value)


def generators():
    def below(limit):
        yield from range(limit)
    for _ in range(30):
        sum(n * n for n in below(60000))


def exceptions():
    for n in range(800000):
        try:
            if n & 1:
                raise KeyError(n)
        except LookupError:
            pass


for work in records, floats, documents, integers, dictionaries, expressions, sorting, generators, exceptions:
    start = time.process_time()
    work()
    print(work.__name__, time.process_time() - start)
