/* Flags of errors of floating-point arithmetic, which WebAssembly has not and libc therefore neither: what code found by itself. It
 * lies in the program so that all modules share it; who raises and who asks are often two. The numbers are those of x86's <fenv.h>. */

int sandbox_float_errors;
