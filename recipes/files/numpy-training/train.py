"""Does what programs do with arrays, so that the compiler learns which paths of numpy are taken, and how often.

The data are made here, and are the same each time: no clock is looked at, and random numbers come of fixed seeds. What comes out is checked.
"""
import io
import pickle

import numpy as np

SIZE = 20_000


def close(left, right):
    assert np.allclose(left, right), (left, right)


def element_wise():
    """Arithmetic, comparisons and functions of whole arrays, of all kinds of numbers, and of parts of them."""
    x = np.linspace(0.1, 9.0, SIZE)
    for kind in (np.float64, np.float32):
        a, b = x.astype(kind), x[::-1].astype(kind)
        for _ in range(6):
            c = a * b + 2 * a - b / a
            c -= a
            np.multiply(c, 0.5, out=c)
            np.add(a, b, out=c, where=a > 3)
            assert c.dtype == kind and np.isfinite(c).all()
        for function in (np.sqrt, np.exp, np.log, np.sin, np.cos, np.tanh, np.arctan, np.floor, np.rint, np.abs, np.square, np.reciprocal,
                         np.log1p, np.expm1, np.log10, np.log2, np.cbrt, np.sign, np.trunc, np.ceil, np.negative, np.isnan, np.arcsinh):
            assert len(function(a)) == SIZE
        close(np.arctan2(a, b), np.arctan(a / b))
        close(np.hypot(a, b) ** 2, a ** 2 + b ** 2)
        close(np.power(a, 1.5), a * np.sqrt(a))
        assert (np.maximum(a, b) >= np.minimum(a, b)).all() and (np.clip(a, 2, 3) <= 3).all()
        for _ in range(3):
            close((a + 1) * 2 - (1 + a) - a / 4 - 1, 0.75 * a)
            close(2 - a, -(a - 2))
            close(9 / a * a, 9)
            assert ((a < 4) == ~(a >= 4)).all() and ((4 > a) | (a > 5) | (a <= 5)).all() and ((a == 4) != (a != 4)).all()
        close(np.fmod(a, 2), a - 2 * np.floor(a / 2))
        close(np.divmod(a, 2)[1], a % 2)
        close(np.where(a > b, a, b), np.fmax(a, b))
    for kind in (np.int64, np.int32, np.uint8, np.int16):
        a = (np.arange(SIZE) % 100 + 1).astype(kind)
        b = a[::-1].copy()
        for _ in range(3):
            assert ((a + 1) * 2 - 2 == 2 * a).all() and ((a - 1) // 3 * 3 + (a - 1) % 3 == a - 1).all() and (100 - (100 - a) == a).all()
            assert ((a & 7) + (a & 248) == a).all() and ((a | 1) ^ 1 == (a & 254)).all() and (15 ^ (a ^ 15) == a).all() and (a << 1 >> 1 == a & 127).all()
            assert ((a < 40) == ~(a >= 40)).all() and ((40 > a) | (a > 50) | (a <= 50)).all() and ((a == 4) != (a != 4)).all()
        for _ in range(3):
            assert ((a + b - b) == a).all() and ((a // b) * b + a % b == a).all()
            assert ((a & b) | (a ^ b) == (a | b)).all() and (a << 1 >> 1 == a).all() or kind == np.uint8
            assert (~a).dtype == kind and (-a).dtype == kind and (a ** 2).dtype == kind
            assert np.gcd(a, b).min() >= 1 and np.lcm(a[:50], b[:50]).min() >= 1
    z = x[:5000] + 1j * x[:5000][::-1]
    close(abs(z * z.conj()), abs(z) ** 2)
    close(np.exp(1j * z.real) * np.exp(-1j * z.real), 1)
    close((z + 1) / (z + 1), 1)
    close(np.angle(z), np.arctan2(z.imag, z.real))
    flags = x > 4
    assert (flags & ~flags).sum() == 0 and (flags | ~flags).all() and np.logical_xor(flags, flags).any() == 0
    matrix = x.reshape(100, 200)
    for _ in range(5):
        close(matrix + matrix[0] - matrix[:, :1], matrix - matrix[:, :1] + matrix[0])
        close(matrix.T * 2, (matrix * 2).T)
        close(matrix[::2, ::3] + 1, 1 + matrix[::2, ::3])


def reductions():
    """Sums, means, extremes, products and running ones, of all of an array or along an axis."""
    x = np.sin(np.arange(SIZE) * 0.1)
    for kind in (np.float64, np.float32, np.int64, np.int32, np.complex128):
        cube = (x * 100).astype(kind).reshape(20, 50, 20)
        for axis in (None, 0, 1, 2, (0, 2)):
            total = cube.sum(axis=axis)
            close(np.mean(cube, axis=axis) * (cube.size / np.size(total)), total)
        for axis in (0, 1, 2):
            assert np.cumsum(cube, axis=axis).shape == cube.shape
            if kind is not np.complex128:
                assert (cube.max(axis=axis) >= cube.min(axis=axis)).all() and cube.argmax(axis=axis).max() < 50
    matrix = x.reshape(200, 100)
    close(matrix.std(axis=0) ** 2, matrix.var(axis=0))
    close(np.median(matrix), np.percentile(matrix, 50))
    close(np.quantile(matrix, [0.1, 0.9], axis=1).mean(), np.quantile(matrix, [0.1, 0.9], axis=1).sum() / 400)
    assert np.ptp(matrix) <= 2 and np.count_nonzero(matrix > 0) == (matrix > 0).sum()
    close(np.prod(1 + 0.01 * matrix, axis=1), np.cumprod(1 + 0.01 * matrix, axis=1)[:, -1])
    holes = np.where(np.arange(SIZE) % 7 == 0, np.nan, x)
    close(np.nansum(holes), x[np.arange(SIZE) % 7 != 0].sum())
    assert np.nanmax(holes) <= 1 and np.isnan(holes.sum()) and np.nanmean(holes) < 1
    assert (x > 2).any() == False and (x < 2).all() == True  # noqa: E712
    close(np.add.reduceat(x, [0, 100, 5000]).sum(), x.sum())
    close(np.diff(np.cumsum(x)), x[1:])
    close(np.trapezoid(x, dx=0.1), 0.1 * (x.sum() - (x[0] + x[-1]) / 2))
    close(np.average(x, weights=np.ones(SIZE)), x.mean())
    table = np.zeros(10)
    np.add.at(table, np.arange(1000) % 10, 1.0)
    close(table, 100)


def sorting():
    """Sorts, searches and sets."""
    random = np.random.default_rng(5)
    for kind in (np.float64, np.float32, np.int64, np.int32, np.int16, np.uint8):
        a = (random.random(SIZE) * 200).astype(kind)
        for how in ('quicksort', 'stable', 'heapsort'):
            b = np.sort(a, kind=how)
            assert (b[1:] >= b[:-1]).all() and (a[np.argsort(a, kind=how)] == b).all()
        assert (np.partition(a, 500)[:500] <= b[500]).all() and (a[np.argpartition(a, 500)[:500]] <= b[500]).all()
        assert (np.searchsorted(b, a[:1000]) < SIZE).all() and np.unique(a).size <= 201 or kind in (np.float64, np.float32)
    matrix = random.random((100, 200))
    for axis in (0, 1):
        assert (np.diff(np.sort(matrix, axis=axis), axis=axis) >= 0).all()
    a, b = np.arange(0, 3000, 3), np.arange(0, 3000, 5)
    assert np.intersect1d(a, b).size == 200 and np.union1d(a, b).size == 1400 and np.isin(a, b).sum() == 200
    assert np.setdiff1d(a, b).size == 800 and np.setxor1d(a, b).size == 1200
    values, where, back, counts = np.unique(a % 17, return_index=True, return_inverse=True, return_counts=True)
    assert (values[back] == a % 17).all() and counts.sum() == a.size and where.size == 17
    words = np.array(['w%03d' % (n * 37 % 500) for n in range(500)])
    assert (np.sort(words)[:2] == ['w000', 'w001']).all() and np.lexsort((a % 3, a % 7)).size == a.size
    rows = np.array([(n * 7 % 10, n / 2) for n in range(100)], dtype=[('key', 'i4'), ('value', 'f8')])
    assert (np.sort(rows, order=['key', 'value'])['key'][:10] == 0).all()
    close(np.histogram(matrix, bins=20)[0].sum(), matrix.size)
    assert np.bincount(a % 10).sum() == a.size and np.digitize(matrix[0], [0.25, 0.5]).max() == 2


def indexing():
    """Slices, masks, lists of places, and what joins, splits, repeats and turns arrays."""
    a = np.arange(SIZE, dtype=float).reshape(100, 200)
    for _ in range(10):
        rows, columns = np.arange(0, 100, 3), np.arange(0, 200, 7)
        assert a[rows][:, columns].shape == a[np.ix_(rows, columns)].shape == (34, 29)
        assert a[a > 10_000].size == SIZE - 10_001 and (a[[3, 5], [7, 9]] == [607, 1009]).all()
        b = a.copy()
        b[b % 2 == 0] = -1
        b[::2] += 1
        b[rows[:, None], columns] = 0
        b[..., -1] = b[:, 0]
        b[5:10, 10:20] = np.arange(10)
        assert (b[5, 10:20] == np.arange(10)).all() and b.take(columns, axis=1).shape == (100, 29)
        assert np.nonzero(b)[0].size == np.count_nonzero(b) and np.argwhere(b > 0).shape[1] == 2
    total = 0.0
    for i in range(100):
        for j in range(0, 200, 5):
            total += a[i, j]
        a[i, 3] = i
    assert total == a[:, ::5].sum()
    for row in a[:20]:
        assert row.shape == (200,) and float(row[1]) >= 0
    for value in a.flat[:200]:
        assert value >= 0
    joined = np.concatenate([a, a], axis=1)
    assert joined.shape == (100, 400) and np.vstack([a, a]).shape == (200, 200) and np.stack([a, a]).shape == (2, 100, 200)
    assert [part.shape for part in np.split(joined, 4, axis=1)] == [(100, 100)] * 4
    assert np.tile(a[:2, :2], (2, 3)).shape == (4, 6) and np.repeat(a[0, :5], 3).size == 15
    assert (np.roll(a, 3, axis=1)[:, 3:] == a[:, :-3]).all() and (np.flip(a)[0, 0] == a[-1, -1]) and np.rot90(a).shape == (200, 100)
    assert np.pad(a[:3, :3], 2, mode='reflect').shape == (7, 7) and np.pad(a[:3, :3], 1).sum() == a[:3, :3].sum()
    assert a.T.copy().flags.c_contiguous and np.asfortranarray(a).flags.f_contiguous and a.swapaxes(0, 1).shape == (200, 100)
    cube = np.arange(24).reshape(2, 3, 4)
    assert (np.transpose(cube, (2, 0, 1))[3, 1, 2] == 23) and np.moveaxis(cube, 0, -1).shape == (3, 4, 2) and np.squeeze(cube[:1]).shape == (3, 4)
    windows = np.lib.stride_tricks.sliding_window_view(a[0], 5)
    close(windows.mean(axis=1), np.convolve(a[0], np.ones(5) / 5, mode='valid'))
    assert np.broadcast_to(a[0], (10, 200)).sum() == 10 * a[0].sum() and np.choose([0, 1, 0], [[1, 2, 3], [4, 5, 6]]).tolist() == [1, 5, 3]
    y, x = np.mgrid[0:30, 0:40]
    disc = (x - 20) ** 2 + (y - 15) ** 2 < 100
    assert disc.sum() == np.count_nonzero(disc) and np.meshgrid(range(3), range(4))[0].shape == (4, 3)
    assert np.insert([1, 2], 1, 9).tolist() == [1, 9, 2] and np.delete(np.arange(5), 2).tolist() == [0, 1, 3, 4] and np.append([1], [2]).size == 2
    assert np.interp([0.5, 1.5], [0, 1, 2], [0, 10, 20]).tolist() == [5, 15] and np.tril(a[:5, :5]).sum() + np.triu(a[:5, :5], 1).sum() == a[:5, :5].sum()


def life():
    """A loop of steps on a grid, as simulations have."""
    grid = (np.arange(64 * 64).reshape(64, 64) * 7919 % 13 < 4).astype(np.int8)
    for _ in range(60):
        around = sum(np.roll(np.roll(grid, i, 0), j, 1) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j)
        grid = ((around == 3) | ((grid == 1) & (around == 2))).astype(np.int8)
    heat = np.zeros((80, 80))
    heat[0] = 1
    for _ in range(150):
        heat[1:-1, 1:-1] += 0.2 * (heat[:-2, 1:-1] + heat[2:, 1:-1] + heat[1:-1, :-2] + heat[1:-1, 2:] - 4 * heat[1:-1, 1:-1])
    assert 0 <= heat.min() and heat.max() <= 1
    place, speed = np.linspace(0, 1, 300).reshape(100, 3), np.zeros((100, 3))
    for _ in range(15):
        apart = place[:, None] - place[None]
        far = (apart ** 2).sum(-1) + 0.01
        speed -= (apart / far[..., None] ** 1.5).sum(1) * 1e-5
        place += speed
    close(speed.sum(0), 0)
    plane = np.linspace(-2, 1, 100)[None] + 1j * np.linspace(-1, 1, 80)[:, None]
    z, inside = np.zeros_like(plane), np.ones(plane.shape, bool)
    for _ in range(25):
        z[inside] = z[inside] ** 2 + plane[inside]
        inside &= np.abs(z) < 2
    assert 0 < inside.sum() < inside.size


def algebra():
    """Products and solutions."""
    random = np.random.default_rng(2)
    for kind in (np.float64, np.float32, np.complex128, np.int64):
        a, b = (random.random((60, 60)) * 10).astype(kind), (random.random((60, 60)) * 10).astype(kind)
        for _ in range(4):
            close(a @ b, np.einsum('ij,jk->ik', a, b))
            close(np.dot(a, b[0]), (a * b[0]).sum(1))
            close(np.inner(a, b), a @ b.T)
            close(np.outer(a[0], b[0])[3], a[0, 3] * b[0])
    a, b = random.random((40, 40)) + 40 * np.eye(40), random.random(40)
    for _ in range(5):
        close(a @ np.linalg.solve(a, b), b)
        close(a @ np.linalg.inv(a), np.eye(40))
        close(np.log(np.linalg.det(a)), np.linalg.slogdet(a)[1])
        q, r = np.linalg.qr(a)
        close(q @ r, a)
        u, s, v = np.linalg.svd(a)
        close(u * s @ v, a)
        values, vectors = np.linalg.eigh(a + a.T)
        close((a + a.T) @ vectors, vectors * values)
        close(np.sort(np.linalg.eigvals(a).real)[-1], np.linalg.eigvals(a).real.max())
        lower = np.linalg.cholesky(a @ a.T)
        close(lower @ lower.T, a @ a.T)
    close(np.linalg.lstsq(a[:, :5], b, rcond=None)[0], np.linalg.pinv(a[:, :5]) @ b)
    assert np.linalg.matrix_rank(a) == 40 and np.linalg.norm(a) > 0 and np.linalg.cond(a) > 1 and np.linalg.norm(a, 2) > 0
    close(np.linalg.matrix_power(a / 50, 3), a @ a @ a / 125_000)
    close(np.kron(np.eye(2), a[:3, :3])[:3, :3], a[:3, :3])
    close(np.tensordot(a, a, axes=([1], [0])), a @ a)
    close(np.einsum('ii', a), np.trace(a))
    stack = random.random((30, 4, 4)) + 4 * np.eye(4)
    close(stack @ np.linalg.inv(stack), np.broadcast_to(np.eye(4), stack.shape))
    close(np.cross([1, 0, 0], [0, 1, 0]), [0, 0, 1])
    line = np.polyfit(np.arange(50), 3 * np.arange(50) + 1, 1)
    close(line, [3, 1])
    close(np.polyval([1, 2, 3], 2), 11)
    close(np.sort(np.roots([1, -3, 2])), [1, 2])
    close(np.polynomial.Polynomial.fit(np.arange(20), np.arange(20) ** 2, 2)(5), 25)
    close(np.corrcoef(a[:2])[0, 0], 1)
    assert np.cov(a[:3]).shape == (3, 3)
    try:
        np.linalg.inv(np.zeros((3, 3)))
    except np.linalg.LinAlgError:
        pass
    else:
        raise AssertionError('a singular matrix was inverted')


def transforms():
    random = np.random.default_rng(3)
    for size in (256, 1000, 210, 127, 4096):
        for kind in (np.float64, np.float32):
            a = random.random(size).astype(kind)
            assert np.allclose(np.fft.ifft(np.fft.fft(a)).real, a, atol=1e-5) and np.allclose(np.fft.irfft(np.fft.rfft(a), size), a, atol=1e-5)
    image = random.random((64, 48))
    close(np.fft.ifft2(np.fft.fft2(image)).real, image)
    close(np.fft.irfftn(np.fft.rfftn(image), image.shape, axes=(0, 1)), image)
    spectrum = np.fft.fftshift(np.fft.fft(image, axis=0))
    close(np.fft.ifft(np.fft.ifftshift(spectrum), axis=0).real, image)
    assert np.fft.fftfreq(8, 0.1).size == 8
    close(np.convolve(image[0], image[1]), np.fft.irfft(np.fft.rfft(image[0], 95) * np.fft.rfft(image[1], 95), 95))
    assert np.correlate(image[0], image[1], 'same').size == 48 and np.hanning(16).size == 16


def random_numbers():
    for bits in (np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64):
        random = np.random.Generator(bits(11))
        for _ in range(3):
            assert abs(random.random(5000).mean() - 0.5) < 0.1 and abs(random.standard_normal(5000).mean()) < 0.1
            assert random.integers(0, 10, 5000).max() == 9 and random.permutation(1000).sum() == 499_500
            assert random.choice(100, 20, replace=False).size == 20 and random.uniform(2, 3, 100).min() >= 2
    for draw in (random.exponential, random.poisson, random.gamma, random.standard_t, random.chisquare):
        assert np.size(draw(2.0, size=1000)) == 1000
    assert random.normal(5, 2, 1000).mean() > 4 and random.binomial(10, 0.5, 1000).max() <= 10 and random.beta(2, 3, 1000).max() < 1
    assert random.multivariate_normal([0, 0], [[1, 0], [0, 1]], 100).shape == (100, 2) and random.choice(['a', 'b'], 50, p=[0.3, 0.7]).size == 50
    items = np.arange(1000)
    random.shuffle(items)
    assert items.sum() == 499_500 and random.random(10, dtype=np.float32).dtype == np.float32
    np.random.seed(4)
    for _ in range(500):
        assert 0 <= np.random.random() < 1 and 1 <= np.random.randint(1, 7) <= 6
    assert np.random.rand(100, 10).shape == (100, 10) and np.random.randn(1000).size == 1000 and np.random.permutation(50).size == 50


def types():
    """Conversions between types, records, dates, text, and objects."""
    a = np.arange(2000) % 120
    for kind in ('i1', 'u2', 'i4', '>i4', 'i8', 'u8', 'f2', 'f4', 'f8', '>f8', 'c8', 'c16', '?', 'O', 'U4', 'S4'):
        assert a.astype(kind).astype('f8' if kind in ('O', '?') or kind[0] in '>iuf' else object).size == a.size
    assert np.array([[1, 2.5], [3, 4]]).dtype == float and np.array([1, 2], 'f4').tolist() == [1, 2] and np.array(['a', 'bc']).dtype == '<U2'
    for _ in range(300):
        assert np.array([1, 2, 3]).sum() == 6 and np.float64(1.5) + 1 == 2.5 and np.zeros(3).shape == (3,) and int(np.int64(7) // 2) == 3
    rows = np.zeros(500, dtype=[('name', 'U10'), ('size', 'i4'), ('share', 'f8')])
    rows['name'] = ['n%d' % n for n in range(500)]
    rows['size'] = np.arange(500)
    rows['share'] = rows['size'] / 500
    assert rows[rows['size'] > 250]['share'].min() > 0.5 and rows[3]['name'] == 'n3' and rows[['name', 'size']][5].tolist() == ('n5', 5)
    days = np.arange('2021-01-01', '2022-01-01', dtype='datetime64[D]')
    assert days.size == 365 and (days[1:] - days[:-1] == np.timedelta64(1, 'D')).all() and str(days[31]) == '2021-02-01'
    assert np.is_busday(days).sum() == 261 and days.astype('datetime64[M]')[40] == np.datetime64('2021-02')
    words = np.array(['one', 'Two', ' three ', 'fourteen'] * 100)
    assert (np.strings.upper(words)[:2] == ['ONE', 'TWO']).all() and np.strings.str_len(words).max() == 8
    assert (np.strings.strip(words) == 'three').sum() == 100 and np.strings.find(words, 'teen').max() == 4 and (words == 'Two').sum() == 100
    assert (np.strings.add(words, '!') == 'one!').sum() == 100 and (np.char.replace(words, 'o', '0')[0] == '0ne') and np.strings.startswith(words, 'f').sum() == 100
    text = words.astype(np.dtypes.StringDType())
    assert (text == 'one').sum() == 100 and np.strings.upper(text)[1] == 'TWO' and sorted(text.tolist())[0] == ' three '
    things = np.array([1, 'a', None, 2.5], dtype=object)
    assert (things == 'a').sum() == 1 and (np.array([1, 2, 3], dtype=object) + 1).tolist() == [2, 3, 4]
    masked = np.ma.masked_greater(a, 100)
    assert masked.count() == (a <= 100).sum() and masked.mean() < 100
    square = np.vectorize(lambda value: value * value)
    assert square(np.arange(50))[7] == 49 and np.fromiter((n for n in range(100)), int).sum() == 4950
    assert np.apply_along_axis(sum, 0, np.ones((3, 4))).tolist() == [3, 3, 3, 3] and np.frompyfunc(len, 1, 1)(np.array(['ab'], object))[0] == 2
    for wrong in (lambda: np.zeros(3) + np.zeros(4), lambda: np.array([1])[3], lambda: np.zeros((2, 2)).reshape(3), lambda: np.dtype('nothing')):
        try:
            wrong()
        except (ValueError, IndexError, TypeError) as error:
            assert str(error)
        else:
            raise AssertionError('no error')


def text_and_files():
    a = np.sin(np.arange(600.0)).reshape(100, 6)
    out = io.StringIO()
    np.savetxt(out, a, fmt='%.12e', delimiter=',')
    close(np.loadtxt(io.StringIO(out.getvalue()), delimiter=','), a)
    close(np.genfromtxt(io.StringIO(out.getvalue()), delimiter=','), a)
    for kind in (a, a.astype('f4'), np.arange(50), np.array(['x', 'yz'])):
        file = io.BytesIO()
        np.save(file, kind)
        file.seek(0)
        assert (np.load(file) == kind).all() and (pickle.loads(pickle.dumps(kind, 5)) == kind).all()
        assert len(str(kind)) and len(repr(kind)) and len(np.array2string(kind, precision=3))
    packed = io.BytesIO()
    np.savez_compressed(packed, a=a, b=np.arange(10))
    packed.seek(0)
    close(np.load(packed)['a'], a)
    assert np.frombuffer(a.tobytes()).size == 600 and memoryview(a)[3, 2] == a[3, 2] and bytes(np.arange(4, dtype='u1')) == b'\0\1\2\3'
    assert np.fromstring('1 2 3', sep=' ').sum() == 6 and str(np.float64(0.1)) == '0.1' and repr(np.float32(1) / 3) == 'np.float32(0.33333334)'
    assert np.array_repr(np.eye(2)) and np.format_float_positional(1e-5) == '0.00001' and a.tolist()[1][2] == a[1, 2]
    with np.errstate(all='ignore'):
        assert np.isinf(np.array([1.0]) / 0).all() and np.isnan(np.array([0.0]) / 0).all()


TASKS = [element_wise, reductions, sorting, indexing, life, algebra, transforms, random_numbers, types, text_and_files]


def main():
    for task in TASKS:
        task()
    print(f'trained: numpy, {len(TASKS)} tasks')


if __name__ == '__main__':
    main()
