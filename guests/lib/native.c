/* Runtime of a guest as a static Linux i386 process without a C library: output, arguments, exit. */
#include "runtime.h"

#define SYS_EXIT 1
#define SYS_WRITE 4

uint8_t heap[HEAP_LEN] __attribute__((aligned(4096)));
static char **arguments;

void put_bytes(const char *bytes, size_t len)
{
    long written;
    __asm__ volatile("int $0x80" : "=a"(written) : "a"(SYS_WRITE), "b"(1), "c"(bytes), "d"(len) : "memory");
}

static _Noreturn void leave(int status)
{
    for (;;)
        __asm__ volatile("int $0x80" : : "a"(SYS_EXIT), "b"(status));
}

_Noreturn void fail(uint32_t code)
{
    report_failure(code);
    leave(1);
}

uint32_t argument(const char *key, uint32_t otherwise)
{
    uint32_t value = otherwise;
    for (char **word = arguments; *word; word++)
        text_argument(*word, key, &value);
    return value;
}

_Noreturn void native_start(uint32_t *stack)
{
    arguments = (char **)&stack[1];
    run_guest();
    leave(0);
}
