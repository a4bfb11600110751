/* libunwind for WebAssembly, where the engine unwinds the stack: its one file of C is compiled as C++, like everything beside it. */

#include "config.h"
#include "unwind.h"

extern "C" {
_Unwind_Reason_Code _Unwind_CallPersonality(void *exception);
_Unwind_Reason_Code __gxx_personality_wasm0(int version, _Unwind_Action actions, uint64_t exception_class,
                                            _Unwind_Exception *exception, _Unwind_Context *context);
}

#include "Unwind-wasm.c"
