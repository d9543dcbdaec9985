/*
 * The load generator: sends and receives WebSocket frames over connections that the Python program has
 * opened, joined to their rooms and passed on as file descriptors. It gets its frames masked and complete,
 * and counts what it receives by the frame headers. It needs about as much CPU time as a server that does
 * nothing but read and write.
 *
 * It reads the job from standard input, in lines:
 *
 *     mode echo|broadcast    echo: every client waits for the answer to its message and sends the next;
 *                            broadcast: some clients talk in turn, the next one as soon as fewer messages
 *                            are in flight than there are talking clients
 *     speakers N             in a broadcast: how many clients talk; each has one message in flight
 *     depth N                in an echo: how many messages each line of frames holds, and how many answers follow
 *     fds N...               the connections
 *     mute N...              the connections that are not read (and not counted)
 *     tls PORT COUNT HEX     instead of fds: open COUNT connections with TLS to a port of the loopback
 *                            interface, and upgrade them with that request
 *     match HEX              how the payload of a counted message begins; others are skipped
 *     frames N               N lines of HEX follow: the frames that a client sends in turn
 *     numbered N             like frames, but none of them is sent twice
 *     warm SECONDS           how long it warms up
 *     seconds SECONDS        how long it measures
 *     end
 *
 * It warms up, writes "ready", waits for a line, measures, and writes one line of JSON.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifdef TLS
#include <openssl/ssl.h>
#else
typedef void SSL;
#endif

enum { BUFFER = 1 << 18, EVENTS = 512, PATIENCE = 20000, START = 128, FINE = 64, SENT = 1 << 12 };

struct client {
    int fd;
    SSL *tls;
    int muted;
    /* the frame being read */
    unsigned char head[14];
    int headSize;
    uint64_t left;
    /* the first bytes of its message, or of a control frame */
    unsigned char start[START];
    int startSize;
    /* the frame being written */
    const unsigned char *out;
    size_t outSize;
    int cursor;
    uint64_t sentAt;
    /* the answers that have not arrived yet; in a broadcast: the messages that it has received */
    uint64_t count;
};

struct frame {
    unsigned char *bytes;
    size_t size;
};

static struct client *clients;
static int clientCount, listeners, speakers = 1, depth = 1;
static struct frame *frames;
static int frameCount;
static unsigned char match[START];
static int matchSize;
static int isBroadcast, isNumbered, isRunning;
static double warmUp = 0.3, duration = 1.5;
static int poll;

static uint64_t received, receivedBytes, waiting, said;
/* the time of the last read, and when each message of a broadcast was sent; old entries are overwritten */
static uint64_t readAt, sentAt[SENT];
static uint64_t histogram[64 * FINE];

static void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static double cpuSeconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* -- latencies: 64 buckets to each power of two */

static void record(uint64_t nanoseconds) {
    int power = 0;
    uint64_t value = nanoseconds;
    while (value >= 2 * FINE) {
        value >>= 1;
        power++;
    }
    histogram[power * FINE + (int)value]++;
}

static double percentile(double share) {
    uint64_t total = 0, seen = 0;
    for (int i = 0; i < 64 * FINE; i++) total += histogram[i];
    for (int i = 0; i < 64 * FINE; i++) {
        seen += histogram[i];
        if (total && (double)seen >= share * (double)total) {
            int power = i < 2 * FINE ? 0 : i / FINE - 1;
            return (double)((uint64_t)(i - power * FINE) << power) / 1000;
        }
    }
    return 0;
}

/* -- the socket, or TLS on it, with the interface of read(2) and write(2) */

#ifdef TLS
static ssize_t tlsOutcome(struct client *client, int result) {
    if (result > 0) return result;
    int error = SSL_get_error(client->tls, result);
    if (error == SSL_ERROR_ZERO_RETURN) return 0;
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EIO;
    return -1;
}
#endif

static ssize_t receive(struct client *client, void *bytes, size_t size) {
#ifdef TLS
    if (client->tls) return tlsOutcome(client, SSL_read(client->tls, bytes, (int)size));
#endif
    return read(client->fd, bytes, size);
}

static ssize_t put(struct client *client, const void *bytes, size_t size) {
#ifdef TLS
    if (client->tls) return tlsOutcome(client, SSL_write(client->tls, bytes, (int)size));
#endif
    return write(client->fd, bytes, size);
}

static int hasMore(struct client *client) {
#ifdef TLS
    if (client->tls) return SSL_pending(client->tls) > 0;
#endif
    (void)client;
    return 0;
}

/* -- sending */

static void watch(struct client *client, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = client};
    if (epoll_ctl(poll, operation, client->fd, &event)) die("epoll_ctl: %s", strerror(errno));
}

static void flush(struct client *client) {
    while (client->outSize) {
        ssize_t written = put(client, client->out, client->outSize);
        if (written < 0 && errno == EAGAIN) return;
        if (written < 0) die("write: %s", strerror(errno));
        client->out += written;
        client->outSize -= (size_t)written;
    }
}

