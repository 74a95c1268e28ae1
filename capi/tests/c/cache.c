/* Reading and storing, each with what can go wrong. */
#include "test.h"

static void plain_stores(mcrs_cache *cache) {
    char buffer[64];
    size_t length = 99;
    IS(mcrs_cache_get(cache, S("a"), buffer, sizeof buffer, &length), MCRS_NOT_FOUND);
    CHECK(length == 99);
    OK(mcrs_cache_set(cache, S("a"), S("1"), MCRS_NEVER));
    has(cache, "a", "1");
    IS(mcrs_cache_add(cache, S("a"), S("2"), MCRS_NEVER), MCRS_NOT_STORED);
    IS(mcrs_cache_replace(cache, S("b"), S("2"), MCRS_NEVER), MCRS_NOT_STORED);
    IS(mcrs_cache_append(cache, S("b"), S("2")), MCRS_NOT_STORED);
    IS(mcrs_cache_prepend(cache, S("b"), S("2")), MCRS_NOT_STORED);
    OK(mcrs_cache_append(cache, S("a"), S("2")));
    OK(mcrs_cache_prepend(cache, S("a"), S("3")));
    has(cache, "a", "312");
    OK(mcrs_cache_replace(cache, S("a"), S("new"), MCRS_NEVER));
    has(cache, "a", "new");
    OK(mcrs_cache_add(cache, S("b"), S(""), MCRS_NEVER));
    length = 99;
    OK(mcrs_cache_get(cache, S("b"), NULL, 0, &length));
    CHECK(length == 0);
    OK(mcrs_cache_delete(cache, S("a")));
    IS(mcrs_cache_delete(cache, S("a")), MCRS_NOT_FOUND);
    OK(mcrs_cache_set(cache, S("c"), NULL, 0, MCRS_NEVER));
    has(cache, "c", "");
}

static void buffers(mcrs_cache *cache) {
    char buffer[4] = "...";
    size_t length = 99;
    OK(mcrs_cache_set(cache, S("k"), S("12345"), MCRS_NEVER));
    IS(mcrs_cache_get(cache, S("k"), buffer, 3, &length), MCRS_BUFFER_TOO_SMALL);
    CHECK(length == 5 && strcmp(buffer, "...") == 0);
    IS(mcrs_cache_get(cache, S("k"), NULL, 0, &length), MCRS_BUFFER_TOO_SMALL);
    IS(mcrs_cache_get(cache, S("k"), NULL, 3, &length), MCRS_NULL_ARGUMENT);
    OK(mcrs_cache_set(cache, S("k"), S("123"), MCRS_NEVER));
    OK(mcrs_cache_get(cache, S("k"), buffer, 3, &length));
    CHECK(length == 3 && memcmp(buffer, "123", 4) == 0);
}

static void keys(mcrs_cache *cache) {
    char key[251];
    size_t length;
    memset(key, 'k', sizeof key);
    IS(mcrs_cache_set(cache, key, 251, S("v"), 0), MCRS_BAD_KEY);
    OK(mcrs_cache_set(cache, key, 250, S("v"), 0));
    IS(mcrs_cache_set(cache, key, 0, S("v"), 0), MCRS_BAD_KEY);
    IS(mcrs_cache_set(cache, NULL, 0, S("v"), 0), MCRS_BAD_KEY);
    IS(mcrs_cache_set(cache, NULL, 1, S("v"), 0), MCRS_NULL_ARGUMENT);
    IS(mcrs_cache_set(cache, S("k"), NULL, 1, 0), MCRS_NULL_ARGUMENT);
    IS(mcrs_cache_set(cache, S("k"), key, SIZE_MAX, 0), MCRS_INVALID_ARGUMENT);
    IS(mcrs_cache_get(cache, key, 251, NULL, 0, &length), MCRS_BAD_KEY);
    OK(mcrs_cache_set(cache, "\0\n ", 3, S("any"), 0));
    OK(mcrs_cache_delete(cache, "\0\n ", 3));
}

