/*
 * What wasm2c's code calls of the host, function by function: DECLARED or NEVER_RETURNS(symbol, number, parameters, the arguments' names). Without
 * these macros they are declared, so that the code of a module that imports one with another type does not compile.
 */
#ifndef DECLARED
#define DECLARED(symbol, number, parameters, ...) uint32_t symbol parameters;
#define NEVER_RETURNS(symbol, number, parameters, ...) void symbol parameters;
#endif

/* The names that wasm2c has for the modules. */
#define NAME_wasi_snapshot_preview1 wasi__snapshot__preview1
#define NAME_pynbox pynbox
#define JOINED(begin, end) begin##end
#define INSTANCE(module) struct JOINED(w2c_, module)
#define SYMBOL_OF(module, name) w2c_##module##_##name
#define SYMBOL(module, name) SYMBOL_OF(module, name)

INSTANCE(NAME_wasi_snapshot_preview1);
INSTANCE(NAME_pynbox);

#define I uint32_t
#define L uint64_t
#define CALL_V(s, n, of) DECLARED(s, n, (of), 0)
#define CALL_I(s, n, of) DECLARED(s, n, (of, I a), a)
#define CALL_II(s, n, of) DECLARED(s, n, (of, I a, I b), a, b)
#define CALL_III(s, n, of) DECLARED(s, n, (of, I a, I b, I c), a, b, c)
#define CALL_IIII(s, n, of) DECLARED(s, n, (of, I a, I b, I c, I d), a, b, c, d)
#define CALL_IIIII(s, n, of) DECLARED(s, n, (of, I a, I b, I c, I d, I e), a, b, c, d, e)
#define CALL_IIIIII(s, n, of) DECLARED(s, n, (of, I a, I b, I c, I d, I e, I f), a, b, c, d, e, f)
#define CALL_IIIIIII(s, n, of) DECLARED(s, n, (of, I a, I b, I c, I d, I e, I f, I g), a, b, c, d, e, f, g)
#define CALL_IIIIILLII(s, n, of) \
    DECLARED(s, n, (of, I a, I b, I c, I d, I e, L f, L g, I h, I i), a, b, c, d, e, f, g, h, i)
#define CALL_IIIILLI(s, n, of) DECLARED(s, n, (of, I a, I b, I c, I d, L e, L f, I g), a, b, c, d, e, f, g)
#define CALL_IIILI(s, n, of) DECLARED(s, n, (of, I a, I b, I c, L d, I e), a, b, c, d, e)
#define CALL_IL(s, n, of) DECLARED(s, n, (of, I a, L b), a, b)
#define CALL_ILI(s, n, of) DECLARED(s, n, (of, I a, L b, I c), a, b, c)
#define CALL_ILII(s, n, of) DECLARED(s, n, (of, I a, L b, I c, I d), a, b, c, d)
#define CALL_ILL(s, n, of) DECLARED(s, n, (of, I a, L b, L c), a, b, c)
#define CALL_ILLI(s, n, of) DECLARED(s, n, (of, I a, L b, L c, I d), a, b, c, d)
#define CALL_NI(s, n, of) NEVER_RETURNS(s, n, (of, I a), a)
#define CALL(module, name, parameters) \
    CALL_##parameters(SYMBOL(NAME_##module, name), NATIVE_##module##_##name, INSTANCE(NAME_##module) *of)
#include "calls.h"
#undef CALL
#undef I
#undef L
