/* Measures hot gets and sets of 100 bytes in this process, through C: libmemcache_rs, GLib's
 * GHashTable behind a mutex, and pogocache's embedded API if it is compiled in (POGOCACHE).
 *
 * All subjects copy the value to the caller's buffer, except that `get_item` copies one byte.
 * Subjects take turns within each round. A cost is CPU time of the measuring thread, the median
 * over the rounds. The program prints each cost as a line of JSON. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "memcache_rs.h"
#ifdef POGOCACHE
#include "pogocache.h"
#endif

enum { KEYS = 10000, ASKED = 16384, KEY = 16, VALUE = 100, ROUNDS = 31, STRETCH = 20 * ASKED };

static char keys[KEYS][KEY + 1];
static unsigned asked[ASKED];
static char value[VALUE];

static mcrs_cache *cache;

static size_t get_ours(const char *key, char *to) {
    size_t length = 0;
    return mcrs_cache_get(cache, key, KEY, to, VALUE, &length) == MCRS_OK ? length : 0;
}

static size_t item_ours(const char *key, char *to) {
    mcrs_item *item;
    mcrs_slice slice;
    if (mcrs_cache_get_item(cache, key, KEY, &item) != MCRS_OK) {
        return 0;
    }
    mcrs_item_value(item, &slice);
    memcpy(to, slice.data, 1);
    mcrs_item_free(item);
    return slice.len;
}

static void seen(void *userdata, size_t index, const mcrs_slice *found, const mcrs_info *info) {
    (void)index, (void)info;
    memcpy(userdata, found->data, found->len);
}

static size_t with_ours(const char *key, char *to) {
    return mcrs_cache_get_with(cache, key, KEY, seen, to) == MCRS_OK ? VALUE : 0;
}

static size_t set_ours(const char *key, char *to) {
    (void)to;
    return mcrs_cache_set(cache, key, KEY, value, VALUE, 0) == MCRS_OK ? VALUE : 0;
}

static GHashTable *table;
static GMutex mutex;

static size_t get_glib(const char *key, char *to) {
    g_mutex_lock(&mutex);
    const char *found = g_hash_table_lookup(table, key);
    if (found) {
        memcpy(to, found, VALUE);
    }
    g_mutex_unlock(&mutex);
    return found ? VALUE : 0;
}

static size_t set_glib(const char *key, char *to) {
    (void)to;
    char *copy = g_malloc(VALUE);
    memcpy(copy, value, VALUE);
    g_mutex_lock(&mutex);
    g_hash_table_replace(table, g_strdup(key), copy);
    g_mutex_unlock(&mutex);
    return VALUE;
}

#ifdef POGOCACHE
static struct pogocache *pogo;

struct copied {
    char *to;
    size_t length;
};

static void pogo_entry(int shard, int64_t now, const void *key, size_t key_len, const void *found, size_t length,
                       int64_t expires, uint32_t flags, uint64_t cas, struct pogocache_update **update, void *udata) {
    struct copied *copied = udata;
    (void)shard, (void)now, (void)key, (void)key_len, (void)expires, (void)flags, (void)cas, (void)update;
    memcpy(copied->to, found, length);
    copied->length = length;
}

static size_t get_pogo(const char *key, char *to) {
    struct copied copied = {to, 0};
    struct pogocache_load_opts options = {.entry = pogo_entry, .udata = &copied};
    pogocache_load(pogo, key, KEY, &options);
    return copied.length;
}

static size_t set_pogo(const char *key, char *to) {
    struct pogocache_store_opts options = {0};
    (void)to;
    int done = pogocache_store(pogo, key, KEY, value, VALUE, &options);
    return done == POGOCACHE_INSERTED || done == POGOCACHE_REPLACED ? VALUE : 0;
}
#endif

struct subject {
    const char *name, *measurement;
    size_t (*operation)(const char *key, char *to);
    double costs[ROUNDS];
};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int compare(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

int main(void) {
    static struct subject subjects[] = {
        {"memcache-rs", "get hot", get_ours, {0}},
        {"memcache-rs", "get_item hot", item_ours, {0}},
        {"memcache-rs", "get_with hot", with_ours, {0}},
        {"memcache-rs", "set hot", set_ours, {0}},
        {"GHashTable+mutex", "get hot", get_glib, {0}},
        {"GHashTable+mutex", "set hot", set_glib, {0}},
#ifdef POGOCACHE
        {"pogocache", "get hot", get_pogo, {0}},
        {"pogocache", "set hot", set_pogo, {0}},
#endif
    };
    const size_t count = sizeof subjects / sizeof *subjects;
    char to[VALUE];
    uint64_t random = 1;
    memset(value, 'v', sizeof value);
    if (mcrs_cache_new(NULL, &cache) != MCRS_OK) {
        fprintf(stderr, "%s\n", mcrs_error_message());
        return 1;
    }
    table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
#ifdef POGOCACHE
    struct pogocache_opts options = {0};
    pogo = pogocache_new(&options);
#endif
    for (int n = 0; n < KEYS; n++) {
        snprintf(keys[n], sizeof keys[n], "key-%012d", n);
        for (size_t s = 0; s < count; s++) {
            if (strcmp(subjects[s].measurement, "set hot") == 0 && subjects[s].operation(keys[n], to) != VALUE) {
                return 1;
            }
        }
    }
    for (int n = 0; n < ASKED; n++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        asked[n] = (unsigned)(random >> 33) % KEYS;
    }
    for (int round = -1; round < ROUNDS; round++) {
        for (size_t s = 0; s < count; s++) {
            double began = now();
            for (int n = 0; n < STRETCH; n++) {
                if (subjects[s].operation(keys[asked[n % ASKED]], to) != VALUE) {
                    fprintf(stderr, "%s: an item is missing\n", subjects[s].name);
                    return 1;
                }
            }
            if (round >= 0) {
                subjects[s].costs[round] = (now() - began) / STRETCH;
            }
        }
    }
    for (size_t s = 0; s < count; s++) {
        qsort(subjects[s].costs, ROUNDS, sizeof(double), compare);
        printf("{\"c\":\"%s\",\"subject\":\"%s\",\"cpu_ns\":%.1f}\n", subjects[s].measurement, subjects[s].name,
               subjects[s].costs[ROUNDS / 2]);
    }
    mcrs_cache_free(cache);
    return 0;
}
