/* A real client: librdkafka, set up for a 0.8.2 broker, producing or consuming as fast as it can, or at a given rate.
 *
 *   rdk produce BOOTSTRAP TOPIC PARTITIONS SIZE COUNT [KEY=VALUE ...]   prints: messages/s, CPU µs of this process per message
 *   rdk consume BOOTSTRAP TOPIC PARTITIONS SIZE COUNT [KEY=VALUE ...]   the same, from the beginning of the topic
 *   rdk pace    BOOTSTRAP TOPIC RATE SIZE COUNT [KEY=VALUE ...]         prints: p50 p99 p99.9 µs from produce() to the acknowledgement,
 *                                                                       and, with read=true, to the consumer of this process
 *
 * KEY=VALUE are librdkafka's settings, but for two: values=log sends lines like those of an application's log, each another
 * one, in place of one value again and again; read=true lets a consumer of the same process wait for what is paced. */
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { LINES = 8192, BATCH = 10000 };

struct arguments {
    const char *bootstrap, *topic;
    long partitions, size, count; /* pace: the rate in place of partitions */
    int log_lines, read;
    int settings;
    char **setting;
};

static atomic_long delivered, failed;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void die(const char *what, const char *why) {
    fprintf(stderr, "rdk: %s: %s\n", what, why);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value) {
    char why[256];
    if (rd_kafka_conf_set(conf, key, value, why, sizeof why) != RD_KAFKA_CONF_OK) die(key, why);
}

/* A configuration for 0.8.2, which can't be asked for its version. */
static rd_kafka_conf_t *configuration(const struct arguments *a) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", a->bootstrap);
    set(conf, "api.version.request", "false");
    set(conf, "broker.version.fallback", "0.8.2.2");
    set(conf, "log_level", "3");
    return conf;
}

static void set_all(rd_kafka_conf_t *conf, const struct arguments *a) {
    for (int i = 0; i < a->settings; i++) {
        char *pair = strdup(a->setting[i]), *value = strchr(pair, '=');
        if (!value) die(pair, "not KEY=VALUE");
        *value++ = 0;
        set(conf, pair, value);
        free(pair);
    }
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
    char why[256];
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    if (!rk) die("client", why);
    return rk;
}

/* The topic, once the client knows it: looking it up is not measured. */
static rd_kafka_topic_t *topic(rd_kafka_t *rk, const char *name) {
    rd_kafka_topic_t *t = rd_kafka_topic_new(rk, name, NULL);
    const struct rd_kafka_metadata *metadata;
    if (!t) die(name, rd_kafka_err2str(rd_kafka_last_error()));
    rd_kafka_resp_err_t error = rd_kafka_metadata(rk, 0, t, &metadata, 10000);
    if (error) die(name, rd_kafka_err2str(error));
    rd_kafka_metadata_destroy(metadata);
    return t;
}

static unsigned random_number(void) {
    static unsigned long long x = 88172645463325252ull;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return (unsigned)(x >> 20);
}

/* The values to send, one after the other. */
static char *values(const struct arguments *a, long *lines) {
    static const char *const classes[] = {"shop.OrderService", "auth.TokenFilter", "pay.Gateway", "web.Access", "db.Pool", "mail.Sender"};
    static const char *const events[] = {"order accepted", "token refreshed", "payment captured", "GET /api/v1/items 200", "connection returned", "message queued"};
    *lines = a->log_lines ? LINES : 1;
    char *all = malloc((size_t)(*lines * a->size) + 512);
    if (!all) die("values", "no memory");
    for (long n = 0; n < *lines; n++) {
        char *line = all + n * a->size;
        long used = 0;
        if (a->log_lines) {
            unsigned r = random_number(), kind = r % 6;
            used = snprintf(line, 512, "2015-10-02 12:%02ld:%02ld,%03ld %s [http-%u] c.e.%s - %s id=%u user=%u ms=%u", n / 60 % 60, n % 60, n % 1000,
                           r & 0x700 ? "INFO " : "WARN ", r >> 8 & 31, classes[kind], events[kind], random_number(), r >> 12 & 0xffff, r & 255);
        }
        for (; used < a->size; used++) line[used] = "0123456789 abcdefghijklmnopqrstuvwxyz=[]-:"[random_number() % 42];
    }
    return all;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque) {
    (void)rk, (void)opaque;
    if (m->err) failed++; else delivered++;
}

