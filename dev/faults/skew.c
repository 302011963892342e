// A wall clock that is wrong by up to SKEW_MAX seconds either way, by as much as the process' id says.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef int (*clock_gettime_t)(clockid_t, struct timespec *);

int clock_gettime(clockid_t clock, struct timespec *at) {
    static clock_gettime_t real;
    static long skew;
    if (!real) {
        const char *max = getenv("SKEW_MAX");
        long range = max ? strtol(max, NULL, 10) : 0;
        skew = range ? ((long)getpid() * 7919) % (2 * range + 1) - range : 0;
        real = (clock_gettime_t)dlsym(RTLD_NEXT, "clock_gettime");
    }
    int failed = real(clock, at);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += skew;
    return failed;
}
