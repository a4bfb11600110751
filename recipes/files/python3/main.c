/*
 * The sandboxed interpreter's main program.
 *
 * Everything lies below PYTHON_HOME, whatever a program is called and wherever it was found; the variable PYTHONHOME still changes that.
 * File names and streams are UTF-8, as there is no other locale.
 */
#include "start.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

PyStatus
start(int argc, char **argv, int for_snapshot)
{
    PyPreConfig before;
    PyConfig config;
    PyStatus status;

    setlocale(LC_CTYPE, "C.UTF-8");
    PyPreConfig_InitPythonConfig(&before);
    before.utf8_mode = 1;
    before.coerce_c_locale = 0;
    status = Py_PreInitializeFromBytesArgs(&before, argc, argv);
    if (PyStatus_Exception(status))
        return status;
    PyConfig_InitPythonConfig(&config);
    if (for_snapshot) {
        config.use_hash_seed = 1;
        config.hash_seed = 0;
        seed_watch();
    }
    status = PyConfig_SetBytesArgv(&config, argc, argv);
    if (!PyStatus_Exception(status) && getenv("PYTHONHOME") == NULL)
        status = PyConfig_SetBytesString(&config, &config.home, PYTHON_HOME);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesString(&config, &config.program_name, PYTHON_PROGRAM);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return status;
}

int
main(int argc, char **argv)
{
    PyStatus status;

    /* sys.executable is made of argv[0]; without a slash it would be looked for in PATH, which is empty. */
    if (argc > 0 && strchr(argv[0], '/') == NULL)
        argv[0] = PYTHON_PROGRAM;
    if (Py_IsInitialized())
        return resume(argc, argv);
    status = start(argc, argv, 0);
    if (PyStatus_IsExit(status))
        return status.exitcode;
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
    return Py_RunMain();
}
