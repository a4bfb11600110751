/* Paths, as the loader wants them. */
#ifndef SANDBOX_PATHS_H
#define SANDBOX_PATHS_H

/*
 * A directory descriptor and a path relative to it, of the arguments of an *at() function. AT_FDCWD and absolute paths go through
 * wasi-libc's table of open directories. The buffer has PATH_MAX bytes. -1 on error.
 */
int locate(int dir, const char **path, char *buffer);

#endif