static void speak(struct client *client) {
    if (isNumbered && client->cursor == frameCount)
        die("all %d numbered messages of a client are sent: it takes less warm-up and seconds", frameCount);
    if (client->outSize) die("the server reads too slowly");
    struct frame *frame = &frames[client->cursor++ % frameCount];
    client->out = frame->bytes;
    client->outSize = frame->size;
    client->sentAt = now();
    if (isBroadcast) {
        sentAt[said % SENT] = client->sentAt;
        waiting += (uint64_t)listeners;
    } else {
        client->count = (uint64_t)depth;
        waiting += (uint64_t)depth;
    }
    said++;
    flush(client);
    if (client->outSize) watch(client, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void begin(void) {
    isRunning = 1;
    received = receivedBytes = said = 0;
    memset(histogram, 0, sizeof histogram);
    for (int i = 0; i < clientCount; i++) clients[i].count = 0;
    for (int i = 0; i < (isBroadcast ? speakers : clientCount); i++) speak(&clients[i]);
}

/* -- receiving */

static void got(struct client *client) {
    received++;
    waiting--;
    if (isBroadcast) {
        /* all clients receive the messages in the order in which they were sent, or nearly */
        record(readAt - sentAt[client->count++ % SENT]);
        if (isRunning && waiting <= (uint64_t)(speakers - 1) * (uint64_t)listeners)
            speak(&clients[said % (uint64_t)speakers]);
    } else if (--client->count == 0) {
        record(readAt - client->sentAt);
        if (isRunning) speak(client);
    }
}

static void pong(struct client *client) {
    unsigned char frame[6 + 125] = {0x8A, (unsigned char)(0x80 | client->startSize)};
    memcpy(frame + 6, client->start, (size_t)client->startSize);
    if (client->outSize == 0 && put(client, frame, 6 + (size_t)client->startSize) < 0)
        die("pong: %s", strerror(errno));
}

static void frameEnds(struct client *client) {
    int isFinal = client->head[0] & 0x80, opcode = client->head[0] & 0x0F;
    client->headSize = 0;
    if (opcode == 8)
        die("the server closes a connection with %d", client->start[0] << 8 | client->start[1]);
    if (opcode == 9) pong(client);
    if (opcode < 3 && isFinal && client->startSize >= matchSize &&
        memcmp(client->start, match, (size_t)matchSize) == 0)
        got(client);
}

/* Take one byte of a head; true when the head is complete. */
static int headTakes(struct client *client, unsigned char byte) {
    client->head[client->headSize++] = byte;
    if (client->headSize < 2) return 0;
    int size = client->head[1], extra = size == 126 ? 2 : size == 127 ? 8 : 0;
    if (size > 127) die("the server masks");
    if (client->headSize < 2 + extra) return 0;
    client->left = (uint64_t)size;
    if (extra) client->left = 0;
    for (int i = 0; i < extra; i++) client->left = client->left << 8 | client->head[2 + i];
    if (client->head[0] & 0x0F) client->startSize = 0;
    return 1;
}

static void feed(struct client *client, const unsigned char *data, size_t size) {
    const unsigned char *end = data + size;
    int inPayload = client->left > 0;
    while (data < end) {
        if (!inPayload) {
            if (!headTakes(client, *data++)) continue;
            inPayload = client->left > 0;
            if (!inPayload) frameEnds(client);
            continue;
        }
        size_t part = (size_t)(end - data) < client->left ? (size_t)(end - data) : client->left;
        size_t kept = (size_t)(START - client->startSize);
        if (kept > part) kept = part;
        memcpy(client->start + client->startSize, data, kept);
        client->startSize += (int)kept;
        client->left -= part;
        data += part;
        if (client->left == 0) {
            inPayload = 0;
            frameEnds(client);
        }
    }
}

static void readable(struct client *client) {
    static unsigned char buffer[BUFFER];
    do {
        ssize_t size = receive(client, buffer, sizeof buffer);
        if (size < 0 && errno == EAGAIN) return;
        if (size < 0) die("read: %s", strerror(errno));
        if (size == 0) die("the server has dropped a connection");
        readAt = now();
        receivedBytes += (uint64_t)size;
        feed(client, buffer, (size_t)size);
    } while (hasMore(client));
}

static void turn(void) {
    static struct epoll_event events[EVENTS];
    int count = epoll_wait(poll, events, EVENTS, PATIENCE);
    if (count < 0 && errno == EINTR) return;
    if (count < 0) die("epoll_wait: %s", strerror(errno));
    if (count == 0) die("nothing came for %d s; %llu messages are missing", PATIENCE / 1000,
                        (unsigned long long)waiting);
    for (int i = 0; i < count; i++) {
        struct client *client = events[i].data.ptr;
        if (events[i].events & EPOLLOUT) {
            flush(client);
            if (!client->outSize) watch(client, EPOLL_CTL_MOD, EPOLLIN);
        }
        if (events[i].events & ~(uint32_t)EPOLLOUT) readable(client);
    }
}

/* Run for some time, then until no answer is missing; return the seconds it took. */
static double run(double seconds) {
    uint64_t started = now(), until = started + (uint64_t)(seconds * 1e9);
    begin();
    while (now() < until) turn();
    isRunning = 0;
    while (waiting) turn();
    return (double)(now() - started) / 1e9;
}

/* -- the job */

static size_t unhex(const char *text, unsigned char *bytes, size_t most) {
    size_t size = 0;
    unsigned byte;
    for (; size < most && sscanf(text, "%2x", &byte) == 1 && text[0] > ' '; text += 2)
        bytes[size++] = (unsigned char)byte;
    return size;
}

static void readFrames(int count) {
    char *line = NULL;
    size_t room = 0;
    frames = calloc((size_t)count, sizeof *frames);
    frameCount = count;
    for (int i = 0; i < count; i++) {
        ssize_t size = getline(&line, &room, stdin);
        if (size <= 0) die("frames are missing");
        frames[i].bytes = malloc((size_t)size / 2 + 1);
        frames[i].size = unhex(line, frames[i].bytes, (size_t)size / 2);
    }
    free(line);
}

static void readClients(char *numbers, int count) {
    clients = calloc((size_t)count, sizeof *clients);
    for (char *number = strtok(numbers, " \n"); number; number = strtok(NULL, " \n"))
        clients[clientCount++].fd = atoi(number);
}

#ifdef TLS
static void handshake(struct client *client, SSL_CTX *context, int port, const void *request, int size) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int yes = 1;
    char answer[4096];
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client->fd, (struct sockaddr *)&address, sizeof address)) die("connect: %s", strerror(errno));
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    client->tls = SSL_new(context);
    SSL_set_fd(client->tls, client->fd);
    if (SSL_connect(client->tls) != 1) die("no TLS");
    SSL_write(client->tls, request, size);
    for (int got = 0; got < 4 || memcmp(answer + got - 4, "\r\n\r\n", 4);) {
        int more = SSL_read(client->tls, answer + got, (int)sizeof answer - got);
        if (more <= 0) die("no upgrade");
        got += more;
    }
}
#endif

