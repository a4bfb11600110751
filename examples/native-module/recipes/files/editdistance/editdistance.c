/*
 * The distance between two byte strings, for Python 2.7 and Python 3.
 */
/* Lengths are Py_ssize_t in both. */
#define PY_SSIZE_T_CLEAN
#include "Python.h"

#include "distance.h"

PyDoc_STRVAR(distance_doc, "distance(a, b) -> how many bytes have to change to make one string of the other");

static PyObject *
distance(PyObject *self, PyObject *arguments)
{
    const char *one, *other;
    Py_ssize_t one_size, other_size;
    size_t *row, result;

    if (!PyArg_ParseTuple(arguments, "s#s#:distance", &one, &one_size, &other, &other_size))
        return NULL;
    row = PyMem_New(size_t, (size_t) other_size + 1);
    if (row == NULL)
        return PyErr_NoMemory();
    result = levenshtein(one, (size_t) one_size, other, (size_t) other_size, row);
    PyMem_Free(row);
#if PY_MAJOR_VERSION >= 3
    return PyLong_FromSize_t(result);
#else
    return PyInt_FromSize_t(result);
#endif
}

static PyMethodDef methods[] = {
    {"distance", distance, METH_VARARGS, distance_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(module_doc, "Distances between strings.");

/* What Python calls when it has loaded the module is what differs most. */
#if PY_MAJOR_VERSION >= 3
static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "editdistance",
    .m_doc = module_doc,
    .m_methods = methods,
};

PyMODINIT_FUNC
PyInit_editdistance(void)
{
    return PyModuleDef_Init(&module);
}
#else
PyMODINIT_FUNC
initeditdistance(void)
{
    Py_InitModule3("editdistance", methods, module_doc);
}
#endif