static void large(mcrs_cache *cache) {
    size_t size = 3u << 20, length = 0;
    char *value = calloc(1, size), *copy = malloc(size);
    CHECK(value && copy);
    OK(mcrs_cache_set(cache, S("big"), S("old"), 0));
    IS(mcrs_cache_set(cache, S("big"), value, size, 0), MCRS_TOO_LARGE);
    IS(mcrs_cache_get(cache, S("big"), copy, size, &length), MCRS_NOT_FOUND);
    memset(value, 'x', 500000);
    OK(mcrs_cache_set(cache, S("big"), value, 500000, 0));
    OK(mcrs_cache_get(cache, S("big"), copy, size, &length));
    CHECK(length == 500000 && memcmp(copy, value, length) == 0);
    free(value);
    free(copy);
}

static void times(mcrs_cache *cache) {
    mcrs_info info;
    char buffer[8];
    size_t length;
    OK(mcrs_cache_set(cache, S("t"), S("v"), 10));
    OK(mcrs_cache_info(cache, S("t"), &info));
    CHECK(info.ttl == 10 && info.value_len == 1 && info.cas != 0 && info.flags == 0 && info.bits == 0);
    OK(mcrs_clock_advance(cache, 4));
    OK(mcrs_cache_info(cache, S("t"), &info));
    CHECK(info.ttl == 6 && info.idle == 4 && info.reserved[0] == 0);
    OK(mcrs_cache_touch(cache, S("t"), 100));
    OK(mcrs_cache_info(cache, S("t"), &info));
    CHECK(info.ttl == 100);
    OK(mcrs_cache_get_and_touch(cache, S("t"), 3, buffer, sizeof buffer, &length));
    CHECK(length == 1);
    OK(mcrs_clock_advance(cache, 3));
    IS(mcrs_cache_get_and_touch(cache, S("t"), 3, buffer, sizeof buffer, &length), MCRS_NOT_FOUND);
    IS(mcrs_cache_touch(cache, S("t"), 3), MCRS_NOT_FOUND);
    IS(mcrs_cache_info(cache, S("t"), &info), MCRS_NOT_FOUND);
    OK(mcrs_cache_set(cache, S("t"), S("v"), MCRS_NEVER));
    OK(mcrs_cache_info(cache, S("t"), &info));
    CHECK(info.ttl == MCRS_NEVER);
    /* More than 30 days is not a Unix time here. */
    OK(mcrs_cache_set(cache, S("t"), S("v"), 40u * 86400));
    OK(mcrs_cache_info(cache, S("t"), &info));
    CHECK(info.ttl == 40u * 86400);
    /* 100 years is the most, as in every language. */
    OK(mcrs_cache_touch(cache, S("t"), 3155760000u));
    IS(mcrs_cache_touch(cache, S("t"), 3155760001u), MCRS_INVALID_ARGUMENT);
    IS(mcrs_cache_set(cache, S("t"), S("w"), UINT32_MAX), MCRS_INVALID_ARGUMENT);
    OK(mcrs_cache_info(cache, S("t"), &info));
    CHECK(info.ttl == 3155760000u);
}

