/*
 * What of signals needs the operating system. Handlers and raise() are wasi-libc's emulation.
 */
#include "refuse.h"

#include <sys/time.h>

REFUSE(int, getitimer, int, struct itimerval *)
REFUSE(int, setitimer, int, const struct itimerval *, struct itimerval *)
