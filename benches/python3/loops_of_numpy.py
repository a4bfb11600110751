# Inner loops of numpy: prints a line with the name and the processor's seconds of each.
import time

import numpy as np

source = np.random.default_rng(17)
a, b = source.random(200000), source.random(200000)
whole, bytes_ = source.integers(0, 1000, 200000), source.integers(0, 255, 400000).astype("u1")
matrix, places = source.random((160, 160)), source.integers(0, 200000, 200000)


def arithmetic():
    for _ in range(60):
        a * b + a - b / 3


def functions():
    for _ in range(6):
        np.exp(a), np.sin(a), np.sqrt(a), np.log(a)


def comparisons():
    for _ in range(100):
        ((a > 0.5) & (b < 0.5)).sum()


def integers():
    for _ in range(40):
        (whole * 7 + 3) // 5 % 11


def bytes_of_pictures():
    for _ in range(80):
        bytes_ ^ 255, bytes_ + bytes_


def reductions():
    for _ in range(60):
        a.sum(), a.max(), a.std(), a.argmin()


def indices():
    for _ in range(40):
        a[places], a[a > 0.7]


def sorting():
    for _ in range(4):
        np.sort(a), np.argsort(whole)


def products():
    for _ in range(8):
        matrix @ matrix


def linear_algebra():
    for _ in range(2):
        np.linalg.solve(matrix, matrix), np.linalg.svd(matrix[:80, :80])


def transforms():
    for _ in range(12):
        np.fft.fft(a[:65536])


def random_numbers():
    for _ in range(4):
        source.random(200000), source.normal(size=100000)


def small_arrays():
    for n in range(30000):
        (np.array([n, 1.5, 2.5]) + 1).sum()


for work in (arithmetic, functions, comparisons, integers, bytes_of_pictures, reductions, indices, sorting, products, linear_algebra, transforms,
             random_numbers, small_arrays):
    start = time.process_time()
    work()
    print(work.__name__, time.process_time() - start)
