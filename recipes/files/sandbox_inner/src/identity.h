/* The guest's user and group. */
#ifndef SANDBOX_IDENTITY_H
#define SANDBOX_IDENTITY_H

#define SANDBOX_UID 1000
#define SANDBOX_GID 1000

#endif
