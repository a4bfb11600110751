#ifndef SANDBOX_FAILURE_H
#define SANDBOX_FAILURE_H

/* Keeps what the loader says of its last failure, for dlerror(). */
void fail_as_told(void);

#endif
