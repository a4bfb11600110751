/* Links between paths. wasi-libc's linkat() keeps both paths in one place, so that a relative one is linked to itself. */
#include "errors.h"
#include "paths.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>
#include <wasi/api.h>

int linkat(int from, const char *old, int to, const char *new, int flags)
{
    char old_buffer[PATH_MAX], new_buffer[PATH_MAX];
    if ((from = locate(from, &old, old_buffer)) < 0 || (to = locate(to, &new, new_buffer)) < 0)
        return -1;
    __wasi_lookupflags_t follow = flags & AT_SYMLINK_FOLLOW ? __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW : 0;
    return failed_with(__wasi_path_link(from, follow, old, to, new));
}
