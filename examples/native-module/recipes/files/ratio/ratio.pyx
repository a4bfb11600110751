"""How alike two texts are, in Cython: Python with types of C."""

cdef extern from "distance.h":
    size_t levenshtein(const char *one, size_t one_size, const char *other, size_t other_size, size_t *row)

from cpython.mem cimport PyMem_Free, PyMem_Malloc


def ratio(a: str, b: str) -> float:
    """Returns 1.0 for equal texts, 0.0 for texts that have no byte in common."""
    cdef bytes one = a.encode(), other = b.encode()
    cdef size_t longest = max(len(one), len(other))
    if longest == 0:
        return 1.0
    cdef size_t *row = <size_t *> PyMem_Malloc((len(other) + 1) * sizeof(size_t))
    if row == NULL:
        raise MemoryError()
    try:
        return 1.0 - <double> levenshtein(one, len(one), other, len(other), row) / longest
    finally:
        PyMem_Free(row)
