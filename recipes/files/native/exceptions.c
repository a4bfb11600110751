/*
 * Exceptions of guest code (wasm-rt-exceptions.h). Code that catches says where, and who throws jumps there: over frames of guest code alone,
 * since entering it from the host (runtime.c) leaves nothing that catches.
 */
#include "wasm-rt-exceptions.h"
#include "call.h"

#include <string.h>

/* The exception that was thrown last. */
static wasm_rt_tag_t tag;
static uint32_t size;
static _Alignas(8) uint8_t values[WASM_EXN_MAX_SIZE];
/* Where it is caught; NULL: not in the code that was entered last. */
static wasm_rt_jmp_buf *catches;

void wasm_rt_load_exception(const wasm_rt_tag_t of, uint32_t bytes, const void *from)
{
    if (bytes > sizeof values) {
        wasm_rt_trap(WASM_RT_TRAP_EXHAUSTION);
    }
    tag = of;
    size = bytes;
    if (bytes != 0) {
        memcpy(values, from, bytes);
    }
    /* Who takes it for a longer one finds nothing of older ones. */
    memset(values + bytes, 0, sizeof values - bytes);
}

wasm_rt_tag_t wasm_rt_exception_tag(void)
{
    return tag;
}

uint32_t wasm_rt_exception_size(void)
{
    return size;
}

void *wasm_rt_exception(void)
{
    return values;
}

wasm_rt_jmp_buf *wasm_rt_get_unwind_target(void)
{
    return catches;
}

void wasm_rt_set_unwind_target(wasm_rt_jmp_buf *target)
{
    catches = target;
}

void wasm_rt_throw(void)
{
    if (catches == NULL) {
        native_leave(NATIVE_THREW);
    }
    WASM_RT_LONGJMP(*catches, 1);
}

bool native_thrown(uint32_t *value)
{
    if (size != sizeof *value) {
        return false;
    }
    memcpy(value, values, sizeof *value);
    return true;
}
