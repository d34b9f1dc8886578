/* For how long the machine takes its processors away: what a program sees of the host, of the kernel's own threads and of
 * interrupts. One thread on each processor looks at the clock, again and again.
 *
 *   pauses SECONDS     prints a line per processor: its number, ms a second taken away in pauses of 0.2 ms and more,
 *                      the longest pause in ms
 *
 * The machine should do nothing else meanwhile: other programs count, too. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PROCESSORS = 1024 };

/* Shorter ones are interrupts, which every request meets. */
static const double PAUSE = 200e-6;

struct processor {
    int number;
    double taken, longest; /* seconds */
};

static double seconds;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *watch(void *of) {
    struct processor *own = of;
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(own->number, &only);
    if (sched_setaffinity(0, sizeof only, &only)) return NULL;
    double last = now(), end = last + seconds;
    while (last < end) {
        double time = now(), gone = time - last;
        if (gone >= PAUSE) own->taken += gone;
        if (gone > own->longest) own->longest = gone;
        last = time;
    }
    return own;
}

int main(int argc, char **argv) {
    static struct processor of[PROCESSORS];
    static pthread_t threads[PROCESSORS];
    cpu_set_t allowed;
    int count = 0;
    if (argc != 2 || (seconds = atof(argv[1])) <= 0) {
        fprintf(stderr, "pauses SECONDS\n");
        return 1;
    }
    if (sched_getaffinity(0, sizeof allowed, &allowed)) {
        perror("sched_getaffinity");
        return 1;
    }
    for (int number = 0; number < PROCESSORS; number++)
        if (CPU_ISSET(number, &allowed)) of[count++].number = number;
    for (int n = 0; n < count; n++)
        if (pthread_create(&threads[n], NULL, watch, &of[n])) {
            perror("pthread_create");
            return 1;
        }
    for (int n = 0; n < count; n++) {
        void *watched;
        pthread_join(threads[n], &watched);
        if (watched) printf("%d %.3f %.3f\n", of[n].number, of[n].taken * 1000 / seconds, of[n].longest * 1000);
    }
    return 0;
}
