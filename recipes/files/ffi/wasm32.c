/*
 * Calls by types that are known at run time alone: see ffi.h.
 */
#include "ffi.h"

#include <alloca.h>
#include <fcntl.h>
#include <sandbox/calls.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <wchar.h>

/* Python's; its headers are not here. */
extern int PyOS_snprintf(char *text, size_t size, const char *format, ...);
#ifdef PYTHON3
extern void *PyBytes_FromFormat(const char *format, ...);
extern void *PyUnicode_FromFormat(const char *format, ...);
extern void PySys_FormatStderr(const char *format, ...);
extern void PySys_FormatStdout(const char *format, ...);
extern void PySys_WriteStderr(const char *format, ...);
extern void PySys_WriteStdout(const char *format, ...);
extern int PyErr_WarnFormat(void *category, int level, const char *format, ...);
extern void *PyTuple_Pack(int size, ...);
extern int PyArg_Parse(void *argument, const char *format, ...);
extern int PyArg_UnpackTuple(void *arguments, const char *name, int least, int most, ...);
extern void *PyObject_CallFunctionObjArgs(void *callable, ...);
extern void *PyObject_CallMethodObjArgs(void *object, void *name, ...);
#else
extern void *PyString_FromFormat(const char *format, ...);
#endif
extern void *PyErr_Format(void *exception, const char *format, ...);
extern void *Py_BuildValue(const char *format, ...);
extern int PyArg_ParseTuple(void *arguments, const char *format, ...);
extern void *PyObject_CallFunction(void *callable, char *format, ...);
extern void *PyObject_CallMethod(void *object, char *name, char *format, ...);

/*
 * The functions of the program that take any number of arguments: these lie in memory, and the function gets the address. Nothing but
 * its declaration tells such a function from another one.
 */
#define VARIADIC(function, fixed) {(void *)function, fixed}

static const struct {
    void *function;
    unsigned fixed;
} variadic[] = {
    VARIADIC(printf, 1), VARIADIC(fprintf, 2), VARIADIC(sprintf, 2), VARIADIC(snprintf, 3), VARIADIC(dprintf, 2),
    VARIADIC(scanf, 1), VARIADIC(fscanf, 2), VARIADIC(sscanf, 2), VARIADIC(wprintf, 1), VARIADIC(fwprintf, 2),
    VARIADIC(swprintf, 3), VARIADIC(wscanf, 1), VARIADIC(fwscanf, 2), VARIADIC(swscanf, 2), VARIADIC(open, 2),
    VARIADIC(openat, 3), VARIADIC(fcntl, 2), VARIADIC(syslog, 2), VARIADIC(PyOS_snprintf, 3),
#ifdef PYTHON3
    VARIADIC(PyBytes_FromFormat, 1), VARIADIC(PyUnicode_FromFormat, 1), VARIADIC(PySys_FormatStderr, 1),
    VARIADIC(PySys_FormatStdout, 1), VARIADIC(PySys_WriteStderr, 1), VARIADIC(PySys_WriteStdout, 1), VARIADIC(PyErr_WarnFormat, 3),
    VARIADIC(PyTuple_Pack, 1), VARIADIC(PyArg_Parse, 2), VARIADIC(PyArg_UnpackTuple, 4), VARIADIC(PyObject_CallFunctionObjArgs, 1),
    VARIADIC(PyObject_CallMethodObjArgs, 2),
#else
    VARIADIC(PyString_FromFormat, 1),
#endif
    VARIADIC(PyErr_Format, 2), VARIADIC(Py_BuildValue, 1), VARIADIC(PyArg_ParseTuple, 2),
    VARIADIC(PyObject_CallFunction, 2), VARIADIC(PyObject_CallMethod, 3),
};

/* How many arguments of a function are passed one by one. */
static unsigned
fixed(void *function, unsigned count)
{
    unsigned index;

    for (index = 0; index < sizeof variadic / sizeof *variadic; index++)
        if (variadic[index].function == function && variadic[index].fixed <= count)
            return variadic[index].fixed;
    return count;
}

/* The loader's most. A long double takes two. */
#define PARAMETERS_MAX 255

/* How a type is passed: by one letter, or else. */
#define NOTHING 0
#define ADDRESS 'a'
#define QUAD 'q'