static void report(double seconds, double spent, long count) {
    printf("%.0f %.4f\n", (double)count / seconds, spent * 1e6 / (double)count);
}

static void produce(const struct arguments *a) {
    rd_kafka_conf_t *conf = configuration(a);
    set(conf, "linger.ms", "50");
    set(conf, "acks", "1");
    set(conf, "queue.buffering.max.messages", "1000000");
    set_all(conf, a);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, conf);
    rd_kafka_topic_t *t = topic(rk, a->topic);
    long lines;
    char *all = values(a, &lines);
    double spent = cpu(), start = now();
    for (long n = 0; n < a->count; n++) {
        int32_t partition = (int32_t)(n / 1000 % a->partitions);
        char *value = all + n % lines * a->size;
        while (rd_kafka_produce(t, partition, RD_KAFKA_MSG_F_COPY, value, (size_t)a->size, NULL, 0, NULL) == -1) {
            if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) die("produce", rd_kafka_err2str(rd_kafka_last_error()));
            rd_kafka_poll(rk, 10);
        }
        if (n % 1024 == 0) rd_kafka_poll(rk, 0);
    }
    while (delivered + failed < a->count) rd_kafka_poll(rk, 100);
    report(now() - start, cpu() - spent, a->count);
}

static void consume(const struct arguments *a) {
    rd_kafka_conf_t *conf = configuration(a);
    set(conf, "enable.auto.commit", "false");
    set(conf, "queued.max.messages.kbytes", "131072");
    set(conf, "queued.min.messages", "1000000");
    set(conf, "fetch.message.max.bytes", "1048576");
    set_all(conf, a);
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, conf);
    rd_kafka_topic_t *t = topic(rk, a->topic);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    static rd_kafka_message_t *batch[BATCH];
    for (int32_t p = 0; p < a->partitions; p++)
        if (rd_kafka_consume_start_queue(t, p, RD_KAFKA_OFFSET_BEGINNING, queue)) die("consume", rd_kafka_err2str(rd_kafka_last_error()));
    double spent = 0, start = 0, last = now();
    long got = 0, before = 0;
    while (got < a->count) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, 1000, batch, BATCH);
        for (ssize_t i = 0; i < n; i++) {
            if (!batch[i]->err && batch[i]->len == (size_t)a->size) got++;
            rd_kafka_message_destroy(batch[i]);
        }
        if (!start && got) start = now(), spent = cpu(), before = got; /* connecting is not measured */
        if (n > 0) last = now();
        else if (now() - last > 30) die("consume", "nothing came for 30 s");
    }
    report(now() - start, cpu() - spent, got - before);
}

static double *acknowledged, *received;
static atomic_long acknowledgements, arrivals;

static double age(const rd_kafka_message_t *m) {
    double sent;
    memcpy(&sent, m->payload, sizeof sent);
    return (now() - sent) * 1e6;
}

static void on_acknowledgement(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque) {
    (void)rk, (void)opaque;
    if (m->err) failed++; else acknowledged[acknowledgements++] = age(m);
}

static void *reader(void *t) {
    for (;;) {
        rd_kafka_message_t *m = rd_kafka_consume(t, 0, 1000);
        if (!m) continue;
        if (!m->err) received[arrivals++] = age(m);
        rd_kafka_message_destroy(m);
    }
    return NULL;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void percentiles(double *v, long n) {
    qsort(v, (size_t)n, sizeof *v, ascending);
    printf("%.0f %.0f %.0f", v[n / 2], v[n * 99 / 100], v[n * 999 / 1000]);
}

static void *taker(void *rk) {
    for (;;) rd_kafka_poll(rk, 1000);
    return NULL;
}

static void sleep_until(double due) {
    struct timespec t = {.tv_sec = (time_t)due, .tv_nsec = (long)((due - (double)(time_t)due) * 1e9)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL)) continue;
}

