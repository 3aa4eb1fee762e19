/* Between common.c and the two runtimes, machine.c and native.c. */
#ifndef RUNTIME_H
#define RUNTIME_H

#include "guest.h"

/* Prints "start", runs guest_main, prints "end" and the result. */
uint32_t run_guest(void);
void report_failure(uint32_t code);
/* Whether `key=NUMBER` is a word of `text`; the last one counts. */
int text_argument(const char *text, const char *key, uint32_t *value);
/* Given by the runtime. */
void put_bytes(const char *bytes, size_t len);

#endif