static void cas(mcrs_cache *cache) {
    mcrs_info info;
    mcrs_store_options options = {0};
    uint64_t next = 0;
    IS(mcrs_cache_cas(cache, S("c2"), S("v"), 0, 1), MCRS_NOT_FOUND);
    OK(mcrs_cache_set(cache, S("c2"), S("v"), 0));
    OK(mcrs_cache_info(cache, S("c2"), &info));
    IS(mcrs_cache_cas(cache, S("c2"), S("w"), 0, info.cas + 1), MCRS_EXISTS);
    IS(mcrs_cache_cas(cache, S("c2"), S("w"), 0, 0), MCRS_EXISTS);
    OK(mcrs_cache_cas(cache, S("c2"), S("w"), 0, info.cas));
    IS(mcrs_cache_cas(cache, S("c2"), S("x"), 0, info.cas), MCRS_EXISTS);
    has(cache, "c2", "w");
    options.flags = 77;
    options.ttl = 5;
    options.new_cas = 1000;
    OK(mcrs_cache_store(cache, S("c2"), S("y"), &options, &next));
    CHECK(next == 1000);
    OK(mcrs_cache_info(cache, S("c2"), &info));
    CHECK(info.flags == 77 && info.ttl == 5 && info.cas == 1000);
    options.compare_cas = 999;
    next = 1;
    IS(mcrs_cache_store(cache, S("c2"), S("z"), &options, &next), MCRS_EXISTS);
    CHECK(next == 1);
    options.compare_cas = 1000;
    options.new_cas = 0;
    OK(mcrs_cache_store(cache, S("c2"), S("z"), &options, NULL));
    has(cache, "c2", "z");
}

static void options(mcrs_cache *cache) {
    mcrs_store_options options = {0};
    OK(mcrs_cache_store(cache, S("o"), S("v"), NULL, NULL));
    options.mode = MCRS_MODE_ADD;
    IS(mcrs_cache_store(cache, S("o"), S("w"), &options, NULL), MCRS_NOT_STORED);
    options.compare_cas = 1;
    IS(mcrs_cache_store(cache, S("o"), S("w"), &options, NULL), MCRS_INVALID_ARGUMENT);
    options.compare_cas = 0;
    options.mode = MCRS_MODE_REPLACE;
    OK(mcrs_cache_store(cache, S("o"), S("w"), &options, NULL));
    options.mode = MCRS_MODE_APPEND;
    OK(mcrs_cache_store(cache, S("o"), S("x"), &options, NULL));
    options.mode = MCRS_MODE_PREPEND;
    OK(mcrs_cache_store(cache, S("o"), S("u"), &options, NULL));
    has(cache, "o", "uwx");
    IS(mcrs_cache_store(cache, S("p"), S("u"), &options, NULL), MCRS_NOT_STORED);
    options.bits = MCRS_STORE_CREATE;
    OK(mcrs_cache_store(cache, S("p"), S("u"), &options, NULL));
    options.bits = 1u << 30;
    IS(mcrs_cache_store(cache, S("p"), S("u"), &options, NULL), MCRS_INVALID_ARGUMENT);
    CHECK(strcmp(mcrs_error_message(), "bits must be within 0x3, got 0x40000000") == 0);
    options.bits = 0;
    options.mode = 99;
    IS(mcrs_cache_store(cache, S("p"), S("u"), &options, NULL), MCRS_INVALID_ARGUMENT);
    options.mode = MCRS_MODE_SET;
    options.reserved[3] = 1;
    IS(mcrs_cache_store(cache, S("p"), S("u"), &options, NULL), MCRS_INVALID_ARGUMENT);
}

