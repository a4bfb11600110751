/*
 * The distance between two byte strings, for Python.
 */
#include "Python.h"

#include "distance.h"

PyDoc_STRVAR(distance_doc, "distance(a, b) -> how many bytes have to change to make one string of the other");

static PyObject *
distance(PyObject *self, PyObject *arguments)
{
    const char *one, *other;
    int one_size, other_size;
    size_t *row, result;

    if (!PyArg_ParseTuple(arguments, "s#s#:distance", &one, &one_size, &other, &other_size))
        return NULL;
    row = PyMem_New(size_t, (size_t) other_size + 1);
    if (row == NULL)
        return PyErr_NoMemory();
    result = levenshtein(one, (size_t) one_size, other, (size_t) other_size, row);
    PyMem_Free(row);
    return PyInt_FromSize_t(result);
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
