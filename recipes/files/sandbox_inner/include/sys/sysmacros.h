/*
 * The numbers of a device, put together as Linux does.
 */
#ifndef SANDBOX_SYS_SYSMACROS_H
#define SANDBOX_SYS_SYSMACROS_H

#define major(device) ((unsigned)(((device) >> 31 >> 1 & 0xfffff000u) | ((device) >> 8 & 0xfffu)))
#define minor(device) ((unsigned)(((device) >> 12 & 0xffffff00u) | ((device) & 0xffu)))
#define makedev(major, minor)                                                                                                    \
    (((major) & 0xfffff000ull) << 32 | ((major) & 0xfffull) << 8 | ((minor) & 0xffffff00ull) << 12 | ((minor) & 0xffull))

#endif
