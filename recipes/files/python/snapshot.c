/*
 * Starting from a snapshot: the loader calls pynbox_snapshot_init() once, when the interpreter is installed, and keeps the memory
 * and globals that it leaves. Each later start then calls pynbox_snapshot_resume() on a copy of them, in place of _start().
 *
 * The snapshot is an interpreter as `python` without options makes it in an empty environment, just before it looks at its arguments.
 * What may differ from start to start is done again on resume: environment, arguments, whether the streams are a terminal. What can't be
 * done again (options and variables that change how the interpreter initialises itself) is listed in the custom section
 * `pynbox.snapshot`, a line each; the loader then takes the cold way, _start():
 *
 *     cold-env PREFIX   if a variable's name begins with PREFIX
 *     cold-arg -X       if the letter X is among the leading options
 *     end-arg -X        the option X takes all that follows: no option is looked for there
 *
 * Nothing random is in the snapshot, so that it is the same for every installation: string hashes are not randomised without -R, `random`
 * has not been imported, and the C library's guard of stacks is set on resume.
 * The loader must open the same directories, under the same descriptors, for init and resume (it has one: 3, "/").
 */
#include "Python.h"
#include "grammar.h"
#include "start.h"

#include <stdint.h>
#include <unistd.h>
#include <wasi/libc-environ.h>

__asm__(".section .custom_section.pynbox.snapshot,\"\",@\n"
        ".ascii \"cold-env PYTHON\\n\"\n"
        ".ascii \"cold-env HOME\\n\"\n" /* site looks for packages of the user's there */
        ".ascii \"cold-arg -3\\n\"\n"
        ".ascii \"cold-arg -b\\n\"\n"
        ".ascii \"cold-arg -B\\n\"\n"
        ".ascii \"cold-arg -d\\n\"\n"
        ".ascii \"cold-arg -E\\n\"\n"
        ".ascii \"cold-arg -i\\n\"\n"
        ".ascii \"cold-arg -O\\n\"\n"
        ".ascii \"cold-arg -Q\\n\"\n"
        ".ascii \"cold-arg -R\\n\"\n"
        ".ascii \"cold-arg -s\\n\"\n"
        ".ascii \"cold-arg -S\\n\"\n"
        ".ascii \"cold-arg -t\\n\"\n"
        ".ascii \"cold-arg -U\\n\"\n"
        ".ascii \"cold-arg -v\\n\"\n"
        ".ascii \"cold-arg -W\\n\"\n"
        ".ascii \"cold-arg -X\\n\"\n"
        ".ascii \"end-arg -c\\n\"\n"
        ".ascii \"end-arg -m\\n\"\n"
        ".text\n");

#define EXPORT(name) __attribute__((export_name(#name)))

extern void __wasm_call_ctors(void);
/* wasi-libc's: reads the arguments and calls main(). */
extern int __main_void(void);
/* wasi-libc's: a constructor sets it to random bytes. No function of ours looks at it. */
extern uintptr_t __stack_chk_guard;
/* Of patches. */
extern int (*_PyImport_Spare)(PyObject *module);
extern void _PyGC_Freeze(void);
extern grammar _PyParser_Grammar;

/*
 * The modules that the snapshot holds, and what their variables are. What a program gives to one of them makes that another state: the module
 * is then cleared at the end, as all modules of the program's are, so that what was given to it goes as it would have gone without a snapshot.
 */
#define MODULES_MAX 128
static struct {
    PyObject *module;
    uint64_t state;
} modules[MODULES_MAX];
static int module_count;

static uint64_t
state_of(PyObject *module)
{
    PyDictObject *variables = (PyDictObject *)PyModule_GetDict(module);
    uint64_t state = (uint64_t)variables->ma_mask;
    Py_ssize_t i;

    for (i = 0; i <= variables->ma_mask; i++) {
        state = (state ^ (uintptr_t)variables->ma_table[i].me_key) * UINT64_C(0x100000001b3);
        state = (state ^ (uintptr_t)variables->ma_table[i].me_value) * UINT64_C(0x100000001b3);
    }
    return state;
}

static int
is_spared(PyObject *module)
{
    int i;

    for (i = 0; i < module_count; i++)
        if (modules[i].module == module)
            return modules[i].state == state_of(module);
    return 0;
}

static void
spare_modules(void)
{
    PyObject *name, *module;
    Py_ssize_t at = 0;

    while (PyDict_Next(PyImport_GetModuleDict(), &at, &name, &module) && module_count < MODULES_MAX) {
        if (!PyModule_Check(module))
            continue;
        Py_INCREF(module);
        modules[module_count].module = module;
        modules[module_count++].state = state_of(module);
    }
    _PyImport_Spare = is_spared;
}

EXPORT(pynbox_snapshot_init)
void
pynbox_snapshot_init(void)
{
    __wasm_call_ctors();
    __stack_chk_guard = 0;
    start_settings();
    Py_Initialize();
    /* Otherwise the first parser does it. */
    PyGrammar_AddAccelerators(&_PyParser_Grammar);
    PyGC_Collect();
    _PyGC_Freeze();
    spare_modules();
    __wasilibc_deinitialize_environ();
}

/* posix.environ is the very dictionary behind os.environ. */
static int
read_environment(void)
{
    PyObject *posix, *variables, *name, *value;
    char **entry, *equals;
    int failed = 0;

    posix = PyImport_ImportModule("posix");
    if (posix == NULL)
        return -1;
    variables = PyObject_GetAttrString(posix, "environ");
    Py_DECREF(posix);
    if (variables == NULL)
        return -1;
    PyDict_Clear(variables);
    for (entry = __wasilibc_get_environ(); *entry && !failed; entry++) {
        equals = strchr(*entry, '=');
        if (equals == NULL)
            continue;
        name = PyString_FromStringAndSize(*entry, equals - *entry);
        value = PyString_FromString(equals + 1);
        /* Of two entries with one name the first one counts, as in a cold start. */
        failed = name == NULL || value == NULL
            || (PyDict_GetItem(variables, name) == NULL && PyDict_SetItem(variables, name, value));
        Py_XDECREF(name);
        Py_XDECREF(value);
    }
    Py_DECREF(variables);
    return failed ? -1 : 0;
}

/* A stream that is a terminal has an encoding, as Py_Initialize() would have given it. */
static int
look_at_stream(const char *name, int fd)
{
    PyObject *stream = PySys_GetObject((char *)name);

    if (stream == NULL || !PyFile_Check(stream) || !isatty(fd))
        return 0;
    return PyFile_SetEncodingAndErrors(stream, "UTF-8", NULL) ? 0 : -1;
}

EXPORT(pynbox_snapshot_resume)
void
pynbox_snapshot_resume(void)
{
    if (getentropy(&__stack_chk_guard, sizeof __stack_chk_guard))
        Py_FatalError("no random bytes");
    /* `environ` itself, for those who use it directly. */
    __wasilibc_maybe_reinitialize_environ_eagerly();
    if (read_environment() || look_at_stream("stdin", STDIN_FILENO) || look_at_stream("stdout", STDOUT_FILENO)
        || look_at_stream("stderr", STDERR_FILENO)) {
        PyErr_Print();
        Py_FatalError("the snapshot can't be resumed");
    }
    /* Py_Main() finds the interpreter initialised, and goes on from there. */
    exit(__main_void());
}
