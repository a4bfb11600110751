/* Stands in for `sel_ldr` in the launcher's tests: reads its options, then, instead of a guest's code, does what the guest's arguments say: `do:DEED,ABOUT`
   as somebody would who broke out of the guest, `guest:DEED,ABOUT` as the guest. Each prints one line: its name, and 0 or the number of the error. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/keyctl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.c"

static void say(const char *what, const char *about, long result) {
    int error = errno;
    printf("%s%s%s=%d\n", what, *about ? " " : "", about, result == -1 ? error : 0);
    fflush(stdout);
}

static void list(const char *path) {
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort);
    if (count < 0) {
        say("list", path, -1);
        return;
    }
    printf("list %s:", path);
    for (int at = 0; at < count; at++)
        if (strcmp(names[at]->d_name, ".") && strcmp(names[at]->d_name, ".."))
            printf(" %s", names[at]->d_name);
    printf("\n");
    fflush(stdout);
}

static void cat(const char *path) {
    char text[4096];
    int file = open(path, O_RDONLY);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text);
    if (length < 0)
        say("cat", path, -1);
    else
        printf("cat %s: %.*s\n", path, (int)length, text);
    fflush(stdout);
}

static void *nothing(void *argument) {
    return argument;
}

static int mapped(size_t length, int protection, int flags) {
    return mmap(NULL, length, protection, flags, -1, 0) == MAP_FAILED ? -1 : 0;
}

/* Every call there is, by numbers that mean nothing, but for those that end or go on elsewhere, and two that the kernel makes its own probes by, which
   no filter is asked about: they end who makes them otherwise. */
static void all_calls(long beyond) {
    int count = 0;
    for (long call = 0; call < 1000; call++) {
        if (call == SYS_exit || call == SYS_exit_group || call == SYS_rt_sigreturn || call == 335 || call == 336)
            continue;
        if (syscall(call + beyond, -1L, -1L, -1L, -1L, -1L, -1L) != -1 || errno != ENOSYS)
            count++;
    }
    printf("calls %d\n", count);
}

