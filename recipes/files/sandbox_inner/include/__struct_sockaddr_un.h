/*
 * The address of a local socket, in place of wasi-libc's, which has no path.
 */
#ifndef SANDBOX___STRUCT_SOCKADDR_UN_H
#define SANDBOX___STRUCT_SOCKADDR_UN_H

#include <__typedef_sa_family_t.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sockaddr_un {
    sa_family_t sun_family;
    char sun_path[108];
};

#ifdef __cplusplus
}
#endif

#endif
