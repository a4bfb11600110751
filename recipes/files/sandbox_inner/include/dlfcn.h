/* Shared libraries, loaded by the sandbox's loader. */
#ifndef SANDBOX_DLFCN_H
#define SANDBOX_DLFCN_H

#ifdef __cplusplus
extern "C" {
#endif

/* Every symbol is found when a library is loaded, whichever of the two is asked for. */
#define RTLD_LAZY 1
#define RTLD_NOW 2
#define RTLD_LOCAL 0
#define RTLD_GLOBAL 0x100

/* The program, and all that was loaded with RTLD_GLOBAL. */
#define RTLD_DEFAULT ((void *)0)

/*
 * A path with a slash is that file; another name is looked for in the folders of LD_LIBRARY_PATH, and then in /slib. Without a name:
 * the program.
 */
void *dlopen(const char *, int);
void *dlsym(void *__restrict, const char *__restrict);
int dlclose(void *);
char *dlerror(void);

#ifdef __cplusplus
}
#endif

#endif
