"""Lists, dictionaries, sets and what the library builds on them."""
import bisect
import collections
import functools
import heapq
import itertools
import operator


def words(count):
    """Words of a made-up language, the same each time."""
    syllables = 'ka lo mi ru ten sa vo ri na pel du go'.split()
    state = 7
    for _ in range(count):
        word = ''
        for _ in range(1 + state % 3):
            state = (state * 1103515245 + 12345) & 0x7fffffff
            word += syllables[state % len(syllables)]
        yield word


def count_words():
    for _ in range(6):
        seen = {}
        first = {}
        for position, word in enumerate(words(15000)):
            seen[word] = seen.get(word, 0) + 1
            first.setdefault(word, []).append(position)
            if word in first and len(word) > 4:
                seen[word[:2], len(word)] = position
        common = sorted(((n, w) for w, n in seen.items() if isinstance(w, str)), reverse=True)[:10]
        assert common[0][0] >= common[-1][0]
        groups = collections.defaultdict(set)
        for word in seen:
            groups[word[0]].add(word)
        assert sum(len(group) for group in groups.values()) == len(seen)


def lists():
    for size in (10, 100, 1000):
        for _ in range(3000 // size * 4):
            row = list(range(size))
            row.reverse()
            row.append(size)
            row[2:4] = [1, 2, 3]
            del row[0]
            row.extend([5] * 7)
            row.insert(3, 'x')
            row.remove('x')
            row.sort()
            assert row.index(5) >= 0 and row.count(5) >= 7
            doubled = [value * 2 for value in row if value % 3]
            total = 0
            for left, right in zip(row, doubled):
                total += left - right
            while row:
                row.pop()
            assert [*doubled] == doubled and total <= 0


def matrices():
    def product(a, b):
        columns = [*zip(*b)]
        return [[sum(x * y for x, y in zip(row, column)) for column in columns] for row in a]

    a = [[(i * j) % 7 + 1 for j in range(24)] for i in range(24)]
    identity = [[int(i == j) for j in range(24)] for i in range(24)]
    for _ in range(5):
        assert product(a, identity) == a
        b = product(a, a)
        transposed = [list(row) for row in zip(*b)]
        assert transposed[3][5] == b[5][3]
    grid = [[0.0] * 40 for _ in range(40)]
    for step in range(12):
        grid[0] = [float(step)] * 40
        for i in range(1, 39):
            above, here, below = grid[i - 1], grid[i], grid[i + 1]
            for j in range(1, 39):
                here[j] = (above[j] + below[j] + here[j - 1] + here[j + 1]) * 0.25
    assert 0 < grid[1][20] < 12


def sieve():
    for _ in range(6):
        limit = 20000
        flags = [True] * (limit + 1)
        for n in range(2, int(limit ** 0.5) + 1):
            if flags[n]:
                flags[n * n::n] = [False] * len(range(n * n, limit + 1, n))
        assert sum(1 for n in range(2, limit) if flags[n]) == 2262


def queues():
    for _ in range(4):
        heap = []
        for n in range(4000):
            heapq.heappush(heap, ((n * 7919) % 4001, n))
        order = [heapq.heappop(heap)[0] for _ in range(len(heap))]
        assert order == sorted(order)
        recent = collections.deque(maxlen=50)
        for value in order:
            recent.append(value)
            if len(recent) == 50 and value % 11 == 0:
                recent.popleft()
        kept = []
        for value in order[::3]:
            bisect.insort(kept, value ^ 5)
        assert kept == sorted(kept)


def shortest_paths():
    edges = {}
    for n in range(600):
        edges[n] = [((n * 17 + k * k) % 600, 1 + (n * k) % 9) for k in range(1, 6)]
    for start in (0, 13, 77, 345):
        distance = {start: 0}
        todo = [(0, start)]
        while todo:
            so_far, node = heapq.heappop(todo)
            if so_far > distance[node]:
                continue
            for other, cost in edges[node]:
                new = so_far + cost
                if new < distance.get(other, 1 << 30):
                    distance[other] = new
                    heapq.heappush(todo, (new, other))
        assert len(distance) > 100


def sorting():
    people = [{'name': word, 'age': position % 90, 'score': (position * 37 % 101) / 3.0} for position, word in enumerate(words(3000))]
    for _ in range(4):
        by_age = sorted(people, key=operator.itemgetter('age', 'name'))
        by_score = sorted(people, key=lambda person: -person['score'])
        by_hand = sorted(people[:800], key=functools.cmp_to_key(
            lambda a, b: a['age'] - b['age'] or (a['name'] < b['name']) - (a['name'] > b['name'])))
        assert by_age[0]['age'] == 0 and by_score[0]['score'] >= by_score[-1]['score'] and len(by_hand) == 800
        for age, group in itertools.groupby(by_age, key=operator.itemgetter('age')):
            assert all(person['age'] == age for person in group)


def sets_and_tuples():
    for _ in range(10):
        evens, threes = set(range(0, 3000, 2)), frozenset(range(0, 3000, 3))
        assert len(evens & threes) == 500 and len(evens | threes) == 2000
        assert evens - threes and evens ^ threes and not evens <= threes
        points = [(x % 40, x % 17, x) for x in range(3000)]
        best = {}
        for x, y, value in points:
            key = (x, y)
            if key not in best or best[key] < value:
                best[key] = value
        assert max(best.values()) == 2999 and min(points) == (0, 0, 0)
        Point = collections.namedtuple('Point', 'x y')
        moved = [Point(p.x + 1, p.y)._replace(y=2) for p in [Point(n, n) for n in range(400)]]
        assert moved[5].x == 6


TASKS = [count_words, lists, matrices, sieve, queues, shortest_paths, sorting, sets_and_tuples]