/* Forms that nobody needs of calls that the engine makes. */
static void forms(void) {
    const int both = PROT_READ | PROT_WRITE;
    void *page = mmap(NULL, 4096, both, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    say("shared memory without a file", "", mapped(4096, both, MAP_SHARED | MAP_ANONYMOUS));
    say("stack that grows", "", mapped(4096, both, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN));
    say("huge pages", "", mapped(2 << 20, both, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB));
    say("locked memory", "", mapped(4096, both, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED));
    say("filled memory", "", mapped(4096, both, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE));
    say("memory to write and run", "", mapped(4096, both | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS));
    say("mprotect to write and run", "", mprotect(page, 4096, both | PROT_EXEC));
    say("mprotect that grows", "", mprotect(page, 4096, PROT_READ | PROT_GROWSDOWN));
    say("pkey_mprotect", "", syscall(SYS_pkey_mprotect, page, 4096, PROT_READ, -1));
    say("mremap that leaves", "", mremap(page, 4096, 4096, MREMAP_MAYMOVE | 4) == MAP_FAILED ? -1 : 0);
    say("madvise hugepage", "", madvise(page, 4096, MADV_HUGEPAGE));
    say("madvise free", "", madvise(page, 4096, MADV_FREE));
    say("mlock", "", mlock(page, 4096));
    say("msync", "", msync(page, 4096, MS_SYNC));
    say("futex with priorities", "", syscall(SYS_futex, page, FUTEX_LOCK_PI, 0, 0, 0, 0));
    say("futex requeue with priorities", "", syscall(SYS_futex, page, FUTEX_CMP_REQUEUE_PI, 1, 0, page, 0));
    say("open without rights", "", open("/guest", O_PATH));
    say("file without a name", "", open("/dev/shm", O_TMPFILE | O_RDWR, 0600));
    say("open that leaves times", "", open("/guest/test/hello.nexe", O_RDONLY | O_NOATIME));
    int directory = open("/guest", O_RDONLY | O_DIRECTORY);
    say("openat", "", openat(directory, "test", O_RDONLY));
    say("mkdirat", "", mkdirat(directory, "test/x", 0755));
    say("renameat2", "", syscall(SYS_renameat2, AT_FDCWD, "/dev/shm/t", AT_FDCWD, "/dev/shm/u", 0));
    say("unlinkat", "", unlinkat(AT_FDCWD, "/dev/shm/t", 0));
    say("linkat", "", syscall(SYS_linkat, 0, "", AT_FDCWD, "/dev/shm/l", AT_EMPTY_PATH));
    say("fallocate", "", syscall(SYS_fallocate, 0, 0, 0, 4096));
    say("times of a stream", "", futimens(0, NULL));
    say("signals from a stream", "", fcntl(0, F_SETFL, O_ASYNC));
    say("owner of a stream", "", fcntl(0, F_SETOWN, 1));
    say("lease", "", fcntl(0, F_SETLEASE, F_RDLCK));
    say("seals", "", fcntl(0, F_ADD_SEALS, 0));
    say("pipe size", "", fcntl(1, F_SETPIPE_SZ, 1 << 20));
    int pair[2];
    say("stream sockets", "", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    say("pipe", "", pipe(pair));
    say("eventfd", "", syscall(SYS_eventfd2, 0, 0));
    say("epoll", "", syscall(SYS_epoll_create1, 0));
    say("inotify", "", syscall(SYS_inotify_init1, 0));
    say("timer", "", syscall(SYS_timerfd_create, CLOCK_MONOTONIC, 0));
    say("gs base", "", syscall(SYS_arch_prctl, 0x1001, page));
    say("name", "", prctl(PR_SET_NAME, "x"));
    say("seccomp", "", syscall(SYS_seccomp, 0, 0, 0));
    say("thread of another kind", "", syscall(SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, 0, 0, 0, 0));
    say("clone3", "", syscall(SYS_clone3, page, 88));
    say("setpriority", "", setpriority(PRIO_PROCESS, 0, -1));
    say("sched_setaffinity", "", syscall(SYS_sched_setaffinity, 0, 8, page));
    say("personality", "", syscall(SYS_personality, 0));
    say("readv", "", syscall(SYS_readv, 0, 0, 0));
    say("splice", "", syscall(SYS_splice, 0, 0, 1, 0, 1, 0));
    say("copy_file_range", "", syscall(SYS_copy_file_range, 0, 0, 1, 0, 1, 0));
    say("getxattr", "", syscall(SYS_getxattr, "/guest", "user.x", page, 1));
    say("pidfd_open", "", syscall(SYS_pidfd_open, 1, 0));
    say("landlock", "", syscall(SYS_landlock_create_ruleset, 0, 0, 1));
}

/* What must fail whoever runs it. */
static void attack(void) {
    say("socket inet", "", socket(AF_INET, SOCK_STREAM, 0));
    say("socket unix", "", socket(AF_UNIX, SOCK_STREAM, 0));
    say("socket netlink", "", socket(AF_NETLINK, SOCK_RAW, 0));
    say("fork", "", syscall(SYS_fork));
    say("vfork", "", syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0) == -1 ? -1 : 0);
    say("clone", "", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
    say("execve", "", execve("/engine/sel_ldr_x86_64", (char *[]){"x", NULL}, (char *[]){NULL}));
    int itself = open("/engine/sel_ldr_x86_64", O_RDONLY);
    say("execveat", "", syscall(SYS_execveat, itself, "", (char *[]){"x", NULL}, (char *[]){NULL}, AT_EMPTY_PATH));
    /* The one number for which the filter lets it pass is none that it can have. */
    for (int number = 0; number < 5000; number++)
        if (dup2(itself, number + 3) == number + 3 && number > 200)
            syscall(SYS_execveat, number + 3, "", (char *[]){"again", NULL}, (char *[]){NULL}, AT_EMPTY_PATH);
    say("dup2", "", dup2(itself, 2048));
    for (int number = itself + 1; number < 5003; number++)
        close(number);
    say("raise limit", "", setrlimit(RLIMIT_NOFILE, &(struct rlimit){9999, 9999}));
    say("ptrace", "", ptrace(PTRACE_SEIZE, 1, 0, 0));
    say("kill", "", kill(1, SIGKILL));
    say("tgkill", "", syscall(SYS_tgkill, 1, 1, SIGKILL));
    say("kill all", "", kill(-1, SIGKILL));
    say("process_vm_readv", "", syscall(SYS_process_vm_readv, 1, 0, 0, 0, 0, 0));
    say("mount", "", mount("none", "/guest", "tmpfs", 0, NULL));
    say("remount", "", mount(NULL, "/guest", NULL, MS_REMOUNT | MS_BIND, NULL));
    say("umount", "", umount2("/guest", MNT_DETACH));
    say("mount_setattr", "", syscall(SYS_mount_setattr, -1, "/guest", 0, 0, 0));
    say("open_tree", "", syscall(SYS_open_tree, -1, "/", 0));
    say("pivot_root", "", syscall(SYS_pivot_root, ".", "."));
    say("chroot", "", chroot("/guest"));
    say("unshare", "", unshare(CLONE_NEWUSER));
    say("setns", "", setns(0, 0));
    say("setuid", "", setuid(0));
    say("chown", "", chown("/guest", 0, 0));
    say("mknod", "", mknod("/dev/shm/sda", S_IFBLK | 0600, 0x800));
    say("mkfifo", "", mkfifo("/dev/shm/fifo", 0600));
    say("keyctl", "", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -3, 0));
    say("bpf", "", syscall(SYS_bpf, 0, 0, 0));
    say("io_uring", "", syscall(SYS_io_uring_setup, 1, 0));
    say("userfaultfd", "", syscall(SYS_userfaultfd, 0));
    say("perf", "", syscall(SYS_perf_event_open, 0, 0, -1, -1, 0));
    say("memfd", "", memfd_create("x", 0));
    say("name_to_handle", "", syscall(SYS_open_by_handle_at, 0, 0, 0));
    say("TIOCSTI", "", ioctl(0, TIOCSTI, "x"));
    say("openat2", "", syscall(SYS_openat2, AT_FDCWD, "/", 0, 0));
    say("sethostname", "", sethostname("x", 1));
    say("prctl", "", prctl(PR_SET_DUMPABLE, 1));
    say("set-user open", "", open("/dev/shm/s", O_CREAT | O_WRONLY, 04755));
    int file = open("/dev/shm/t", O_CREAT | O_WRONLY, 0755);
    say("set-user fchmod", "", fchmod(file, 04755));
    say("mode of a stream", "", fchmod(0, 0700));
    say("set-group chmod", "", chmod("/dev/shm/t", 02755));
    say("write device", "", open("/dev/null", O_CREAT | O_EXCL | O_WRONLY, 0600));
    say("remove device", "", unlink("/dev/null"));
    say("write root", "", open("/new", O_CREAT | O_WRONLY, 0600));
    int unsafe = open("/guest/test/hello.nexe", O_RDONLY);
    say("guest's code", "", mmap(NULL, 64, PROT_READ | PROT_EXEC, MAP_PRIVATE, unsafe, 0) == MAP_FAILED ? -1 : 0);
    void *data = mmap(NULL, 64, PROT_READ, MAP_PRIVATE, unsafe, 0);
    say("guest's data as code", "", mprotect(data, 64, PROT_READ | PROT_EXEC));
    say("write engine", "", open("/engine/sel_ldr_x86_64", O_WRONLY));
    forms();
}

/* What has to go on working. */
static void needs(void) {
    pthread_t thread;
    errno = pthread_create(&thread, NULL, nothing, NULL);
    say("thread", "", errno || pthread_join(thread, NULL) ? -1 : 0);
    int pair[2];
    say("socketpair", "", socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
    int shared = shm_open("/x", O_RDWR | O_CREAT | O_EXCL, 0600);
    say("shm_open", "", shared);
    say("ftruncate", "", ftruncate(shared, 65536));
    void *code = mmap(NULL, 65536, PROT_READ | PROT_EXEC, MAP_SHARED, shared, 0);
    say("shared code", "", code == MAP_FAILED ? -1 : 0);
    void *space = mmap(NULL, (size_t)84 << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    say("address space", "", space == MAP_FAILED ? -1 : 0);
    unsigned char chance;
    int device = open("/dev/urandom", O_RDONLY);
    say("urandom", "", read(device, &chance, 1) == 1 ? 0 : -1);
    device = open("/dev/null", O_WRONLY);
    say("null", "", write(device, "x", 1) == 1 ? 0 : -1);
}

static void hog(void) {
    size_t got = 0;
    for (;; got += 1 << 20) {
        char *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED || got > ((size_t)1 << 30))
            break;
        *memory = 1;
    }
    printf("hog %s\n", got < ((size_t)512 << 20) ? "bounded" : "unbounded");
}

static void share(void) {
    static char memory[1 << 20] = {1};
    int shared = shm_open("/y", O_RDWR | O_CREAT, 0600), got = 0;
    while (got < 300 && write(shared, memory, sizeof memory) == sizeof memory)
        got++;
    printf("share %s\n", got >= 16 && got <= 100 ? "bounded" : "unbounded");
}

/* Memory that was written and can't be any more; so many MiB at a time. */
static void protect(int size) {
    size_t got = 0, length = (size_t)size << 20;
    for (; got < 1024; got += size) {
        char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            break;
        memset(memory, 1, length);
        if (mprotect(memory, length, PROT_READ))
            break;
    }
    printf("protect %s\n", got < 1024 ? "bounded" : "unbounded");
}

static void *hold(void *argument) {
    for (;;)
        sleep(1000);
}

/* So many threads at once, then one after the other. */
static void many_threads(int most) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 32 << 10);
    pthread_t thread;
    int count = 0, error = 0;
    for (; count < most && !error; count += !error)
        error = pthread_create(&thread, &small, hold, NULL);
    printf("threads %d=%d\n", count, error);
}

