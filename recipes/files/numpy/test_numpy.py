"""What numpy's core, linear algebra, Fourier transforms and random numbers do in the sandbox: run
inside by bin/test_python3. Numbers of generators are those of numpy on other machines."""

import importlib.metadata
import os
import pickle
import sys
import unittest

import numpy as np


class Arrays(unittest.TestCase):
    def test_types(self):
        # Pointers and C's long have 32 bits here, long doubles 128.
        self.assertEqual([np.dtype(t).itemsize for t in (np.intp, np.long, np.longlong, np.longdouble)], [4, 4, 8, 16])
        self.assertEqual(repr(np.dtype([("a", ">i4"), ("b", "U3"), ("c", "M8[ms]")])),
                         "dtype([('a', '>i4'), ('b', '<U3'), ('c', '<M8[ms]')])")
        self.assertEqual(np.finfo(np.longdouble).nmant, 112)

    def test_arithmetic(self):
        a = np.arange(12.0).reshape(3, 4)
        self.assertEqual((a @ a.T).tolist(), [[14, 38, 62], [38, 126, 214], [62, 214, 366]])
        self.assertEqual(np.einsum("ij,ij->i", a, a).tolist(), [14, 126, 366])
        self.assertEqual(repr(np.sin(a[0])), "array([0.        , 0.84147098, 0.90929743, 0.14112001])")
        self.assertEqual((np.array([1, 2], "u1") - np.array([2, 1], "u1")).tolist(), [255, 1])
        self.assertEqual(np.array([0.1], np.float16).astype(">f8").tolist(), [0.0999755859375])

    def test_sorting(self):
        # Each kind is code in C++.
        numbers = np.random.default_rng(3).integers(-1000, 1000, 5000)
        for kind in ("quicksort", "mergesort", "heapsort", "stable"):
            for dtype in ("i1", "i4", "f8", "f2", "c16", "U6", "M8[s]"):
                a = numbers.astype("i8").astype(dtype)
                self.assertEqual(np.sort(a, kind=kind).tolist(), sorted(a.tolist(), key=lambda x: (x.real, x.imag) if dtype == "c16" else x))
        self.assertEqual(np.unique(["b", "a", "b"]).tolist(), ["a", "b"])
        self.assertEqual(np.unique(np.array([3.0, 1.0, 3.0])).tolist(), [1, 3])

    def test_indices_that_are_wide(self):
        """An index has 32 bits. A wider one that fits is taken; of one that does not, nothing is cut off."""
        a = np.arange(6.0)
        for dtype in ("i8", "u8", "u4", ">i8", ">u4"):
            places = np.array([[5, 0], [2, 3]], dtype)[:, ::-1]
            self.assertEqual(a[places].tolist(), [[0, 5], [3, 2]], dtype)
            self.assertEqual(a.take(places).tolist(), [[0, 5], [3, 2]], dtype)
            self.assertEqual(a.reshape(2, 3)[..., places[1] - places[1]].tolist(), [[0, 0], [3, 3]], dtype)
            self.assertEqual(np.bincount(places.ravel()).tolist(), [1, 0, 1, 1, 0, 1], dtype)
            self.assertEqual(np.unravel_index(places, (2, 3))[0].tolist(), [[0, 1], [1, 0]], dtype)
            wide = np.array([1, 2 ** 32 - 1 if dtype.endswith("u4") else 2 ** 32], dtype)
            out_of_bounds = f"^index {wide[1]} is out of bounds"
            for index in (
                lambda: a[wide],
                lambda: a.__setitem__(wide, 1),
                lambda: a.reshape(2, 3)[..., wide],
                lambda: a.flat[wide],
                lambda: a.flat.__setitem__(wide, 1),
                lambda: a.take(wide),
                lambda: np.add.at(a, wide, 1),
                lambda: np.take_along_axis(a, wide, 0),
            ):
                self.assertRaisesRegex(IndexError, out_of_bounds, index)
            for index in (
                lambda: np.bincount(wide),
                lambda: np.unravel_index(wide, (2, 3)),
                lambda: np.ravel_multi_index((wide, wide), (2, 3)),
                lambda: np.partition(a, wide),
            ):
                self.assertRaisesRegex(ValueError, out_of_bounds, index)
            self.assertEqual(a.tolist(), [0, 1, 2, 3, 4, 5], dtype)
            # Where nothing is looked at, nothing is out of bounds.
            self.assertEqual(a.reshape(2, 3)[wide[1:], np.zeros(0, dtype)].shape, (0,), dtype)
        for dtype in ("i8", "u4", ">i8"):
            places = np.array([2, 0], dtype)
            wide = np.array([1, 2 ** 32 - 1 if dtype.endswith("u4") else 2 ** 32], dtype)
            b = a.copy()
            b.put(places, [7, 8])
            self.assertEqual(b.tolist(), [8, 1, 7, 3, 4, 5], dtype)
            self.assertEqual(np.choose(places, [a[:2], a[2:4], a[4:]]).tolist(), [4, 1], dtype)
            self.assertEqual(np.repeat([1, 2], places).tolist(), [1, 1], dtype)
            self.assertEqual(np.add.reduceat(a, places).tolist(), [2, 15], dtype)
            self.assertEqual(np.searchsorted([5, 3, 1], [2, 4], sorter=np.array([2, 1, 0], dtype)).tolist(), [1, 2], dtype)
            for index in (
                lambda: a.put(wide, 0),
                lambda: np.add.reduceat(a, wide),
                lambda: np.choose(wide, [a[:2], a[2:4]]),
                lambda: np.repeat([1, 2], wide),
                lambda: np.searchsorted([3, 1], [2], sorter=wide),
            ):
                self.assertRaisesRegex((IndexError, ValueError), f"^index {wide[1]} is out of bounds", index)
        self.assertRaises(TypeError, a.put, np.array([0], "u8"), 0)
        self.assertEqual(a[np.array([-1, -6])].tolist(), [5, 0])
        self.assertEqual(a[np.array([-1, -6], ">i8")].tolist(), [5, 0])
        self.assertRaisesRegex(IndexError, f"^index {-2 ** 63} is out of bounds for axis 0 with size 6$", lambda: a[np.array([-2 ** 63])])

    def test_strings_and_dates(self):
        self.assertEqual(np.strings.upper(np.array(["straße", "x"])).tolist(), ["STRASS", "X"])
        self.assertEqual(np.array(["a", "bcd"], dtype=np.dtypes.StringDType()).astype("U3").tolist(), ["a", "bcd"])
        self.assertEqual(str(np.datetime64("2024-02-28") + np.arange(3)), "['2024-02-28' '2024-02-29' '2024-03-01']")

    def test_text_and_files(self):
        a = np.arange(6, dtype="i2").reshape(2, 3)
        np.save("/rw/a.npy", a)
        np.savez_compressed("/rw/a.npz", a=a)
        np.savetxt("/rw/a.txt", a)
        mapped = np.load("/rw/a.npy", mmap_mode="r")
        for read in (mapped, np.load("/rw/a.npz")["a"], np.loadtxt("/rw/a.txt"), pickle.loads(pickle.dumps(a))):
            self.assertEqual(read.tolist(), a.tolist())
        self.assertEqual(repr(np.longdouble("1.1")), "np.longdouble('1.1')")


