/* Many keys at once. */
#include "test.h"

static size_t order[10], seen;

static void found(void *userdata, size_t index, const mcrs_slice *value, const mcrs_info *info) {
    mcrs_cache *cache = userdata;
    CHECK(value->len == info->value_len);
    IS(mcrs_cache_delete(cache, S("k1")), MCRS_IN_CALLBACK);
    order[seen++] = index;
}

int main(void) {
    mcrs_cache *cache = small_cache();
    mcrs_slice keys[] = {{S("k1")}, {S("missing")}, {S("k3")}, {S("empty")}};
    mcrs_slice values[] = {{S("one")}, {S("two")}, {S("three")}, {NULL, 0}};
    mcrs_slice got[4];
    mcrs_status statuses[4];
    char buffer[16];
    size_t count = 99;

    OK(mcrs_cache_set_many(cache, keys, values, 4, 60, statuses, &count));
    CHECK(count == 4 && statuses[0] == MCRS_OK && statuses[3] == MCRS_OK);
    OK(mcrs_cache_delete(cache, S("missing")));

    OK(mcrs_cache_get_many(cache, keys, 4, found, cache, &count));
    CHECK(count == 3 && seen == 3 && order[0] == 0 && order[1] == 2 && order[2] == 3);
    OK(mcrs_cache_get_many(cache, NULL, 0, found, cache, NULL));

    OK(mcrs_cache_get_many_into(cache, keys, 4, buffer, sizeof buffer, got, &count));
    CHECK(count == 8);
    CHECK(got[0].len == 3 && memcmp(got[0].data, "one", 3) == 0);
    CHECK(got[1].data == NULL && got[1].len == 0);
    CHECK(got[2].data == buffer + 3 && memcmp(got[2].data, "three", 5) == 0);
    CHECK(got[3].data != NULL && got[3].len == 0);
    IS(mcrs_cache_get_many_into(cache, keys, 4, buffer, 7, got, &count), MCRS_BUFFER_TOO_SMALL);
    CHECK(count == 8);
    OK(mcrs_cache_get_many_into(cache, keys + 3, 1, NULL, 0, got, &count));
    CHECK(count == 0 && got[0].data != NULL);

    /* One key that cannot be. */
    mcrs_slice bad[] = {{S("k1")}, {S("")}, {NULL, 3}};
    seen = 0;
    count = 99;
    IS(mcrs_cache_get_many(cache, bad, 2, found, cache, &count), MCRS_BAD_KEY);
    CHECK(seen == 0 && count == 99);
    IS(mcrs_cache_get_many(cache, bad + 2, 1, found, cache, NULL), MCRS_NULL_ARGUMENT);
    CHECK(strcmp(mcrs_error_message(), "keys [0] must not be NULL") == 0);
    IS(mcrs_cache_get_many(cache, NULL, 2, found, cache, NULL), MCRS_NULL_ARGUMENT);
    IS(mcrs_cache_get_many(cache, keys, 2, NULL, cache, NULL), MCRS_NULL_ARGUMENT);
    IS(mcrs_cache_get_many_into(cache, bad, 2, buffer, sizeof buffer, got, &count), MCRS_BAD_KEY);
    IS(mcrs_cache_get_many_into(cache, keys, 2, buffer, sizeof buffer, NULL, &count), MCRS_NULL_ARGUMENT);
    IS(mcrs_cache_set_many(cache, bad, values, 3, 0, statuses, &count), MCRS_BAD_KEY);
    CHECK(count == 1 && statuses[0] == MCRS_OK && statuses[1] == MCRS_BAD_KEY);
    CHECK(statuses[2] == MCRS_NULL_ARGUMENT);
    IS(mcrs_cache_set_many(cache, keys, NULL, 3, 0, NULL, NULL), MCRS_NULL_ARGUMENT);
    OK(mcrs_cache_set_many(cache, NULL, NULL, 0, 0, NULL, NULL));

    /* Large ones, kept in pieces, among small ones. */
    char *big = malloc(200000), *room = malloc(200100);
    CHECK(big && room);
    memset(big, 'b', 200000);
    OK(mcrs_cache_set(cache, S("missing"), big, 200000, 0));
    OK(mcrs_cache_get_many_into(cache, keys, 4, room, 200100, got, &count));
    CHECK(got[1].len == 200000 && memcmp(got[1].data, big, 200000) == 0);
    free(big);
    free(room);
    mcrs_cache_free(cache);
    return 0;
}