/* As much memory as there is, all written, until somebody has looked at it. */
static void hold_memory(int size) {
    size_t length = (size_t)size << 20;
    int got = 0;
    char *memory;
    while ((memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED) {
        memset(memory, 1, length);
        got += size;
    }
    while ((memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED)
        memset(memory, 1, 65536);
    int shared = shm_open("/z", O_RDWR | O_CREAT, 0600);
    static char page[65536] = {1};
    while (write(shared, page, sizeof page) > 0)
        ;
    struct stat all;
    fstat(shared, &all);
    char *mapped = mmap(NULL, all.st_size, PROT_READ, MAP_SHARED, shared, 0);
    volatile char sum = 0;
    for (off_t at = 0; mapped != MAP_FAILED && at < all.st_size; at += 4096)
        sum += mapped[at];
    printf("held %s\nwaiting\n", got > 0 ? "some" : "none");
    fflush(stdout);
    sleep(1000);
}

static volatile int threads_left;

static void *try_thread(void *argument) {
    for (int each = 0; each < 20; each++) {
        pthread_attr_t small;
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 32 << 10);
        pthread_t thread;
        if (!pthread_create(&thread, &small, hold, NULL))
            __sync_fetch_and_add(&threads_left, 1);
    }
    return NULL;
}

/* Many threads that make threads at the same time. */
static void thread_storm(void) {
    pthread_t thread[8];
    int begun = 0;
    for (int each = 0; each < 8; each++)
        begun += !pthread_create(&thread[begun], NULL, try_thread, NULL);
    for (int each = 0; each < begun; each++)
        pthread_join(thread[each], NULL);
    printf("storm %d\n", threads_left);
    /* What has ended makes room. */
    pthread_t one;
    int error = 0;
    for (int each = 0; each < 100 && !error; each++) {
        error = pthread_create(&one, NULL, nothing, NULL);
        if (!error)
            pthread_join(one, NULL);
    }
    printf("again=%d\n", error);
}

static void *burn(void *argument) {
    for (;;)
        ;
}

static void spin(int threads) {
    pthread_t thread;
    while (--threads > 0)
        pthread_create(&thread, NULL, burn, NULL);
    burn(NULL);
}

static void print(int bytes) {
    static char line[1000];
    memset(line, 'x', sizeof line);
    fflush(stdout);
    for (int left = bytes, length; left > 0; left -= length) {
        length = left < (int)sizeof line ? left : (int)sizeof line;
        if ((length = write(bytes % 2 ? 1 : guest_error, line, length)) <= 0)
            exit(9);
    }
}

/* What was handed in to be read and to be written, the last of each. */
static int to_read = -1, to_write = -1;

/* Carries all from the one to the other. */
static void relay(void) {
    static char bytes[100000];
    long long sum = 0;
    ssize_t length;
    while ((length = read(to_read, bytes, sizeof bytes)) > 0)
        for (ssize_t at = 0, done; at < length; at += done, sum += done)
            if ((done = write(to_write, bytes + at, length - at)) <= 0)
                exit(9);
    printf("relay %lld\n", sum);
}

/* How many files can be open besides those that are. */
static void numbers(void) {
    int count = 0;
    while (open("/guest/test/hello.nexe", O_RDONLY) >= 0)
        count++;
    printf("numbers %d=%d\n", count, errno);
}

/* How many files can be made. */
static void make(const char *in) {
    char name[4200];
    int count = 0;
    for (; count < 100; count++) {
        snprintf(name, sizeof name, "%s/%d", in, count);
        int made = count % 4 == 0 ? open(name, O_CREAT | O_WRONLY, 0644)
                   : count % 4 == 1 ? mkdir(name, 0755)
                   : count % 4 == 2 ? symlink("x", name)
                                    : open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
        if (made < 0)
            break;
        if (count % 4 == 0 || count % 4 == 3)
            close(made);
    }
    printf("make %s %d=%d\n", in, count, count < 100 ? errno : 0);
}

/* How many KiB can be written, at first at places in it that are apart. */
static void fill(const char *path, int step, int mapped) {
    static char bytes[1 << 16];
    memset(bytes, 1, sizeof bytes);
    int file = open(path, O_CREAT | O_RDWR | O_TRUNC, 0644);
    long long written = 0, error = 0;
    while (written < (1 << 30) && !error) {
        if (mapped) {
            if (pwrite(file, bytes, 1, written + step - 1) != 1) {
                error = errno;
                break;
            }
            void *memory = mmap(NULL, step, PROT_READ | PROT_WRITE, MAP_SHARED, file, written);
            if (memory == MAP_FAILED)
                error = errno;
            else
                written += step, munmap(memory, step);
        } else {
            ssize_t length = write(file, bytes, step);
            if (length <= 0)
                error = errno;
            else
                written += length;
        }
    }
    printf("%s %s %lld=%lld\n", mapped ? "map" : "fill", path, written >> 10, error);
    close(file);
}

/* As `sel_ldr`, which catches what asks it to end, and ends with a negative status. */
static void end(int signal) {
    _exit(-signal);
}

/* As `sel_ldr` does with a guest that crashed. */
static void crash(int signal) {
    dprintf(2, "\n** Signal %d from untrusted code: pc=0\n", signal);
    _exit(-signal & 0xff);
}

static void asked_to_end(void) {
    for (int each = 0; each < 3; each++)
        signal((int[]){SIGTERM, SIGINT, SIGHUP}[each], end);
}

/* What the guest does, in a thread as with `sel_ldr`. */
static void *run(void *words) {
    char **arguments = words;
    for (; *arguments; arguments++) {
        if (!strncmp(*arguments, "guest:", 6)) {
            asked_to_end();
            signal(SIGSEGV, crash);
            signal(SIGABRT, crash);
            guest(*arguments + 6);
            continue;
        }
        char *what = *arguments + (strncmp(*arguments, "do:", 3) ? 0 : 3);
        char *about = strchr(what, ',');
        if (about)
            *about++ = 0;
        else
            about = "";
        if (!strcmp(what, "attack"))
            attack();
        else if (!strcmp(what, "calls"))
            all_calls(*about ? 0x40000000 : 0);
        else if (!strcmp(what, "needs"))
            needs();
        else if (!strcmp(what, "hog"))
            hog();
        else if (!strcmp(what, "share"))
            share();
        else if (!strcmp(what, "protect"))
            protect(atoi(about));
        else if (!strcmp(what, "threads"))
            many_threads(atoi(about));
        else if (!strcmp(what, "hold"))
            hold_memory(atoi(about));
        else if (!strcmp(what, "storm"))
            thread_storm();
        else if (!strcmp(what, "spin"))
            spin(atoi(about));
        else if (!strcmp(what, "print"))
            print(atoi(about));
        else if (!strcmp(what, "numbers"))
            numbers();
        else if (!strcmp(what, "make"))
            make(about);
        else if (!strcmp(what, "fill"))
            fill(about, 1 << 16, 0);
        else if (!strcmp(what, "map"))
            fill(about, 1 << 16, 1);
        else if (!strcmp(what, "cut"))
            say(what, about, ftruncate(atoi(about), 0));
        else if (!strcmp(what, "relay"))
            relay();
        else if (!strcmp(what, "open")) {
            printf("open");
            for (int each = 0; each < 3000; each++)
                if (fcntl(each, F_GETFL) >= 0)
                    printf(" %d", each);
            printf("\n");
        } else if (!strcmp(what, "flags"))
            say(what, about, fcntl(atoi(about), F_SETFL, O_NONBLOCK));
        else if (!strcmp(what, "seek"))
            say(what, about, lseek(atoi(about), 0, SEEK_SET));
        else if (!strcmp(what, "size"))
            say(what, about, truncate(about, 1 << 20));
        else if (!strcmp(what, "claim"))
            dprintf(2, "[2,1:00:00:00.1] Pathname contains ..: ..\n** Signal 11 from untrusted code: pc=0\n"
                       "[2,1:00:00:00.1] Error while loading \"/guest/x\": %s\n", about);
        else if (!strcmp(what, "break")) {
            dprintf(2, "[2,1:00:00:00.1] Could not mprotect(0x1, 0x2, PROT_READ|PROT_WRITE)\n");
            dprintf(2, "\n** Signal 6 from trusted code: pc=0\n");
            _exit(*about ? -SIGABRT & 0xff : -SIGABRT);
        }
        else if (!strcmp(what, "list"))
            list(about);
        else if (!strcmp(what, "cat"))
            cat(about);
        else if (!strcmp(what, "write")) {
            int file = open(about, O_CREAT | O_WRONLY | O_TRUNC, 0644);
            say(what, about, file < 0 ? -1 : write(file, "guest", 5) == 5 ? 0 : -1);
        } else if (!strcmp(what, "mkdir"))
            say(what, about, mkdir(about, 0755));
        else if (!strcmp(what, "unlink"))
            say(what, about, unlink(about));
        else if (!strcmp(what, "chmod"))
            say(what, about, chmod(about, 0777));
        else if (!strcmp(what, "link"))
            say(what, about, symlink(about, "link"));
        else if (!strcmp(what, "touch"))
            say(what, about, utimensat(AT_FDCWD, about, NULL, 0));
        else if (!strcmp(what, "put"))
            say(what, about, write(atoi(about), "put\n", 4));
        else if (!strcmp(what, "pid"))
            printf("pid %d\n", (int)getpid());
        else if (!strcmp(what, "host")) {
            char name[64];
            gethostname(name, sizeof name);
            printf("host %s\n", name);
        } else if (!strcmp(what, "wait")) {
            asked_to_end();
            printf("waiting\n");
            fflush(stdout);
            for (;;)
                sleep(1000);
        } else if (!strcmp(what, "exit"))
            exit(atoi(about));
        else if (!strcmp(what, "environment"))
            for (char **each = environ; *each; each++)
                printf("environment %s\n", *each);
        else if (!strcmp(what, "abort"))
            abort();
        else if (!strcmp(what, "fault"))
            *(volatile int *)(uintptr_t)atoi("0") = 1;
        fflush(stdout);
    }
    exit(0);
}

int main(int count, char **words) {
    /* As `sel_ldr` loads a program: all space for code can be written. */
    size_t code = (size_t)256 << 20;
    void *space = mmap(NULL, code, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mprotect(space, code, PROT_READ | PROT_WRITE))
        exit(98);
    *(char *)space = 1;
    mprotect(space, code, PROT_READ | PROT_EXEC);
    int option;
    while ((option = getopt(count, words, "+B:E:h:r:w:l:m:")) != -1) {
        if (option == 'E' && guest_variables < 64)
            guest_environment[guest_variables++] = optarg;
        if (option == 'r')
            to_read = atoi(strchr(optarg, ':') + 1);
        if (option == 'w')
            to_write = atoi(strchr(optarg, ':') + 1);
        if (option == 'w' && !strncmp(optarg, "2:", 2))
            guest_error = atoi(optarg + 2);
        else if (option == 'E' || option == 'h' || option == 'r' || option == 'w')
            printf("option %c %s\n", option, optarg);
        else if (option == 'm' && chdir(optarg))
            say("chdir", optarg, -1);
        else if (option == '?')
            exit(99);
    }
    char **arguments = words + optind;
    /* runnable-ld.so --library-path /slib PROGRAM */
    printf("start %s", *arguments);
    while (*++arguments && strncmp(*arguments, "do:", 3) && strncmp(*arguments, "guest:", 6))
        printf(" %s", *arguments);
    printf("\n");
    fflush(stdout);
    if (*arguments && !strcmp(*arguments, "do:refuse")) {
        dprintf(2, "[2,1:00:00:00.1] Error while loading \"/guest/x\": Validation failure. Unsafe.\n");
        exit(1);
    }
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, arguments))
        exit(97);
    pthread_join(thread, NULL);
    return 0;
}