/* The one scalar that a structure consists of; the type itself if it is none, and NULL if there is no such scalar. */
static const ffi_type *
scalar(const ffi_type *type)
{
    const ffi_type *found = NULL;
    ffi_type **element;

    if (type->type != FFI_TYPE_STRUCT)
        return type;
    for (element = type->elements; element && *element; element++) {
        if ((*element)->type == FFI_TYPE_STRUCT && (*element)->size == 0)
            continue;
        if (found)
            return NULL;
        found = scalar(*element);
        if (found == NULL)
            return NULL;
    }
    return found && found->size == type->size ? found : NULL;
}

static char
way(const ffi_type *type)
{
    if (type->type == FFI_TYPE_STRUCT && type->size == 0)
        return NOTHING;
    type = scalar(type);
    if (type == NULL)
        return ADDRESS;
    switch (type->type) {
    case FFI_TYPE_VOID:
        return NOTHING;
    case FFI_TYPE_FLOAT:
        return 'f';
    case FFI_TYPE_DOUBLE:
        return 'd';
    case FFI_TYPE_LONGDOUBLE:
        return QUAD;
    case FFI_TYPE_UINT64:
    case FFI_TYPE_SINT64:
        return 'l';
    default:
        return 'i';
    }
}

/* Whether the caller gives an address for the result. */
static int
returned_in_memory(const ffi_cif *cif)
{
    char result = way(cif->result);

    return result == ADDRESS || result == QUAD;
}

/* Writes the signature of a function that takes `passed` arguments one by one; FFI_BAD_TYPEDEF if it has too many parameters. */
static ffi_status
describe(const ffi_cif *cif, unsigned passed, char signature[PARAMETERS_MAX + 3])
{
    unsigned count = 0, argument;

    if (returned_in_memory(cif))
        signature[count++] = 'i';
    for (argument = 0; argument < passed; argument++) {
        char letter = way(cif->arguments[argument]);

        if (count + 2 > PARAMETERS_MAX)
            return FFI_BAD_TYPEDEF;
        if (letter == QUAD)
            signature[count++] = 'l';
        if (letter != NOTHING)
            signature[count++] = letter == QUAD ? 'l' : letter == ADDRESS ? 'i' : letter;
    }
    signature[count] = '>';
    signature[count + 1] = returned_in_memory(cif) ? 0 : way(cif->result);
    signature[count + 2] = 0;
    return FFI_OK;
}

/* Reads a value of up to 8 bytes into a slot, an integer with its sign. */
static uint64_t
read_value(const ffi_type *type, const void *value)
{
    uint64_t slot = 0;

    switch (scalar(type)->type) {
    case FFI_TYPE_SINT8:
        return (uint64_t)(int64_t)*(const int8_t *)value;
    case FFI_TYPE_SINT16:
        return (uint64_t)(int64_t)*(const int16_t *)value;
    default:
        memcpy(&slot, value, type->size < sizeof slot ? type->size : sizeof slot);
        return slot;
    }
}

ffi_status
ffi_prep_cif(ffi_cif *cif, ffi_abi abi, unsigned count, ffi_type *result, ffi_type **arguments)
{
    char signature[PARAMETERS_MAX + 3];

    if (abi != FFI_DEFAULT_ABI)
        return FFI_BAD_ABI;
    *cif = (ffi_cif){.arguments = arguments, .result = result, .count = count};
    return describe(cif, count, signature);
}

/* Calls with this signature, or with one that differs in whether there is a result. */
static int
call(void *function, char *signature, const uint64_t *slots, uint64_t *result)
{
    static const char results[] = "ildf";
    char *letter = strchr(signature, '>') + 1;
    const char *other;

    *result = 0;
    if (sandbox_call(function, signature, slots, result) == 0)
        return 0;
    if (*letter) {
        char asked = *letter;

        *letter = 0;
        if (sandbox_call(function, signature, slots, result) == 0)
            return 0;
        *letter = asked;
    }
    else
        for (other = results; *other; other++) {
            letter[0] = *other;
            letter[1] = 0;
            if (sandbox_call(function, signature, slots, result) == 0)
                return 0;
            *letter = 0;
        }
    /* The message is to be about what was asked. */
    return sandbox_call(function, signature, slots, result);
}

/* Memory for a copy of a value; whoever asks has 16 bytes more than it needs. */
static void *
aligned(void *memory)
{
    return (void *)(((uintptr_t)memory + 15) & ~(uintptr_t)15);
}

