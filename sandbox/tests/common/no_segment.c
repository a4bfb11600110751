/* Preloaded, it has the loader find a machine that lets no program set the base of `%gs`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/auxv.h>

/* Of Linux's `asm/hwcap2.h`. */
#define FSGSBASE 2UL

unsigned long getauxval(unsigned long type)
{
    unsigned long (*next)(unsigned long) = (unsigned long (*)(unsigned long))dlsym(RTLD_NEXT, "getauxval");

    return type == AT_HWCAP2 ? next(type) & ~FSGSBASE : next(type);
}
