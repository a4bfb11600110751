/*
 * Random bytes, for Python and for the modules that it loads (OpenSSL looks for this function): there is no /dev/urandom in the sandbox, but the
 * loader has some.
 */
#include "interfaces.h"

/* Fills the buffer. -1 with EIO for more than 256 bytes, as elsewhere, and with ENOSYS if the loader has none. */
int
getentropy(void *buffer, size_t size)
{
    struct random_interface random;
    size_t got;

    if (size > 256)
        return given(EIO);
    if (nacl_interface_query("nacl-irt-random-0.1", &random, sizeof random) != sizeof random)
        return given(ENOSYS);
    while (size > 0) {
        int error = random.get_random_bytes(buffer, size, &got);

        if (error != 0 || got == 0)
            return given(error ? error : EIO);
        buffer = (char *)buffer + got;
        size -= got;
    }
    return 0;
}
