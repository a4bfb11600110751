/*
 * The part of libffi's interface that Python's ctypes uses. For WebAssembly, functions are called and made by the sandbox's loader
 * (sandbox/calls.h), after the C ABI of wasm32: a structure of one scalar is that scalar, any other one and a long double are passed by
 * address. For Native Client, see x86_64.c.
 *
 * It differs from libffi in two ways. Where a call of a function that has another type than the caller says can't take place, ffi_call()
 * tells. And the address of a closure is known for certain when it has been prepared, by ffi_closure_address(), not when it is allocated.
 */
#ifndef FFI_H
#define FFI_H

#include <stddef.h>
#include <stdint.h>

#define FFI_TYPE_VOID 0
#define FFI_TYPE_INT 1
#define FFI_TYPE_FLOAT 2
#define FFI_TYPE_DOUBLE 3
#define FFI_TYPE_LONGDOUBLE 4
#define FFI_TYPE_UINT8 5
#define FFI_TYPE_SINT8 6
#define FFI_TYPE_UINT16 7
#define FFI_TYPE_SINT16 8
#define FFI_TYPE_UINT32 9
#define FFI_TYPE_SINT32 10
#define FFI_TYPE_UINT64 11
#define FFI_TYPE_SINT64 12
#define FFI_TYPE_STRUCT 13
#define FFI_TYPE_POINTER 14

/* `elements` of a structure ends with NULL. */
typedef struct _ffi_type {
    size_t size;
    unsigned short alignment;
    unsigned short type;
    struct _ffi_type **elements;
} ffi_type;

/* The ctypes of Python 2.7 defines them itself; for Python 3, types.c does. */
extern ffi_type ffi_type_void, ffi_type_float, ffi_type_double, ffi_type_longdouble, ffi_type_pointer;
extern ffi_type ffi_type_uint8, ffi_type_sint8, ffi_type_uint16, ffi_type_sint16;
extern ffi_type ffi_type_uint32, ffi_type_sint32, ffi_type_uint64, ffi_type_sint64;

#define ffi_type_uchar ffi_type_uint8
#define ffi_type_schar ffi_type_sint8
#define ffi_type_ushort ffi_type_uint16
#define ffi_type_sshort ffi_type_sint16
#define ffi_type_uint ffi_type_uint32
#define ffi_type_sint ffi_type_sint32
#define ffi_type_ulong ffi_type_uint32
#define ffi_type_slong ffi_type_sint32

typedef unsigned long ffi_arg;
typedef signed long ffi_sarg;

typedef enum { FFI_OK, FFI_BAD_TYPEDEF, FFI_BAD_ABI } ffi_status;
typedef enum { FFI_DEFAULT_ABI = 1 } ffi_abi;

typedef struct {
    ffi_type **arguments;
    ffi_type *result;
    unsigned count;
} ffi_cif;

typedef struct {
    void *address;
    ffi_cif *cif;
    void (*function)(ffi_cif *cif, void *result, void **arguments, void *user);
    void *user;
} ffi_closure;

/* FFI_BAD_TYPEDEF for more parameters than a function can have. */
ffi_status ffi_prep_cif(ffi_cif *cif, ffi_abi abi, unsigned count, ffi_type *result, ffi_type **arguments);

/*
 * Calls a function. `result` has room for a ffi_arg at least; an integer that is smaller is extended to one. Where the types differ in
 * the result alone, and one of them has none, the call is made: C's callers don't mind either. -1 if no call was made, and dlerror() says
 * why.
 */
int ffi_call(ffi_cif *cif, void *function, void *result, void **arguments);

void *ffi_closure_alloc(size_t size, void **address);
void ffi_closure_free(void *closure);
ffi_status ffi_prep_closure_loc(ffi_closure *closure, ffi_cif *cif,
                                void (*function)(ffi_cif *cif, void *result, void **arguments, void *user), void *user,
                                void *address);
/* The function that a prepared closure is. */
#define ffi_closure_address(closure) (((ffi_closure *)(closure))->address)

#endif