static void numbers(mcrs_cache *cache) {
    uint64_t value = 7, cas = 0;
    mcrs_delta_options options = {0};
    mcrs_info info;
    IS(mcrs_cache_incr(cache, S("n"), 1, &value), MCRS_NOT_FOUND);
    CHECK(value == 7);
    OK(mcrs_cache_set(cache, S("n"), S("41"), 0));
    OK(mcrs_cache_incr(cache, S("n"), 1, &value));
    CHECK(value == 42);
    OK(mcrs_cache_decr(cache, S("n"), 100, &value));
    CHECK(value == 0);
    OK(mcrs_cache_incr(cache, S("n"), UINT64_MAX, NULL));
    OK(mcrs_cache_incr(cache, S("n"), 2, &value));
    CHECK(value == 1);
    OK(mcrs_cache_set(cache, S("n"), S("x"), 0));
    IS(mcrs_cache_incr(cache, S("n"), 1, &value), MCRS_NOT_A_NUMBER);
    IS(mcrs_cache_decr(cache, S("n"), 1, NULL), MCRS_NOT_A_NUMBER);
    options.delta = 5;
    options.initial = 100;
    IS(mcrs_cache_incr_with(cache, S("m"), &options, &value, &cas), MCRS_NOT_FOUND);
    options.bits = MCRS_DELTA_CREATE;
    options.create_ttl = 9;
    OK(mcrs_cache_incr_with(cache, S("m"), &options, &value, &cas));
    CHECK(value == 100 && cas != 0);
    OK(mcrs_cache_info(cache, S("m"), &info));
    CHECK(info.ttl == 9 && info.cas == cas);
    options.bits = MCRS_DELTA_TTL;
    options.ttl = 20;
    options.compare_cas = cas + 1;
    IS(mcrs_cache_decr_with(cache, S("m"), &options, &value, NULL), MCRS_EXISTS);
    options.compare_cas = cas;
    options.new_cas = 5000;
    OK(mcrs_cache_decr_with(cache, S("m"), &options, &value, &cas));
    CHECK(value == 95 && cas == 5000);
    OK(mcrs_cache_info(cache, S("m"), &info));
    CHECK(info.ttl == 20);
    options.bits = MCRS_DELTA_TTL;
    options.compare_cas = 5000;
    options.new_cas = 0;
    OK(mcrs_cache_incr_with(cache, S("m"), &options, &value, NULL));
    CHECK(value == 100);
    options.bits = 8;
    IS(mcrs_cache_incr_with(cache, S("m"), &options, NULL, NULL), MCRS_INVALID_ARGUMENT);
    IS(mcrs_cache_decr_with(cache, S("m"), &options, NULL, NULL), MCRS_INVALID_ARGUMENT);
    IS(mcrs_cache_incr_with(cache, S("m"), NULL, NULL, NULL), MCRS_NULL_ARGUMENT);
    IS(mcrs_cache_decr_with(cache, S("m"), NULL, NULL, NULL), MCRS_NULL_ARGUMENT);
}

static void flushes(mcrs_cache *cache) {
    OK(mcrs_cache_set(cache, S("f"), S("v"), 0));
    OK(mcrs_cache_flush(cache, 10));
    has(cache, "f", "v");
    OK(mcrs_clock_advance(cache, 11));
    IS(mcrs_cache_delete(cache, S("f")), MCRS_NOT_FOUND);
    OK(mcrs_cache_set(cache, S("f"), S("v"), 0));
    has(cache, "f", "v");
    OK(mcrs_cache_flush(cache, 0));
    IS(mcrs_cache_delete(cache, S("f")), MCRS_NOT_FOUND);

    OK(mcrs_cache_set(cache, S("f:1"), S("v"), 0));
    OK(mcrs_cache_set(cache, S("g:1"), S("w"), 0));
    OK(mcrs_cache_flush_prefix(cache, S("f:")));
    IS(mcrs_cache_delete(cache, S("f:1")), MCRS_NOT_FOUND);
    has(cache, "g:1", "w");
    OK(mcrs_cache_set(cache, S("f:1"), S("new"), 0));
    has(cache, "f:1", "new");
    OK(mcrs_cache_flush_prefix(cache, NULL, 0));
    IS(mcrs_cache_delete(cache, S("g:1")), MCRS_NOT_FOUND);
    IS(mcrs_cache_flush_prefix(NULL, S("f:")), MCRS_NULL_ARGUMENT);

    OK(mcrs_cache_set_quota(cache, S("q:"), 100));
    OK(mcrs_cache_set(cache, S("q:1"), S("0123456789012345678901234567890123456789"), 0));
    OK(mcrs_cache_set(cache, S("q:2"), S("0123456789012345678901234567890123456789"), 0));
    IS(mcrs_cache_delete(cache, S("q:1")), MCRS_NOT_FOUND);
    OK(mcrs_cache_delete(cache, S("q:2")));
    OK(mcrs_cache_set_quota(cache, S("q:"), 10));
    IS(mcrs_cache_set(cache, S("q:1"), S("v"), 0), MCRS_NO_MEMORY);
    IS(mcrs_cache_set_quota(cache, S("q:1"), 10), MCRS_INVALID_ARGUMENT);
    IS(mcrs_cache_set_quota(cache, NULL, 0, 10), MCRS_INVALID_ARGUMENT);
    OK(mcrs_cache_set_quota(cache, S("q:"), 0));
    OK(mcrs_cache_set(cache, S("q:1"), S("v"), 0));
}

