/*
 * Terminals: a descriptor may be one (isatty() tells), but its settings belong to the host.
 */
#include "refuse.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static int not_a_terminal(int fd)
{
    return refuse_descriptor(fd, ENOTTY);
}

int tcgetattr(int fd, struct termios *out)
{
    return not_a_terminal(fd);
}

int tcsetattr(int fd, int when, const struct termios *state)
{
    return not_a_terminal(fd);
}

int tcsendbreak(int fd, int duration)
{
    return not_a_terminal(fd);
}

int tcdrain(int fd)
{
    return not_a_terminal(fd);
}

int tcflush(int fd, int queue)
{
    return not_a_terminal(fd);
}

int tcflow(int fd, int action)
{
    return not_a_terminal(fd);
}

pid_t tcgetpgrp(int fd)
{
    return not_a_terminal(fd);
}

int tcsetpgrp(int fd, pid_t group)
{
    return not_a_terminal(fd);
}

speed_t cfgetispeed(const struct termios *state)
{
    return state->c_ispeed;
}

speed_t cfgetospeed(const struct termios *state)
{
    return state->c_ospeed;
}

int cfsetispeed(struct termios *state, speed_t speed)
{
    state->c_ispeed = speed;
    return 0;
}

int cfsetospeed(struct termios *state, speed_t speed)
{
    state->c_ospeed = speed;
    return 0;
}

char *ttyname(int fd)
{
    not_a_terminal(fd);
    return NULL;
}

int ttyname_r(int fd, char *name, size_t size)
{
    not_a_terminal(fd);
    return errno;
}

char *ctermid(char *name)
{
    static char buffer[L_ctermid];
    return strcpy(name ? name : buffer, "/dev/tty");
}
