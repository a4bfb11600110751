"""Classes: attributes, methods, special methods, inheritance."""
import copy
import weakref


class Account:
    interest = 0.02

    def __init__(self, owner, balance=0):
        self.owner = owner
        self.balance = balance
        self.history = []

    def deposit(self, amount):
        if amount <= 0:
            raise ValueError(amount)
        self.balance += amount
        self.history.append(('in', amount))
        return self

    def withdraw(self, amount):
        if amount > self.balance:
            return False
        self.balance -= amount
        self.history.append(('out', amount))
        return True

    @property
    def is_empty(self):
        return self.balance == 0

    @classmethod
    def named(cls, owner):
        return cls(owner)

    @staticmethod
    def rounded(amount):
        return int(amount * 100) / 100.0


class Savings(Account):
    interest = 0.05

    def withdraw(self, amount):
        return super().withdraw(amount + 1)

    def year(self):
        self.deposit(max(1, self.rounded(self.balance * self.interest)))


class Vector:
    __slots__ = ('x', 'y', 'z')

    def __init__(self, x, y, z):
        self.x, self.y, self.z = x, y, z

    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y, self.z + other.z)

    def __sub__(self, other):
        return Vector(self.x - other.x, self.y - other.y, self.z - other.z)

    def __mul__(self, factor):
        return Vector(self.x * factor, self.y * factor, self.z * factor)

    __rmul__ = __mul__

    def __eq__(self, other):
        return self.x == other.x and self.y == other.y and self.z == other.z

    def __hash__(self):
        return hash((self.x, self.y, self.z))

    def __iter__(self):
        yield self.x
        yield self.y
        yield self.z

    def dot(self, other):
        return self.x * other.x + self.y * other.y + self.z * other.z


class Shape:
    name = 'shape'

    def area(self):
        return 0

    def __repr__(self):
        return f'<{self.name} {self.area():.1f}>'


class Square(Shape):
    name = 'square'

    def __init__(self, side):
        self.side = side

    def area(self):
        return self.side * self.side


class Cache:
    def __init__(self, size):
        self.size = size
        self.items = {}
        self.order = []

    def __getitem__(self, key):
        value = self.items[key]
        self.order.remove(key)
        self.order.append(key)
        return value

    def __setitem__(self, key, value):
        if key not in self.items and len(self.items) >= self.size:
            del self.items[self.order.pop(0)]
        if key in self.items:
            self.order.remove(key)
        self.items[key] = value
        self.order.append(key)

    def __contains__(self, key):
        return key in self.items

    def __len__(self):
        return len(self.items)

    def __getattr__(self, name):
        if name.startswith('has_'):
            return name[4:] in self.items
        raise AttributeError(name)


class Checked:
    """A descriptor."""

    def __init__(self, name, kind):
        self.name, self.kind = '_' + name, kind

    def __get__(self, instance, owner):
        return self if instance is None else getattr(instance, self.name)

    def __set__(self, instance, value):
        if not isinstance(value, self.kind):
            raise TypeError(self.name)
        setattr(instance, self.name, value)


class Record:
    number = Checked('number', int)
    text = Checked('text', str)


def accounts():
    for n in range(400):
        account = Savings.named('owner %d' % n) if n % 3 else Account('someone', balance=n)
        for amount in range(1, 25):
            account.deposit(amount)
            account.withdraw(amount // 2)
            if isinstance(account, Savings) and amount % 12 == 0:
                account.year()
        assert not account.is_empty and len(account.history) > 24
        try:
            account.deposit(-1)
        except ValueError:
            account.interest = 0
        assert account.interest == 0 and type(account).interest > 0


def vectors():
    position, velocity = Vector(0.0, 0.0, 0.0), Vector(1.0, 0.5, 0.25)
    pull = Vector(0.0, -0.01, 0.0)
    seen = set()
    for step in range(6000):
        velocity = velocity + pull * 0.1
        position = position + 0.1 * velocity
        if position.dot(position) > 1e4:
            position = position - position
        if step % 10 == 0:
            seen.add(Vector(*[int(part) for part in position]))
    assert Vector(1, 2, 3) == Vector(1, 2, 3) and len(seen) > 5


def shapes():
    all_shapes = [Square(n % 9) if n % 2 else Shape() for n in range(2000)]
    for _ in range(4):
        assert sum(shape.area() for shape in all_shapes) > 0
    assert repr(all_shapes[1]) == '<square 1.0>' and hasattr(all_shapes[1], 'side') and not hasattr(all_shapes[0], 'side')


def caches():
    cache = Cache(40)
    hits = 0
    for n in range(8000):
        key = (n * n + n // 50) % 67
        if key in cache:
            hits += cache[key] is not None
        else:
            cache[key] = str(key)
    assert hits and len(cache) == 40 and not cache.has_nothing


def descriptors_and_metaclasses():
    class Registry(type):
        known = {}

        def __new__(meta, name, bases, body):
            made = type.__new__(meta, name, bases, body)
            meta.known[name] = made
            return made

    for n in range(60):
        kind = Registry('Kind%d' % n, (object,), {'level': n, 'above': lambda self: self.level + 1})
        assert kind().above() == n + 1
    record = Record()
    for n in range(3000):
        record.number, record.text = n, 'text'
        assert record.number == n
        try:
            record.number = 'no number'
        except TypeError:
            pass
    assert len(Registry.known) == 60


def copies_and_cycles():
    class Node:
        def __init__(self, parent=None):
            self.children = []
            self.parent = weakref.ref(parent) if parent else None
            if parent:
                parent.children.append(self)

    for _ in range(40):
        root = Node()
        for child in [Node(root) for _ in range(12)]:
            Node(child).loop = child
        assert all(child.parent() is root for child in root.children)
        plain = {'a': [1, 2, {'b': (3, 4)}], 'c': [[5] * 3] * 2}
        deep = copy.deepcopy(plain)
        assert deep == plain and deep['a'] is not plain['a'] and copy.copy(plain)['a'] is plain['a']


TASKS = [accounts, vectors, shapes, caches, descriptors_and_metaclasses, copies_and_cycles]