/* Counts the calls of found(). */
struct seen {
    mcrs_cache *cache;
    int calls;
};

static void found(void *userdata, size_t index, const mcrs_slice *value, const mcrs_info *info) {
    struct seen *seen = userdata;
    size_t length;
    CHECK(index == 0 && value->len == 2 && memcmp(value->data, "hi", 2) == 0);
    CHECK(info->value_len == 2 && info->ttl == 30);
    IS(mcrs_cache_get(seen->cache, S("w"), NULL, 0, &length), MCRS_IN_CALLBACK);
    IS(mcrs_cache_set(seen->cache, S("w"), S("x"), 0), MCRS_IN_CALLBACK);
    mcrs_cache_free(seen->cache); /* does nothing */
    seen->calls++;
}

static void callbacks(mcrs_cache *cache) {
    struct seen seen = {cache, 0};
    IS(mcrs_cache_get_with(cache, S("w"), found, &seen), MCRS_NOT_FOUND);
    OK(mcrs_cache_set(cache, S("w"), S("hi"), 30));
    OK(mcrs_cache_get_with(cache, S("w"), found, &seen));
    CHECK(seen.calls == 1);
    IS(mcrs_cache_get_with(cache, S("w"), NULL, &seen), MCRS_NULL_ARGUMENT);
    has(cache, "w", "hi");
}

static void handles(mcrs_cache *cache) {
    mcrs_cache *other = NULL;
    OK(mcrs_cache_share(cache, &other));
    OK(mcrs_cache_set(other, S("shared"), S("v"), 0));
    mcrs_cache_free(cache);
    has(other, "shared", "v");
    IS(mcrs_cache_set_memory_limit(other, 0), MCRS_INVALID_ARGUMENT);
    OK(mcrs_cache_set_memory_limit(other, 16u << 20));
    mcrs_cache_free(other);
    mcrs_cache_free(NULL);
    cache = NULL;
    OK(mcrs_cache_new(NULL, &cache));
    OK(mcrs_cache_set(cache, S("default"), S("v"), 0));
    mcrs_cache_free(cache);
}

static void full(void) {
    mcrs_config *config;
    mcrs_cache *cache;
    char key[32], value[4000] = {0};
    mcrs_status status = MCRS_OK;
    OK(mcrs_config_new(&config));
    OK(mcrs_config_set_memory_limit(config, 4u << 20));
    OK(mcrs_config_set_evictions(config, false));
    OK(mcrs_cache_new(config, &cache));
    for (int n = 0; n < 5000 && status == MCRS_OK; n++) {
        snprintf(key, sizeof key, "key%d", n);
        status = mcrs_cache_set(cache, key, strlen(key), value, sizeof value, 0);
    }
    IS(status, MCRS_NO_MEMORY);
    mcrs_cache_free(cache);
    mcrs_config_free(config);
}

int main(void) {
    mcrs_cache *cache = small_cache();
    CHECK(strcmp(mcrs_error_message(), "") == 0);
    plain_stores(cache);
    buffers(cache);
    keys(cache);
    large(cache);
    times(cache);
    cas(cache);
    options(cache);
    numbers(cache);
    callbacks(cache);
    flushes(cache);
    handles(cache);
    full();
    return 0;
}
