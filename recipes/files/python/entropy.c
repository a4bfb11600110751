/*
 * Random bytes, for Python and for the modules that it loads (OpenSSL looks for this function): there is no /dev/urandom in the sandbox, but the
 * loader gives some, by an interface that is asked for by name.
 */
#include <errno.h>
#include <stddef.h>

/* Both as the loader defines them. */
struct random_interface {
    int (*get_random_bytes)(void *buffer, size_t size, size_t *got);
};
extern size_t nacl_interface_query(const char *name, void *table, size_t size);

/* Fills the buffer. -1 with EIO for more than 256 bytes, as elsewhere, and with ENOSYS if the loader has none. */
int
getentropy(void *buffer, size_t size)
{
    struct random_interface interface;
    size_t got;

    if (size > 256) {
        errno = EIO;
        return -1;
    }
    if (nacl_interface_query("nacl-irt-random-0.1", &interface, sizeof interface) != sizeof interface) {
        errno = ENOSYS;
        return -1;
    }
    while (size > 0) {
        int error = interface.get_random_bytes(buffer, size, &got);

        if (error == 0 && got == 0)
            error = EIO;
        if (error != 0) {
            errno = error;
            return -1;
        }
        buffer = (char *)buffer + got;
        size -= got;
    }
    return 0;
}
