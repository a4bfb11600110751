"""What Python 3 brought: classes of data, patterns, coroutines, groups of exceptions, types."""
import collections
import contextlib
import dataclasses
import enum
import functools
import pathlib
import statistics
import types
import typing


@dataclasses.dataclass(order=True)
class Order:
    price: float
    number: int
    name: str = 'thing'
    tags: list[str] = dataclasses.field(default_factory=list, compare=False)

    @functools.cached_property
    def total(self) -> float:
        return self.price * self.number


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    row: int
    column: int

    def moved(self, by: 'Place') -> 'Place':
        return Place(self.row + by.row, self.column + by.column)


class Color(enum.Enum):
    RED = 1
    GREEN = 2
    BLUE = 3


class Rights(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


def classes_of_data():
    for _ in range(4):
        orders = [Order(n * 7919 % 101 / 4, n % 13, tags=['new']) for n in range(1500)]
        assert min(orders).price == 0 and sorted(orders)[-1] == max(orders)
        assert sum(order.total for order in orders) == sum(order.price * order.number for order in orders)
        assert dataclasses.replace(orders[1], name='other').name == 'other' and dataclasses.asdict(orders[2])['tags'] == ['new']
    seen, here = set(), Place(0, 0)
    for n in range(6000):
        here = here.moved(Place(n % 3 - 1, n % 5 - 2))
        seen.add(here)
    assert here in seen
    counts = collections.Counter(Color(n % 3 + 1) for n in range(3000))
    assert counts[Color.RED] == 1000 and Color['BLUE'] is Color.BLUE
    for _ in range(500):
        assert Rights.READ in (Rights.READ | Rights.WRITE)


def evaluate(tree):
    match tree:
        case int() | float():
            return tree
        case ('add', left, right):
            return evaluate(left) + evaluate(right)
        case ('mul', left, right):
            return evaluate(left) * evaluate(right)
        case ('neg', inner):
            return -evaluate(inner)
        case {'if': test, 'then': yes, **rest}:
            return evaluate(yes) if evaluate(test) else evaluate(rest.get('else', 0))
        case Place(row=0, column=column) if column > 2:
            return column
        case Place(row, column):
            return row + column
        case [first, *more]:
            return evaluate(first) + sum(map(evaluate, more))
        case _:
            raise TypeError(tree)


def patterns():
    tree = ('add', 2, ('mul', 3, ('neg', -4)))
    for n in range(1500):
        assert evaluate(tree) == 14
        assert evaluate({'if': n % 2, 'then': [1, 2, n], 'else': Place(0, 5)}) == (3 + n if n % 2 else 5)
        assert evaluate(Place(1, n)) == n + 1
        text = 'large' if (size := n * n % 91) > 45 else 'small'
        assert (text == 'large') == (size > 45)


class Waiting:
    def __init__(self, value):
        self.value = value

    def __await__(self):
        given = yield self.value
        return given


async def ask(value):
    return await Waiting(value) + 1


async def count(limit):
    for n in range(limit):
        yield await ask(n)


@contextlib.asynccontextmanager
async def session(log):
    log.append('in')
    try:
        yield log
    finally:
        log.append('out')


async def talk(limit):
    log, total = [], 0
    async with session(log):
        async for value in count(limit):
            total += value
        total += sum([await ask(n) async for n in count(limit // 4)])
    assert log == ['in', 'out']
    return total


def run(coroutines):
    """Runs coroutines in turn, and answers each question with twice its value."""
    todo, done = collections.deque((coroutine, None) for coroutine in coroutines), []
    while todo:
        coroutine, answer = todo.popleft()
        try:
            todo.append((coroutine, coroutine.send(answer) * 2))
        except StopIteration as stop:
            done.append(stop.value)
    return done


def coroutines():
    for _ in range(3):
        results = run(talk(400) for _ in range(8))
        assert len(results) == 8 and len(set(results)) == 1


def groups_of_exceptions():
    caught = 0
    for n in range(800):
        try:
            try:
                raise ExceptionGroup('both', [ValueError(n), KeyError('key'), ExceptionGroup('in', [TypeError()])])
            except* ValueError as group:
                caught += len(group.exceptions)
            except* (KeyError, TypeError) as group:
                caught += len(group.exceptions)
        except ExceptionGroup:
            raise AssertionError from None
        try:
            with contextlib.suppress(KeyError), contextlib.ExitStack() as stack:
                stack.callback(int)
                raise KeyError(n)
        finally:
            caught += 1
        error = ValueError('text')
        error.add_note('a note')
        try:
            raise error
        except ValueError as again:
            assert again.__notes__ == ['a note'] and again.__traceback__ is not None
    assert caught == 4 * 800


T = typing.TypeVar('T')


class Stack(typing.Generic[T]):
    def __init__(self) -> None:
        self.items: list[T] = []

    def push(self, item: T, /, *, times: int = 1) -> 'Stack[T]':
        self.items += [item] * times
        return self

    def __len__(self):
        return len(self.items)

    def __class_getitem__(cls, item):
        return super().__class_getitem__(item)


class Plugin:
    known: dict[str, type] = {}

    def __init_subclass__(cls, /, name, **more):
        super().__init_subclass__(**more)
        cls.known[name] = cls


def types_and_classes():
    stack = Stack[int]()
    for n in range(4000):
        stack.push(n, times=n % 3)
    assert len(stack) == sum(n % 3 for n in range(4000))
    for n in range(40):
        made = types.new_class(f'Plugin{n}', (Plugin,), {'name': str(n)})
        assert Plugin.known[str(n)] is made
    assert isinstance(3, int | str) and typing.get_type_hints(Stack.push)['times'] is int


@functools.lru_cache(maxsize=None)
def ways(amount, coins):
    if amount < 0 or not coins:
        return 0
    return 1 if amount == 0 else ways(amount - coins[0], coins) + ways(amount, coins[1:])


@functools.singledispatch
def shown(value):
    return f'<{value}>'


@shown.register
def _(value: int):
    return f'{value:,}'


@shown.register
def _(value: list):
    return ', '.join(map(shown, value))


def functions():
    for _ in range(3):
        ways.cache_clear()
        assert ways(200, (200, 100, 50, 20, 10, 5, 2, 1)) == 73682
    for n in range(1000):
        assert shown([n, 'a', 10000]) == f'{n:,}, <a>, 10,000'
    merged = {}
    for n in range(2000):
        merged = {**{'a': n, 'b': 2}, 'c': n} | {'d': n % 7}
        first, *middle, last = [merged['a'], *range(n % 5), merged['d']]
        assert first == n and len(middle) == n % 5 and last == n % 7
        assert [a + b for a, b in zip((1, 2), (3, n), strict=True)] == [4, 2 + n]
    table = {word: len(word) for word in 'some words of several lengths'.split()}
    assert {length for length in table.values()} == {4, 5, 2, 7}


def numbers_and_paths():
    values = [(n * 7919) % 1009 / 7 for n in range(1500)]
    assert statistics.fmean(values) > 0 and statistics.median(values) > 0 and statistics.pstdev(values) > 0
    for n in range(2000):
        wide = n * 12345678901234567891
        assert int.from_bytes(wide.to_bytes(16, 'little'), 'little') == wide and wide.bit_length() < 90
        assert (n * 0.5).as_integer_ratio() and round(n / 3, 2) >= 0 and n.bit_count() < 12
    for n in range(300):
        path = pathlib.PurePosixPath('/srv', 'data', f'{n}.tar.gz')
        assert path.suffix == '.gz' and path.parent.name == 'data' and path.with_name('x').parts[-1] == 'x'
    here = pathlib.Path(__file__).parent
    assert any(path.name == 'train.py' for path in sorted(here.iterdir())) and (here / 'train.py').is_file()
    text = (here / 'modern.py').read_text(encoding='utf-8')
    assert text.encode().hex(' ').count(' ') > len(text) // 2 and text.removeprefix('"""').casefold()


TASKS = [classes_of_data, patterns, coroutines, groups_of_exceptions, types_and_classes, functions, numbers_and_paths]
