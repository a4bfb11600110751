/*
 * Starting from a snapshot: the loader calls pynbox_snapshot_init() once, when the interpreter is installed, and keeps the memory
 * and globals that it leaves. Each later start then calls pynbox_snapshot_resume() on a copy of them, in place of _start().
 *
 * The snapshot is an interpreter as `python3` without options makes it in an empty environment, just before it looks at its arguments.
 * What may differ from start to start is done again on resume: the seed of hashes, environment, zone, arguments, the streams. What can't be
 * done again (options and variables that change how the interpreter initialises itself) is listed in the custom section
 * `pynbox.snapshot`, a line each; the loader then takes the cold way, _start(): see the snapshot of Python 2.7.
 *
 * Nothing random is in the snapshot, so that it is the same for every installation: the seed is drawn on resume (seed.c), `random` has not
 * been imported, and the C library's guard of stacks is set on resume.
 */
#include "start.h"

#include "pycore_gc.h"
#include "pycore_initconfig.h"
#include "pycore_interp.h"
#include "pycore_moduleobject.h"
#include "pycore_pylifecycle.h"
#include "pycore_pystate.h"
#include "pycore_sysmodule.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasi/libc-environ.h>

__asm__(".section .custom_section.pynbox.snapshot,\"\",@\n"
        ".ascii \"cold-env PYTHON\\n\"\n"
        ".ascii \"cold-env HOME\\n\"\n" /* site looks for packages of the user's there */
        ".ascii \"cold-arg -b\\n\"\n"
        ".ascii \"cold-arg -B\\n\"\n"
        ".ascii \"cold-arg -d\\n\"\n"
        ".ascii \"cold-arg -E\\n\"\n"
        ".ascii \"cold-arg -i\\n\"\n"
        ".ascii \"cold-arg -I\\n\"\n"
        ".ascii \"cold-arg -O\\n\"\n"
        ".ascii \"cold-arg -P\\n\"\n"
        ".ascii \"cold-arg -R\\n\"\n"
        ".ascii \"cold-arg -s\\n\"\n"
        ".ascii \"cold-arg -S\\n\"\n"
        ".ascii \"cold-arg -u\\n\"\n"
        ".ascii \"cold-arg -v\\n\"\n"
        ".ascii \"cold-arg -W\\n\"\n"
        ".ascii \"cold-arg -X\\n\"\n"
        ".ascii \"cold-arg --check\\n\"\n"
        ".ascii \"end-arg -c\\n\"\n"
        ".ascii \"end-arg -m\\n\"\n"
        ".text\n");

#define EXPORT(name) __attribute__((export_name(#name)))

extern void __wasm_call_ctors(void);
/* wasi-libc's: reads the arguments and calls main(). */
extern int __main_void(void);
/* wasi-libc's: a constructor sets it to random bytes. No function of ours looks at it. */
extern uintptr_t __stack_chk_guard;

/*
 * The variables of the modules that the snapshot holds, and their version, which each change of one makes another: the module is then cleared
 * at the end, as all modules of the program's are, so that what was given to it goes as it would have gone without a snapshot.
 */
#define MODULES_MAX 128
static struct {
    PyObject *variables;
    uint64_t version;
} modules[MODULES_MAX];
static int module_count;

static uint64_t
version_of(PyObject *variables)
{
    _Py_COMP_DIAG_PUSH
    _Py_COMP_DIAG_IGNORE_DEPR_DECLS
    return ((PyDictObject *)variables)->ma_version_tag;
    _Py_COMP_DIAG_POP
}

static int
is_spared(PyObject *variables)
{
    int i;

    for (i = 0; i < module_count; i++)
        if (modules[i].variables == variables)
            return modules[i].version == version_of(variables);
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
        modules[module_count].variables = PyModule_GetDict(module);
        modules[module_count].version = version_of(modules[module_count].variables);
        module_count++;
    }
    _PyModule_Spare = is_spared;
}

EXPORT(pynbox_snapshot_init)
void
pynbox_snapshot_init(void)
{
    char *argv[] = {PYTHON_PROGRAM, NULL};
    PyStatus status;

    __wasm_call_ctors();
    __stack_chk_guard = 0;
    status = start(1, argv, 1);
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
    PyGC_Collect();
    _PyGC_FreezeSnapshot(_PyInterpreterState_GET());
    spare_modules();
    seed_hold();
    __wasilibc_deinitialize_environ();
}

EXPORT(pynbox_snapshot_resume)
void
pynbox_snapshot_resume(void)
{
    if (getentropy(&__stack_chk_guard, sizeof __stack_chk_guard))
        Py_FatalError("no random bytes");
    seed_draw();
    /* `environ` itself, for those who use it directly. */
    __wasilibc_maybe_reinitialize_environ_eagerly();
    /* main() finds the interpreter initialised, and calls resume(). */
    exit(__main_void());
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
        name = PyBytes_FromStringAndSize(*entry, equals - *entry);
        value = PyBytes_FromString(equals + 1);
        /* Of two entries with one name the first one counts, as in a cold start. */
        failed = name == NULL || value == NULL || PyDict_SetDefault(variables, name, value) == NULL;
        Py_XDECREF(name);
        Py_XDECREF(value);
    }
    Py_DECREF(variables);
    return failed ? -1 : 0;
}

/* `time` was imported when there was no TZ. */
static int
read_zone(void)
{
    PyObject *time, *done;

    if (getenv("TZ") == NULL)
        return 0;
    time = PyImport_ImportModule("time");
    if (time == NULL)
        return -1;
    done = PyObject_CallMethod(time, "tzset", NULL);
    Py_DECREF(time);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Takes the arguments over into the configuration, and that into `sys`, which gets no new `path`: it has what `site` added. */
static PyStatus
read_arguments(int argc, char **argv)
{
    PyThreadState *thread = _PyThreadState_GET();
    PyConfig *own = &thread->interp->config, config;
    PyObject *path;
    PyStatus status;

    PyConfig_InitPythonConfig(&config);
    status = _PyConfig_Copy(&config, own);
    if (PyStatus_Exception(status))
        goto done;
    _PyWideStringList_Clear(&config.orig_argv);
    config.parse_argv = 1;
    config.use_hash_seed = 0;
    status = PyConfig_SetBytesArgv(&config, argc, argv);
    if (!PyStatus_Exception(status))
        status = PyConfig_Read(&config);
    if (!PyStatus_Exception(status))
        status = _PyConfig_Write(&config, &_PyRuntime);
    if (!PyStatus_Exception(status))
        status = _PyConfig_Copy(own, &config);
    if (PyStatus_Exception(status))
        goto done;
    path = Py_XNewRef(PySys_GetObject("path"));
    if (path == NULL || _PySys_UpdateConfig(thread) < 0 || PySys_SetObject("path", path) < 0)
        status = PyStatus_Error("`sys` can't be told of the arguments");
    Py_XDECREF(path);
done:
    PyConfig_Clear(&config);
    return status;
}

int
resume(int argc, char **argv)
{
    PyStatus status = read_arguments(argc, argv);

    if (!PyStatus_Exception(status))
        status = _Py_InitStreams(_PyThreadState_GET());
    if (!PyStatus_Exception(status) && read_environment())
        status = PyStatus_Error("the environment can't be read");
    if (!PyStatus_Exception(status) && read_zone())
        status = PyStatus_Error("the zone in TZ can't be read");
    if (PyStatus_IsExit(status))
        return status.exitcode;
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
    return Py_RunMain();
}