/* What was sent in the first tenth only warms up. Acknowledgements are taken by a thread of their own, as applications do, and
 * the one that sends sleeps in between: it would take one of two CPUs by spinning, and whoever is woken there, the broker or
 * librdkafka's own thread, would wait a tick (4 ms) of the scheduler behind it. */
static void pace(const struct arguments *a) {
    rd_kafka_conf_t *conf = configuration(a);
    set(conf, "linger.ms", "0");
    set(conf, "acks", "1");
    set_all(conf, a);
    rd_kafka_conf_set_dr_msg_cb(conf, on_acknowledgement);
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, conf);
    rd_kafka_topic_t *t = topic(rk, a->topic);
    acknowledged = calloc((size_t)a->count, sizeof *acknowledged);
    received = calloc((size_t)a->count, sizeof *received);
    char *value = calloc(1, (size_t)a->size);
    if (!acknowledged || !received || !value) die("pace", "no memory");
    if (a->read) {
        rd_kafka_conf_t *reading = configuration(a);
        set(reading, "fetch.wait.max.ms", "100");
        set(reading, "fetch.error.backoff.ms", "10");
        set(reading, "enable.auto.commit", "false");
        rd_kafka_topic_t *from = topic(client(RD_KAFKA_CONSUMER, reading), a->topic);
        pthread_t thread;
        if (rd_kafka_consume_start(from, 0, RD_KAFKA_OFFSET_END)) die("consume", rd_kafka_err2str(rd_kafka_last_error()));
        sleep(1); /* until it waits at the end of the log */
        pthread_create(&thread, NULL, reader, from);
    }
    pthread_t taking;
    pthread_create(&taking, NULL, taker, rk);
    prctl(PR_SET_TIMERSLACK, 1000);
    double start = now();
    for (long n = 0; n < a->count; n++) {
        sleep_until(start + (double)n / (double)a->partitions);
        double sent = now();
        memcpy(value, &sent, sizeof sent);
        if (rd_kafka_produce(t, 0, RD_KAFKA_MSG_F_COPY, value, (size_t)a->size, NULL, 0, NULL)) die("produce", rd_kafka_err2str(rd_kafka_last_error()));
    }
    while (acknowledgements + failed < a->count) usleep(1000);
    for (int i = 0; a->read && i < 100 && arrivals < a->count; i++) usleep(100000);
    if (failed || (a->read && arrivals < a->count)) die("pace", "messages are missing");
    percentiles(acknowledged + a->count / 10, a->count - a->count / 10);
    if (a->read) printf(" "), percentiles(received + a->count / 10, a->count - a->count / 10);
    printf("\n");
}

int main(int argc, char **argv) {
    if (argc < 7) die("usage", "rdk produce|consume|pace BOOTSTRAP TOPIC PARTITIONS|RATE SIZE COUNT [KEY=VALUE ...]");
    struct arguments a = {.bootstrap = argv[2], .topic = argv[3], .partitions = atol(argv[4]), .size = atol(argv[5]), .count = atol(argv[6])};
    if (a.partitions < 1 || a.size < 8 || a.count < 10) die("usage", "a number is too small");
    a.setting = argv + 7;
    for (int i = 7; i < argc; i++) {
        if (!strcmp(argv[i], "values=log")) a.log_lines = 1;
        else if (!strcmp(argv[i], "read=true")) a.read = 1;
        else a.setting[a.settings++] = argv[i];
    }
    if (!strcmp(argv[1], "produce")) produce(&a);
    else if (!strcmp(argv[1], "consume")) consume(&a);
    else if (!strcmp(argv[1], "pace")) pace(&a);
    else die(argv[1], "not produce, consume or pace");
    if (failed) die("produce", "messages failed");
    fflush(stdout);
    _exit(0); /* an orderly end waits for brokers, which nobody measures */
}
