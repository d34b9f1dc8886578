/* Many connections with one request in flight each: every connection sends its request, waits for the answer, sends it again,
 * for some seconds.
 *
 *   connections PORT CONNECTIONS SECONDS < REQUESTS
 *
 * REQUESTS are whole frames, lengths in front, which the connections take in turn; the broker listens at 127.0.0.1. Prints
 * requests/s, then p50, p99 and p99.9 in µs, then the first answer in hex (without its length), by which one sees whether it was
 * a success. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REQUESTS = 1 << 20, ANSWER = 1 << 16, SAMPLES = 1 << 22 };

struct connection {
    int socket;
    const char *request;
    uint32_t got;  /* bytes of the answer so far, its length included */
    uint32_t size; /* of the answer, once known */
    double sent;
};

static char requests[REQUESTS], first[ANSWER];
static size_t requests_size, first_size;
static float samples[SAMPLES];
static long answers;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* How long a frame is, its length included. */
static uint32_t frame_size(const char *frame) {
    uint32_t size;
    memcpy(&size, frame, 4);
    return ntohl(size) + 4;
}

static void ask(struct connection *c) {
    uint32_t size = frame_size(c->request);
    c->sent = now();
    c->got = 0;
    if (send(c->socket, c->request, size, MSG_NOSIGNAL) != (ssize_t)size) die("send");
}

static void open_connection(struct connection *c, int port, int poll) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    int on = 1;
    c->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (c->socket < 0 || connect(c->socket, (struct sockaddr *)&to, sizeof to)) die("connect");
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (epoll_ctl(poll, EPOLL_CTL_ADD, c->socket, &event)) die("epoll_ctl");
}

/* Takes in what has come; whether the answer is complete. */
static int complete(struct connection *c) {
    static char buffer[ANSWER];
    ssize_t n = recv(c->socket, buffer, sizeof buffer, 0);
    if (n <= 0) die("the broker closed a connection");
    if (c->got == 0) {
        if (n < 4) die("less than a length");
        c->size = frame_size(buffer);
        if (!answers) memcpy(first, buffer + 4, first_size = (size_t)n - 4);
    }
    c->got += (uint32_t)n;
    if (c->got > c->size) die("more than one answer");
    return c->got == c->size;
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "connections PORT CONNECTIONS SECONDS < REQUESTS\n");
        return 2;
    }
    long count = atol(argv[2]);
    double seconds = atof(argv[3]);
    struct connection *all = calloc((size_t)count, sizeof *all);
    int poll = epoll_create1(0);
    requests_size = fread(requests, 1, sizeof requests, stdin);
    if (!all || poll < 0 || requests_size < 4) die("start");
    size_t next = 0;
    for (long i = 0; i < count; i++) {
        open_connection(&all[i], atoi(argv[1]), poll);
        all[i].request = requests + next;
        next += frame_size(requests + next);
        if (next + 4 > requests_size) next = 0;
    }
    double start = now(), end = start + seconds;
    for (long i = 0; i < count; i++) ask(&all[i]);
    while (now() < end) {
        struct epoll_event events[64];
        int n = epoll_wait(poll, events, 64, 100);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (!complete(c)) continue;
            samples[answers++ % SAMPLES] = (float)((now() - c->sent) * 1e6);
            ask(c);
        }
    }
    double rate = (double)answers / (now() - start);
    long n = answers < SAMPLES ? answers : SAMPLES;
    qsort(samples, (size_t)n, sizeof *samples, ascending);
    printf("%.0f %.0f %.0f %.0f ", rate, samples[n / 2], samples[n * 99 / 100], samples[n * 999 / 1000]);
    for (size_t i = 0; i < first_size; i++) printf("%02x", (unsigned char)first[i]);
    printf("\n");
    return 0;
}