class Calls(unittest.TestCase):
    def test_functions_that_python_calls_with_more(self):
        # WebAssembly refuses a call with parameters that a function has not.
        from numpy._core._multiarray_umath import _array_converter, _get_castingimpl, _get_sfloat_dtype

        self.assertEqual(_array_converter(1.5, np.ones(2)).scalar_input, (True, False))
        self.assertIs(_get_castingimpl(type(np.dtype("i4")), type(np.dtype("f8")))._supports_unaligned, True)
        self.assertEqual(_get_sfloat_dtype()(3.0).__reduce__()[1], (3.0,))

    def test_unique_again_and_again(self):
        for kind in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "M8[s]", "f8", "U3"):
            for length in (0, 1, 7, 5000):
                numbers = (np.arange(length) % 5).astype(kind)
                for _ in range(3):
                    self.assertEqual(sorted(np.unique(numbers).tolist()), sorted(set(numbers.tolist())))


class Installed(unittest.TestCase):
    def test_entry_points(self):
        declared = importlib.metadata.distribution("numpy").entry_points
        self.assertEqual(sorted(declared.groups), ["array_api", "console_scripts", "pkg_config", "pyinstaller40"])
        for point in declared:
            point.load()
        (point,) = importlib.metadata.entry_points(group="array_api", name="numpy")
        self.assertIs(point.load(), np)

    def test_headers(self):
        for header in ("_numpyconfig.h", "__multiarray_api.h", "arrayobject.h", "random/libdivide.h"):
            with open(os.path.join(np.get_include(), "numpy", header)) as stream:
                self.assertIn("#", stream.read())


