/* What the two ways to start the interpreter share: main() and the snapshot. */
#ifndef PYNBOX_START_H
#define PYNBOX_START_H

/* PYTHON_PROGRAM, which the recipe defines, is the interpreter in the guest: sys.executable, a file that is there. */

/* Settings that must stand before Py_Initialize(). */
void start_settings(void);

#endif
