"""Integers of both kinds, floating point, and what is made of them."""
import decimal
import fractions
import math
import random


def integers():
    total = 0
    for n in range(1, 60000):
        total += n * n // 7 - n % 13
        total ^= n << 3
        total &= 0x3fffffff
        if n & 63 == 0:
            total = abs(-total) >> 1
        total = max(total, n)
    assert total > 0
    for n in range(1, 1500):
        steps, value = 0, n
        while value != 1:
            value = value // 2 if value % 2 == 0 else 3 * value + 1
            steps += 1
        assert steps < 200
    checksum = 1
    for byte in map(ord, 'the quick brown fox' * 400):
        checksum = (checksum * 33 + byte) & 0xffffffff
    assert divmod(checksum, 10)[0] == checksum // 10


def long_integers():
    def power(base, exponent, modulus):
        result = 1
        while exponent:
            if exponent & 1:
                result = result * base % modulus
            base = base * base % modulus
            exponent >>= 1
        return result

    def common(a, b):
        while b:
            a, b = b, a % b
        return a

    modulus = (1 << 521) - 1
    for base in (3, 5, 1234567891011):
        assert power(base, modulus - 1, modulus) == 1 == pow(base, modulus - 1, modulus)
    product = 1
    for n in range(1, 700):
        product *= n
    assert str(product).endswith('0' * 100) and int(str(product)) == product
    for n in range(300):
        wide = (1 << 64) + n * 7919
        assert common(wide * 12, wide * 18) == wide * 6
        assert hex(wide).startswith('0x1') and -wide < wide and wide - 1 != wide
        assert (wide * n) // (wide or 1) == n and int(float(wide)) > 0
    squares = 0
    for n in range(46000, 56000):
        squares += n * n
    assert squares == sum(n ** 2 for n in range(46000, 56000))


def floating_point():
    def integral(function, low, high, steps):
        width = (high - low) / steps
        return sum(function(low + width * (i + 0.5)) for i in range(steps)) * width

    assert abs(integral(math.sin, 0.0, math.pi, 8000) - 2) < 1e-5
    assert abs(integral(lambda x: x * x * math.exp(-x), 0.0, 5.0, 6000) - 1.7507) < 1e-2
    x = 1.0
    for n in range(20000):
        x = x - (x * x - 2.0) / (2.0 * x) if n % 3 else x * 1.0001
        if x > 10.0 or x != x:
            x = 1.5
    assert 1 < x < 2
    points = [(math.cos(n * 0.1), math.sin(n * 0.1), n / 7.0) for n in range(3000)]
    length = 0.0
    for a, b in zip(points, points[1:]):
        length += math.sqrt(sum((p - q) ** 2 for p, q in zip(a, b)))
    assert 400 < length < 600
    text = ' '.join(repr(p[0]) for p in points[:1500])
    assert sum(float(word) for word in text.split()) < 1500
    assert '%.3f %e %g' % (math.pi, 12345.678, 1e-7) == '3.142 1.234568e+04 1e-07'
    z = complex(0, 0)
    for row in range(24):
        for column in range(32):
            c, z, n = complex(column / 16.0 - 1.5, row / 12.0 - 1), 0j, 0
            while abs(z) < 2 and n < 30:
                z = z * z + c
                n += 1


def exact_numbers():
    decimal.getcontext().prec = 40
    total = decimal.Decimal(0)
    for n in range(1, 120):
        total += decimal.Decimal(1) / decimal.Decimal(n)
    assert str(total).startswith('5.36')
    part = sum((fractions.Fraction(1, n) for n in range(1, 40)), fractions.Fraction(0))
    assert part.numerator > part.denominator


def samples():
    source = random.Random(2718)
    values = [source.random() for _ in range(8000)]
    assert 0.45 < sum(values) / len(values) < 0.55
    cards = list(range(52))
    for _ in range(60):
        source.shuffle(cards)
        assert len(set(source.sample(cards, 5))) == 5
        assert source.choice(cards) in cards and 1 <= source.randint(1, 6) <= 6
    ordered = sorted(values)
    assert ordered[0] == min(values) and ordered[len(values) // 2] < 0.6


TASKS = [integers, long_integers, floating_point, exact_numbers, samples]
