/* What the two ways to start the interpreter share: main() and the snapshot. */
#ifndef PYNBOX_START_H
#define PYNBOX_START_H

/* The interpreter in the guest: sys.executable, a file that is there. */
#define PYTHON_PROGRAM "/python/bin/python.wasm"

/* Settings that must stand before Py_Initialize(). */
void start_settings(void);

#endif
