/*
 * The distance between two byte strings: how many bytes have to be put in, taken out or exchanged to make one of the other (Levenshtein 1966).
 */
#include "Python.h"

#include <string.h>

/* Two rows of the table are enough: distance[j] is that of the first i bytes of one and the first j of the other. */
static Py_ssize_t
levenshtein(const char *one, Py_ssize_t one_size, const char *other, Py_ssize_t other_size, Py_ssize_t *distance)
{
    Py_ssize_t i, j;

    for (j = 0; j <= other_size; j++)
        distance[j] = j;
    for (i = 1; i <= one_size; i++) {
        Py_ssize_t diagonal = distance[0];

        distance[0] = i;
        for (j = 1; j <= other_size; j++) {
            Py_ssize_t best = diagonal + (one[i - 1] != other[j - 1]);

            diagonal = distance[j];
            if (best > distance[j] + 1)
                best = distance[j] + 1;
            if (best > distance[j - 1] + 1)
                best = distance[j - 1] + 1;
            distance[j] = best;
        }
    }
    return distance[other_size];
}

PyDoc_STRVAR(distance_doc, "distance(a, b) -> how many bytes have to change to make one string of the other");

static PyObject *
distance(PyObject *self, PyObject *arguments)
{
    const char *one, *other;
    int one_size, other_size;
    Py_ssize_t *row, result;

    if (!PyArg_ParseTuple(arguments, "s#s#:distance", &one, &one_size, &other, &other_size))
        return NULL;
    row = PyMem_New(Py_ssize_t, other_size + 1);
    if (row == NULL)
        return PyErr_NoMemory();
    result = levenshtein(one, one_size, other, other_size, row);
    PyMem_Free(row);
    return PyInt_FromSsize_t(result);
}

static PyMethodDef methods[] = {
    {"distance", distance, METH_VARARGS, distance_doc},
    {NULL, NULL, 0, NULL},
};

PyMODINIT_FUNC
initeditdistance(void)
{
    Py_InitModule3("editdistance", methods, "Distances between strings.");
}
