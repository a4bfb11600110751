/*
 * The one thread. wasi-libc leaves its ring of threads open, and pthread_key_delete() goes round that ring until it is back where it began:
 * it would never return. The linker is asked for this function by name (in the toolchain), as no program calls it.
 */
struct thread {
    struct thread *self, *previous, *next;
};

/* wasi-libc's own, whose type is in no header. */
extern struct thread __wasilibc_pthread_self;

/* Before the constructors of programs, which may delete a key. */
__attribute__((constructor(101))) void sandbox_close_the_ring(void)
{
    __wasilibc_pthread_self.previous = __wasilibc_pthread_self.next = &__wasilibc_pthread_self;
}
