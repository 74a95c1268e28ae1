/* Items that are read without a copy. */
#include <sys/uio.h>

#include "test.h"

int main(void) {
    mcrs_cache *cache = NULL;
    mcrs_item *item = NULL, *large = NULL;
    mcrs_slice value, pieces[64];
    mcrs_info info;
    char buffer[8], *big = malloc(100000), *copy = malloc(100000);
    size_t length = 99, count = 99;
    CHECK(big && copy);
    /* A small cache would copy values, because pins would hold too much of it. */
    OK(mcrs_cache_new(NULL, &cache));
    OK(mcrs_clock_freeze(cache));

    IS(mcrs_cache_get_item(cache, S("a"), &item), MCRS_NOT_FOUND);
    CHECK(item == NULL);
    OK(mcrs_cache_set(cache, S("a"), S("hello"), 60));
    OK(mcrs_cache_get_item(cache, S("a"), &item));
    OK(mcrs_item_value(item, &value));
    CHECK(value.len == 5 && memcmp(value.data, "hello", 5) == 0);
    OK(mcrs_item_info(item, &info));
    CHECK(info.value_len == 5 && info.ttl == 60);

    /* It stays readable after its key is gone. */
    OK(mcrs_cache_set(cache, S("a"), S("other"), 0));
    OK(mcrs_cache_delete(cache, S("a")));
    OK(mcrs_cache_flush(cache, 0));
    CHECK(memcmp(value.data, "hello", 5) == 0);
    IS(mcrs_item_copy(item, buffer, 4, &length), MCRS_BUFFER_TOO_SMALL);
    CHECK(length == 5);
    OK(mcrs_item_copy(item, buffer, sizeof buffer, &length));
    CHECK(length == 5 && memcmp(buffer, "hello", 5) == 0);
    OK(mcrs_item_pieces(item, pieces, 64, &count));
    CHECK(count == 1 && pieces[0].data == value.data && pieces[0].len == 5);

    /* An empty one. */
    mcrs_item *empty = NULL;
    OK(mcrs_cache_set(cache, S("e"), NULL, 0, 0));
    OK(mcrs_cache_get_item(cache, S("e"), &empty));
    OK(mcrs_item_value(empty, &value));
    CHECK(value.len == 0 && value.data != NULL);
    OK(mcrs_item_copy(empty, NULL, 0, &length));
    CHECK(length == 0);
    mcrs_item_free(empty);

    /* A value in pieces, which writev() takes. */
    CHECK(sizeof(mcrs_slice) == sizeof(struct iovec));
    for (int n = 0; n < 100000; n++) {
        big[n] = (char)(n % 251);
    }
    OK(mcrs_cache_set(cache, S("big"), big, 100000, 0));
    OK(mcrs_cache_get_item(cache, S("big"), &large));
    IS(mcrs_item_pieces(large, NULL, 0, &count), MCRS_BUFFER_TOO_SMALL);
    CHECK(count > 1);
    mcrs_slice *list = calloc(count, sizeof *list);
    CHECK(list != NULL);
    OK(mcrs_item_pieces(large, list, count, &count));
    length = 0;
    for (size_t n = 0; n < count; n++) {
        CHECK(length + list[n].len <= 100000 && memcmp(list[n].data, big + length, list[n].len) == 0);
        length += list[n].len;
    }
    CHECK(length == 100000);
    free(list);
    OK(mcrs_item_value(large, &value));
    CHECK(value.len == 100000 && memcmp(value.data, big, value.len) == 0);
    mcrs_slice again;
    OK(mcrs_item_value(large, &again));
    CHECK(again.data == value.data);
    OK(mcrs_item_copy(large, copy, 100000, &length));
    CHECK(memcmp(copy, big, 100000) == 0);

    /* They outlive the handle of the cache. */
    mcrs_cache_free(cache);
    OK(mcrs_item_value(item, &value));
    CHECK(memcmp(value.data, "hello", 5) == 0 && memcmp(again.data, big, again.len) == 0);
    mcrs_item_free(item);
    mcrs_item_free(large);
    mcrs_item_free(NULL);
    free(big);
    free(copy);
    return 0;
}
