/* What the program that trains has of its parts. */
#ifndef NATIVE_TRAIN_H
#define NATIVE_TRAIN_H

#include "runtime.h"

/* Numbers of WASI. */
enum { SUCCESS = 0, W_BADF = 8, W_FAULT = 21, W_INVAL = 28, W_IO = 29, W_ISDIR = 31, W_NAMETOOLONG = 37, W_NOENT = 44, W_NOEXEC = 45, W_NOMEM = 48,
       W_NOSYS = 52, W_NOTDIR = 54, W_ROFS = 69 };

/* The program that is trained. */
extern const struct native_module *module;
extern void *instance;

/* The guest's bytes at an address; NULL: they do not lie in its memory. */
void *bytes(uint64_t address, uint64_t length);
int put_32(uint64_t address, uint32_t value);

/* Loads the native module of this file; NULL, with a message: it is none that can run here. */
const struct native_module *load(const char *path);

/* Says where native code of libraries lies: in a folder for each, which is named by the library's path. */
void find_libraries_in(const char *folder);

/* The guest's calls for libraries: WASI's numbers, or something negative to end the guest. */
int64_t open_library(const uint64_t *arguments);
int64_t find_symbol(const uint64_t *arguments);

#endif
