/*
 * A server that does only the system calls. It reads the first message, takes every later one to be the
 * same, and writes a frame made from the first.
 *
 *     floor --port N echo|broadcast
 */

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 1 << 18, EVENTS = 512, CLIENTS = 32768 };

/* The answer to the key in RFC 6455, section 1.3, which the benchmark always sends. */
static const char ANSWER[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static unsigned char buffer[BUFFER];
static unsigned char *frame;
static size_t frameSize, messageSize;
static int isOpen[CLIENTS], connected[CLIENTS], connectedCount;
static size_t pending[CLIENTS];

/* Read the first message; return whether there is a complete one. */
static int learn(int fd) {
    if (recv(fd, buffer, 14, MSG_PEEK) <= 0) return 0;
    size_t size = buffer[1] & 127, extra = size == 126 ? 2 : size == 127 ? 8 : 0;
    if (extra) size = 0;
    for (size_t i = 0; i < extra; i++) size = size << 8 | buffer[2 + i];
    messageSize = 2 + extra + 4 + size;
    frameSize = 2 + extra + size;
    frame = malloc(messageSize);
    if (recv(fd, frame, messageSize, MSG_WAITALL) != (ssize_t)messageSize) exit(1);
    unsigned char *mask = frame + 2 + extra, *payload = frame + 2 + extra;
    unsigned char key[4] = {mask[0], mask[1], mask[2], mask[3]};
    for (size_t i = 0; i < size; i++) payload[i] = payload[i + 4] ^ key[i % 4];
    frame[1] &= 127;
    return 1;
}

static void put(int fd) {
    for (size_t done = 0; done < frameSize;) {
        ssize_t written = write(fd, frame + done, frameSize - done);
        if (written < 0) return;
        done += (size_t)written;
    }
}

static void answer(int fd, int isBroadcast) {
    if (!isBroadcast) put(fd);
    for (int i = 0; isBroadcast && i < connectedCount; i++) put(connected[i]);
}

static void readable(int fd, int isBroadcast) {
    if (isOpen[fd] && !frame && learn(fd)) {
        answer(fd, isBroadcast);
        return;
    }
    ssize_t size = read(fd, buffer, sizeof buffer);
    if (size <= 0) {
        close(fd);
        isOpen[fd] = 0;
    } else if (!isOpen[fd]) {
        if (write(fd, ANSWER, sizeof ANSWER - 1) < 0) close(fd);
        isOpen[fd] = 1;
        connected[connectedCount++] = fd;
    } else {
        pending[fd] += (size_t)size;
        for (; pending[fd] >= messageSize; pending[fd] -= messageSize) answer(fd, isBroadcast);
    }
}

int main(int count, char **args) {
    if (count != 4) return 2;
    int isBroadcast = !strcmp(args[3], "broadcast"), yes = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(args[2]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 511)) return 1;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd != listener) {
                readable(events[i].data.fd, isBroadcast);
                continue;
            }
            int fd = accept(listener, NULL, NULL);
            if (fd < 0 || fd >= CLIENTS) return 1;
            isOpen[fd] = 0;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
            event.data.fd = fd;
            epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
        }
    }
}
