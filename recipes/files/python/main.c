/*
 * The sandboxed interpreter's main program.
 *
 * Everything lies below /python, whatever a program is called and wherever it was found; PYTHONHOME still changes that.
 */
#include "Python.h"
#include "start.h"

#include <string.h>

#ifdef __wasm__
extern void __wasm_call_ctors(void);
/* wasi-libc's: reads the arguments and calls main(). */
extern int __main_void(void);

/*
 * In place of wasi-libc's (link with -nostartfiles). That one leaves it to the linker to call the constructors in every exported function,
 * which a snapshot must not have: it calls them itself, and then the linker calls them nowhere.
 */
__attribute__((export_name("_start")))
void
_start(void)
{
    __wasm_call_ctors();
    exit(__main_void());
}
#endif

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
