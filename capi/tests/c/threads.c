/* Threads of the program and clients of a server on one cache. */
#include "test.h"

enum { THREADS = 4, KEYS = 64 };

static mcrs_cache *cache;
static mcrs_server *server;

/* Every value that a thread reads is whole. */
static void check(const char *value, size_t length) {
    CHECK(length >= 8 && value[0] == 'v');
    for (size_t n = 1; n < length; n++) {
        CHECK(value[n] == value[1]);
    }
}

static void shown(void *userdata, size_t index, const mcrs_slice *value, const mcrs_info *info) {
    (void)userdata, (void)index, (void)info;
    check(value->data, value->len);
}

static bool walked(void *userdata, const mcrs_slice *key, const mcrs_info *info) {
    (void)info;
    CHECK(key->len > 0);
    ++*(int *)userdata;
    return true;
}

static void *program(void *given) {
    unsigned seed = (unsigned)(size_t)given;
    char key[32], value[9000], buffer[9000];
    size_t length;
    int seen = 0;
    for (int n = 0; n < rounds(20000); n++) {
        seed = seed * 1103515245u + 12345u;
        unsigned which = seed >> 16;
        int size = snprintf(key, sizeof key, "key%u", which % KEYS);
        mcrs_status status = MCRS_OK;
        switch (which / KEYS % 8) {
        case 0:
        case 1:
            value[0] = 'v';
            length = 8 + which % (sizeof value - 8);
            memset(value + 1, 'a' + (int)(size_t)given, length - 1);
            OK(mcrs_cache_set(cache, key, (size_t)size, value, length, which % 3));
            continue;
        case 2:
            status = mcrs_cache_delete(cache, key, (size_t)size);
            break;
        case 3: {
            mcrs_item *item;
            mcrs_slice slice;
            status = mcrs_cache_get_item(cache, key, (size_t)size, &item);
            if (status == MCRS_OK) {
                OK(mcrs_item_value(item, &slice));
                check(slice.data, slice.len);
                mcrs_item_free(item);
            }
            break;
        }
        case 4:
            status = mcrs_cache_get_with(cache, key, (size_t)size, shown, NULL);
            break;
        case 5:
            if (n % 100 == 0) {
                OK(mcrs_cache_each_key(cache, walked, &seen));
            }
            status = mcrs_cache_touch(cache, key, (size_t)size, 5);
            break;
        default:
            status = mcrs_cache_get(cache, key, (size_t)size, buffer, sizeof buffer, &length);
            if (status == MCRS_OK) {
                check(buffer, length);
            }
        }
        if (status != MCRS_NOT_FOUND) {
            OK(status);
        }
    }
    return NULL;
}

static void *client(void *given) {
    int fd = connect_to(server, 0);
    (void)given;
    for (int n = 0; n < rounds(20000) / 10; n++) {
        says(fd, "set key1 0 0 8\r\nvzzzzzzz\r\n", "STORED\r\n");
        says(fd, "delete key1 noreply\r\nmn\r\n", "MN\r\n");
    }
    close(fd);
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS + 2];
    server = small_server();
    OK(mcrs_server_cache(server, &cache));
    for (size_t n = 0; n < THREADS; n++) {
        CHECK(pthread_create(&threads[n], NULL, program, (void *)(n + 1)) == 0);
    }
    CHECK(pthread_create(&threads[THREADS], NULL, client, NULL) == 0);
    CHECK(pthread_create(&threads[THREADS + 1], NULL, client, NULL) == 0);
    for (int n = 0; n < THREADS + 2; n++) {
        CHECK(pthread_join(threads[n], NULL) == 0);
    }
    /* The cache stays when the server goes. */
    mcrs_server_free(server);
    OK(mcrs_cache_set(cache, S("key1"), S("still"), 0));
    has(cache, "key1", "still");
    mcrs_cache_free(cache);
    return 0;
}