class Memory(unittest.TestCase):
    def test_too_much(self):
        # Memory that nobody touches costs nothing.
        with self.assertRaises(MemoryError):
            [np.empty(1 << 27) for _ in range(5)]
        with self.assertRaises(ValueError):
            np.zeros(1 << 31)

    def test_exceptions_of_cxx(self):
        # A transform whose length is a large prime allocates by `operator new`.
        numbers = np.ones(50021)
        taken = []
        for size in (1 << 30, 1 << 27, 1 << 24, 1 << 21, 1 << 20):
            try:
                while True:
                    taken.append(np.empty(size, "i1"))
            except MemoryError:
                pass
        with self.assertRaises(MemoryError):
            for _ in range(100):
                taken.append(np.fft.fft(numbers))
        del taken
        self.assertAlmostEqual(np.fft.fft(numbers)[0].real, 50021)


class Mathematics(unittest.TestCase):
    def test_linear_algebra(self):
        a = np.array([[4.0, 1, 2], [1, 3, 0], [2, 0, 5]])
        np.testing.assert_allclose(np.linalg.solve(a, [1, 2, 3]), [-0.3023255813953489, 0.7674418604651163, 0.7209302325581396], rtol=1e-14)
        np.testing.assert_allclose(np.linalg.inv(a) @ a, np.eye(3), atol=1e-14)
        values, vectors = np.linalg.eigh(a)
        np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, a, atol=1e-14)
        left, singular, right = np.linalg.svd(np.arange(6.0).reshape(2, 3))
        np.testing.assert_allclose(singular, [7.3484692283495345, 1], rtol=1e-13)
        np.testing.assert_allclose(np.linalg.eigvals(np.array([[0, 1], [-1, 0.0]])), [1j, -1j], atol=1e-15)
        with self.assertRaises(np.linalg.LinAlgError):
            np.linalg.inv(np.zeros((2, 2)))

    def test_exponents(self):
        for kind in ("f2", "f4", "f8", np.longdouble):
            exponents = np.full(4, 99, np.intc)
            np.frexp(np.array([np.inf, -np.inf, np.nan, 3], kind), np.empty(4, kind), exponents)
            self.assertEqual(exponents.tolist(), [0, 0, 0, 2])

    def test_fourier(self):
        np.testing.assert_allclose(np.fft.fft([1, 2, 3, 4]), [10, -2 + 2j, -2, -2 - 2j])
        numbers = np.random.default_rng(0).normal(size=(8, 9))
        np.testing.assert_allclose(np.fft.irfft2(np.fft.rfft2(numbers), numbers.shape), numbers, atol=1e-14)

    def test_random_numbers(self):
        found = np.random.default_rng(12345)
        self.assertEqual(found.random(3).tolist(), [0.22733602246716966, 0.31675833970975287, 0.7973654573327341])
        self.assertEqual(found.integers(0, 100, 5).tolist(), [64, 67, 98, 39, 83])
        self.assertEqual(np.random.RandomState(42).normal(size=2).tolist(), [0.4967141530112327, -0.13826430117118466])
        self.assertEqual(np.random.Generator(np.random.MT19937(1)).integers(1 << 62), 1109920006317622068)
        self.assertEqual(np.random.Generator(np.random.Philox(1)).random(), 0.0668020093396563)
        self.assertEqual(np.random.Generator(np.random.SFC64(1)).random(), 0.9956200510286735)

    def test_errors_of_floats(self):
        # WebAssembly has no flags of errors: what arithmetic itself raises is not seen, and the result
        # is right. What numpy finds is raised.
        with np.errstate(all="raise"):
            self.assertEqual((np.array([1.0, -1.0, 0.0]) / 0).tolist()[:2], [np.inf, -np.inf])
            self.assertEqual(np.log(np.array([0.0])).tolist(), [-np.inf])
        # Integers don't need them.
        with np.errstate(all="raise"), self.assertRaises(FloatingPointError):
            np.array([1]) // 0
        # Halves are computed in C++, which finds what does not fit.
        for number, error in ((1e5, "overflow"), (1e-10, "underflow")):
            with np.errstate(all="raise"), self.assertRaisesRegex(FloatingPointError, error):
                np.array([number]).astype("f2")
        with self.assertWarnsRegex(RuntimeWarning, "overflow encountered in cast"):
            self.assertEqual(np.array([1e5], "f4").astype("f2").tolist(), [np.inf])
        with np.errstate(all="raise"):
            self.assertEqual(np.array([1.5]).astype("f2").tolist(), [1.5])


if __name__ == "__main__":
    sys.exit(not unittest.main(exit=False, verbosity=0).result.wasSuccessful())
