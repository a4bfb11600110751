/*
 * The sandboxed interpreter's main program.
 *
 * Everything lies below /python, whatever a program is called and wherever it was found; PYTHONHOME still changes that.
 */
#include "Python.h"
#include "start.h"

#include <string.h>

void
start_settings(void)
{
    if (getenv("PYTHONHOME") == NULL)
        Py_SetPythonHome("/python");
    Py_SetProgramName(PYTHON_PROGRAM);
}

int
main(int argc, char **argv)
{
    start_settings();
    /* sys.executable is made of argv[0]; without a slash it would be looked for in PATH, which is empty. */
    if (argc > 0 && strchr(argv[0], '/') == NULL)
        argv[0] = PYTHON_PROGRAM;
    return Py_Main(argc, argv);
}
