/* A wall clock that tests set wrong: preloaded into a process, it adds an offset that may change at any time.
 *
 * The offset is the int64 of nanoseconds in the file that TRIAGE_CLOCK names; monotonic clocks stay as they are.
 * Asks the kernel itself: looking up libc's function with dlsym needs memory, and an allocator may ask for the time
 * while it is being set up (libfaketime 0.9.10 hangs redis' jemalloc).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL

static const volatile int64_t *offset_ns;

__attribute__((constructor)) static void map_offset(void) {
    const char *path = getenv("TRIAGE_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *offset_ns, PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) offset_ns = mapped;
    close(file);
}

static int64_t wall_ns(clockid_t clock) {
    struct timespec now;
    syscall(SYS_clock_gettime, clock, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec + (offset_ns ? *offset_ns : 0);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return (int)syscall(SYS_clock_gettime, clock, now);
    int64_t ns = wall_ns(clock);
    now->tv_sec = ns / SECOND_NS;
    now->tv_nsec = ns % SECOND_NS;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    int64_t ns = wall_ns(CLOCK_REALTIME);
    now->tv_sec = ns / SECOND_NS;
    now->tv_usec = ns % SECOND_NS / 1000;
    return 0;
}

time_t time(time_t *now) {
    time_t seconds = wall_ns(CLOCK_REALTIME) / SECOND_NS;
    if (now) *now = seconds;
    return seconds;
}