int
ffi_call(ffi_cif *cif, void *function, void *result, void **arguments)
{
    char signature[PARAMETERS_MAX + 4], *rest, *next;
    unsigned argument, at = 0, passed = fixed(function, cif->count);
    /* Two slots are the most that one argument takes; one is for the address of the result, and one for that of the rest. */
    uint64_t *slots = alloca((2 * cif->count + 2) * sizeof *slots), returned = 0;

    if (describe(cif, passed, signature) != FFI_OK)
        return -1;
    if (returned_in_memory(cif))
        slots[at++] = (uintptr_t)result;
    next = rest = aligned(alloca((cif->count - passed) * 32 + 32));
    for (argument = 0; argument < cif->count; argument++) {
        const ffi_type *type = cif->arguments[argument];
        char letter = way(type);
        uint64_t value[2];
        double wider;
        size_t size;

        switch (letter) {
        case NOTHING:
            continue;
        case ADDRESS:
            /* The callee owns what it gets. */
            value[0] = (uintptr_t)memcpy(aligned(alloca(type->size + 16)), arguments[argument], type->size);
            break;
        case QUAD:
            memcpy(value, arguments[argument], 16);
            break;
        default:
            value[0] = read_value(type, arguments[argument]);
        }
        if (argument < passed) {
            slots[at++] = value[0];
            if (letter == QUAD)
                slots[at++] = value[1];
            continue;
        }
        if (letter == 'f') {
            wider = *(float *)arguments[argument];
            memcpy(value, &wider, sizeof wider);
            letter = 'd';
        }
        size = letter == QUAD ? 16 : letter == 'l' || letter == 'd' ? 8 : 4;
        next = (char *)(((uintptr_t)next + size - 1) & ~(uintptr_t)(size - 1));
        memcpy(next, value, size);
        next += size;
    }
    if (passed < cif->count || fixed(function, ~0u) != ~0u) {
        char *end = strchr(signature, '>');

        memmove(end + 1, end, strlen(end) + 1);
        *end = 'i';
        slots[at++] = (uintptr_t)rest;
    }
    if (call(function, signature, slots, &returned))
        return -1;
    if (result == NULL || returned_in_memory(cif) || way(cif->result) == NOTHING)
        return 0;
    if (cif->result->type != FFI_TYPE_STRUCT && cif->result->size < sizeof(ffi_arg)) {
        ffi_arg extended = read_value(cif->result, &returned);

        memcpy(result, &extended, sizeof extended);
    }
    else
        memcpy(result, &returned, cif->result->size);
    return 0;
}

/* What a closure does when it is called. */
static void
dispatch(void *user, const uint64_t slots[], uint64_t *result)
{
    ffi_closure *closure = user;
    ffi_cif *cif = closure->cif;
    void **arguments = alloca((cif->count + 1) * sizeof *arguments);
    void *returned = result;
    unsigned argument;

    if (returned_in_memory(cif))
        returned = (void *)(uintptr_t)*slots++;
    for (argument = 0; argument < cif->count; argument++)
        switch (way(cif->arguments[argument])) {
        case NOTHING:
            arguments[argument] = NULL;
            break;
        case ADDRESS:
            arguments[argument] = (void *)(uintptr_t)*slots++;
            break;
        case QUAD:
            arguments[argument] = memcpy(aligned(alloca(32)), slots, 16);
            slots += 2;
            break;
        default:
            arguments[argument] = (void *)slots++;
        }
    closure->function(cif, returned, arguments, closure->user);
    if (!returned_in_memory(cif) && way(cif->result) == 'i')
        *result = read_value(cif->result, result);
}

void *
ffi_closure_alloc(size_t size, void **address)
{
    *address = NULL;
    return calloc(1, size);
}

void
ffi_closure_free(void *memory)
{
    ffi_closure *closure = memory;

    if (closure->address)
        sandbox_unmake(closure->address);
    free(closure);
}

ffi_status
ffi_prep_closure_loc(ffi_closure *closure, ffi_cif *cif,
                     void (*function)(ffi_cif *cif, void *result, void **arguments, void *user), void *user, void *address)
{
    char signature[PARAMETERS_MAX + 3];

    if (describe(cif, cif->count, signature) != FFI_OK)
        return FFI_BAD_TYPEDEF;
    *closure = (ffi_closure){.cif = cif, .function = function, .user = user};
    closure->address = sandbox_make(signature, dispatch, closure);
    return closure->address ? FFI_OK : FFI_BAD_ABI;
}
