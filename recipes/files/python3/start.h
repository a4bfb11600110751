/* What the two ways to start the interpreter share: main() and the snapshot. */
#ifndef PYNBOX_START_H
#define PYNBOX_START_H

#include "Python.h"

/* PYTHON_HOME, which the recipe defines, is the folder of everything; PYTHON_PROGRAM, too, is the interpreter in the guest:
   sys.executable, a file that is there. */

/* Initialises the interpreter with these arguments. For a snapshot, the seed of hashes is fixed instead of random. */
PyStatus start(int argc, char **argv, int for_snapshot);

/* Runs what the arguments say in an interpreter that a snapshot holds; gives the status of the program. */
int resume(int argc, char **argv);

/* seed.c: notes what depends on the seed from here on; forgets hashes and keeps what has to be made anew; draws a seed. */
void seed_watch(void);
void seed_hold(void);
void seed_draw(void);

#endif
