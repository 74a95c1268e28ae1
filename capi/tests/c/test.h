/* Shared by all tests: they say where they failed, and end. */
#ifndef TEST_H
#define TEST_H

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <unistd.h>

#include "memcache_rs.h"
#include "memcache_rs.h" /* twice: it guards itself */

#ifdef TEST_DLOPEN
#include "by_dlopen.h" /* made by run.py: every function by dlsym() */
#endif

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n  last error: %s\n", __FILE__, __LINE__, #condition,                 \
                    mcrs_error_message());                                                                   \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

#define IS(call, status)                                                                                     \
    do {                                                                                                     \
        int32_t is_got = (call);                                                                             \
        if (is_got != (status)) {                                                                            \
            fprintf(stderr, "%s:%d: %s\n  is %d (%s: %s), not %s\n", __FILE__, __LINE__, #call, is_got,      \
                    mcrs_status_text(is_got), mcrs_error_message(), #status);                                \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

#define OK(call) IS(call, MCRS_OK)

/* A literal as bytes and length. */
#define S(text) (text), (sizeof(text) - 1)

static inline int rounds(int plain) {
    const char *given = getenv("TEST_ROUNDS");
    return given ? atoi(given) : plain;
}

/* A small cache whose clock stands still. */
static inline mcrs_cache *small_cache(void) {
    mcrs_config *config = NULL;
    mcrs_cache *cache = NULL;
    OK(mcrs_config_new(&config));
    OK(mcrs_config_set_memory_limit(config, 8u << 20));
    OK(mcrs_config_set_clock_frozen(config, true));
    OK(mcrs_cache_new(config, &cache));
    mcrs_config_free(config);
    return cache;
}

/* Settings of a server on a free port, two threads. */
static inline mcrs_config *small_config(void) {
    mcrs_config *config = NULL;
    OK(mcrs_config_new(&config));
    OK(mcrs_config_set_memory_limit(config, 8u << 20));
    OK(mcrs_config_set_threads(config, 2));
    OK(mcrs_config_listen_tcp(config, NULL, 0, MCRS_PROTOCOL_AUTO, MCRS_TLS_OFF));
    return config;
}

static inline mcrs_server *small_server(void) {
    mcrs_config *config = small_config();
    mcrs_server *server = NULL;
    OK(mcrs_server_start(config, &server));
    mcrs_config_free(config);
    return server;
}

static inline void has(const mcrs_cache *cache, const char *key, const char *value) {
    char buffer[256];
    size_t length = 0;
    OK(mcrs_cache_get(cache, key, strlen(key), buffer, sizeof buffer, &length));
    CHECK(length == strlen(value) && memcmp(buffer, value, length) == 0);
}

static inline int connect_to(const mcrs_server *server, size_t index) {
    mcrs_address address;
    OK(mcrs_server_address(server, index, &address));
    struct timeval patience = {20, 0};
    int client;
    if (address.kind == MCRS_ADDRESS_UNIX) {
        struct sockaddr_un name = {0};
        name.sun_family = AF_UNIX;
        CHECK(strlen(address.host) < sizeof name.sun_path);
        memcpy(name.sun_path, address.host, strlen(address.host));
        client = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK(connect(client, (struct sockaddr *)&name, sizeof name) == 0);
    } else {
        struct sockaddr_in name = {0};
        name.sin_family = AF_INET;
        name.sin_port = htons(address.port);
        CHECK(inet_pton(AF_INET, address.host, &name.sin_addr) == 1);
        client = socket(AF_INET, address.kind == MCRS_ADDRESS_UDP ? SOCK_DGRAM : SOCK_STREAM, 0);
        CHECK(connect(client, (struct sockaddr *)&name, sizeof name) == 0);
    }
    CHECK(setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
    return client;
}

/* Sends a request and expects exactly this reply. */
static inline void says(int client, const char *request, const char *reply) {
    char got[512];
    size_t want = strlen(reply), have = 0;
    CHECK(want < sizeof got);
    CHECK(write(client, request, strlen(request)) == (ssize_t)strlen(request));
    while (have < want) {
        ssize_t some = read(client, got + have, want - have);
        if (some <= 0) {
            fprintf(stderr, "to %s came only %.*s\n", request, (int)have, got);
            exit(1);
        }
        have += (size_t)some;
    }
    got[have] = 0;
    if (strcmp(got, reply) != 0) {
        fprintf(stderr, "to %s came %s, not %s\n", request, got, reply);
        exit(1);
    }
}

/* The other end has closed. */
static inline void is_closed(int client) {
    char byte;
    CHECK(read(client, &byte, 1) <= 0);
    close(client);
}

#endif
