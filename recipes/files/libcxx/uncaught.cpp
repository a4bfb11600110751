/* What becomes of an exception that nothing catches. */

#include <cxxabi.h>
#include <exception>

/* Called by the loader with an exception that has left the program: ends it as the standard says, which by default tells the
   exception's type and what(). Here the stack is unwound before that; the standard lets either be. */
extern "C" [[noreturn]] void sandbox_uncaught_exception(void *exception)
{
    abi::__cxa_begin_catch(exception);
    std::terminate();
}