static void connectAll(char *job) {
#ifdef TLS
    unsigned char request[4096];
    int port = atoi(strtok(job, " ")), count = atoi(strtok(NULL, " "));
    size_t size = unhex(strtok(NULL, " "), request, sizeof request);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    clients = calloc((size_t)count, sizeof *clients);
    for (; clientCount < count; clientCount++)
        handshake(&clients[clientCount], context, port, request, (int)size);
#else
    die("%s: made without TLS", job);
#endif
}

static void readMuted(char *numbers) {
    for (char *number = strtok(numbers, " \n"); number; number = strtok(NULL, " \n"))
        for (int i = 0; i < clientCount; i++)
            if (clients[i].fd == atoi(number)) clients[i].muted = 1;
}

static void readJob(void) {
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        char *value = strchr(line, ' ');
        if (value) *value++ = 0;
        if (!strcmp(line, "mode")) isBroadcast = !strncmp(value, "broadcast", 9);
        else if (!strcmp(line, "fds")) readClients(value, (int)strlen(value));
        else if (!strcmp(line, "tls")) connectAll(value);
        else if (!strcmp(line, "mute")) readMuted(value);
        else if (!strcmp(line, "speakers")) speakers = atoi(value);
        else if (!strcmp(line, "depth")) depth = atoi(value);
        else if (!strcmp(line, "match")) matchSize = (int)unhex(value, match, sizeof match);
        else if (!strcmp(line, "frames")) readFrames(atoi(value));
        else if (!strcmp(line, "numbered")) isNumbered = 1, readFrames(atoi(value));
        else if (!strcmp(line, "warm")) warmUp = atof(value);
        else if (!strcmp(line, "seconds")) duration = atof(value);
        else if (!strncmp(line, "end", 3)) break;
        else die("what is %s?", line);
    }
    free(line);
}

int main(void) {
    readJob();
    if (!clientCount || !frameCount || speakers < 1 || speakers > clientCount || speakers > SENT) die("no job");
    poll = epoll_create1(0);
    for (int i = 0; i < clientCount; i++) {
        if (clients[i].muted) continue;
        listeners++;
        fcntl(clients[i].fd, F_SETFL, O_NONBLOCK);
        watch(&clients[i], EPOLL_CTL_ADD, EPOLLIN);
    }
    run(warmUp);
    puts("ready");
    fflush(stdout);
    if (getchar() == EOF) return 1;
    double cpu = cpuSeconds(), seconds = run(duration);
    printf("{\"messages\": %llu, \"bytes\": %llu, \"seconds\": %.6f, \"cpu\": %.6f, \"p50\": %.1f, \"p99\": %.1f, "
           "\"max\": %.1f}\n",
           (unsigned long long)received, (unsigned long long)receivedBytes, seconds, cpuSeconds() - cpu, percentile(0.5), percentile(0.99),
           percentile(1));
    return 0;
}
