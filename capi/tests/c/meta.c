/* One caller stores a new value, and the others get the old one until then. */
#include "test.h"

int main(void) {
    mcrs_cache *cache = small_cache();
    mcrs_meta_get_options get = {0};
    mcrs_delete_options del = {0};
    mcrs_store_options store = {0};
    mcrs_info info;
    mcrs_item *item = NULL;
    mcrs_slice value;
    uint64_t cas;

    IS(mcrs_cache_meta_get(cache, S("k"), NULL, &item, &info), MCRS_NOT_FOUND);
    OK(mcrs_cache_set(cache, S("k"), S("v1"), 100));
    OK(mcrs_cache_meta_get(cache, S("k"), NULL, NULL, NULL));

    /* Recache: fewer than 30 seconds left, one caller wins. */
    get.recache = 30;
    OK(mcrs_cache_meta_get(cache, S("k"), &get, NULL, &info));
    CHECK((info.bits & (MCRS_INFO_WON | MCRS_INFO_SENT)) == 0 && info.ttl == 100);
    CHECK(info.bits & MCRS_INFO_FETCHED);
    OK(mcrs_clock_advance(cache, 80));
    OK(mcrs_cache_meta_get(cache, S("k"), &get, &item, &info));
    CHECK((info.bits & MCRS_INFO_WON) && info.ttl == 20 && info.idle == 80);
    OK(mcrs_item_value(item, &value));
    CHECK(memcmp(value.data, "v1", 2) == 0);
    mcrs_item_free(item);
    cas = info.cas;
    OK(mcrs_cache_meta_get(cache, S("k"), &get, NULL, &info));
    CHECK((info.bits & MCRS_INFO_SENT) && !(info.bits & MCRS_INFO_WON));
    store.compare_cas = cas;
    store.ttl = 100;
    OK(mcrs_cache_store(cache, S("k"), S("v2"), &store, NULL));
    OK(mcrs_cache_meta_get(cache, S("k"), &get, NULL, &info));
    CHECK((info.bits & (MCRS_INFO_WON | MCRS_INFO_SENT)) == 0);

    /* Stale: the old value is served while one caller makes the new one. */
    OK(mcrs_cache_invalidate(cache, S("k"), 50));
    OK(mcrs_cache_meta_get(cache, S("k"), NULL, NULL, &info));
    CHECK((info.bits & MCRS_INFO_WON) && (info.bits & MCRS_INFO_STALE) && info.ttl == 50);
    cas = info.cas;
    OK(mcrs_cache_meta_get(cache, S("k"), NULL, NULL, &info));
    CHECK((info.bits & MCRS_INFO_SENT) && (info.bits & MCRS_INFO_STALE));
    OK(mcrs_cache_info(cache, S("k"), &info));
    CHECK(info.bits & MCRS_INFO_STALE);
    /* It was invalidated again, so the value of the winner is stale, too. */
    OK(mcrs_cache_invalidate(cache, S("k"), 50));
    store.compare_cas = cas;
    IS(mcrs_cache_store(cache, S("k"), S("v3"), &store, NULL), MCRS_EXISTS);
    store.bits = MCRS_STORE_ALLOW_STALE;
    OK(mcrs_cache_store(cache, S("k"), S("v3"), &store, NULL));
    OK(mcrs_cache_info(cache, S("k"), &info));
    CHECK(info.bits & MCRS_INFO_STALE);
    has(cache, "k", "v3");

    /* Made on a miss. */
    memset(&get, 0, sizeof get);
    get.bits = MCRS_META_CREATE;
    get.create_ttl = 15;
    get.new_cas = 123456;
    OK(mcrs_cache_meta_get(cache, S("new"), &get, &item, &info));
    CHECK((info.bits & MCRS_INFO_WON) && (info.bits & MCRS_INFO_CREATED));
    CHECK(info.value_len == 0 && info.ttl == 15 && info.cas == 123456);
    mcrs_item_free(item);

    /* A peek does not count as an access; a new TTL. */
    memset(&get, 0, sizeof get);
    get.bits = MCRS_META_PEEK | MCRS_META_TTL;
    get.ttl = 1000;
    OK(mcrs_cache_set(cache, S("p"), S("v"), 10));
    OK(mcrs_cache_meta_get(cache, S("p"), &get, NULL, &info));
    CHECK(info.ttl == 1000);
    OK(mcrs_cache_info(cache, S("p"), &info));
    CHECK(!(info.bits & MCRS_INFO_FETCHED));
    get.bits = 1u << 20;
    IS(mcrs_cache_meta_get(cache, S("p"), &get, NULL, &info), MCRS_INVALID_ARGUMENT);

    /* Deletes. */
    IS(mcrs_cache_delete_with(cache, S("none"), NULL), MCRS_NOT_FOUND);
    IS(mcrs_cache_invalidate(cache, S("none"), 1), MCRS_NOT_FOUND);
    del.compare_cas = info.cas + 1;
    IS(mcrs_cache_delete_with(cache, S("p"), &del), MCRS_EXISTS);
    del.compare_cas = info.cas;
    del.bits = MCRS_DELETE_VALUE | MCRS_DELETE_TTL | MCRS_DELETE_STALE;
    del.flags = 9;
    del.ttl = 77;
    OK(mcrs_cache_delete_with(cache, S("p"), &del));
    OK(mcrs_cache_info(cache, S("p"), &info));
    CHECK(info.value_len == 0 && info.flags == 9 && info.ttl == 77);
    memset(&del, 0, sizeof del);
    OK(mcrs_cache_delete_with(cache, S("p"), &del));
    IS(mcrs_cache_info(cache, S("p"), &info), MCRS_NOT_FOUND);
    del.reserved_bits = 1;
    IS(mcrs_cache_delete_with(cache, S("k"), &del), MCRS_INVALID_ARGUMENT);
    CHECK(strcmp(mcrs_error_message(), "reserved fields must be 0") == 0);
    del.reserved_bits = 0;
    del.bits = 8;
    IS(mcrs_cache_delete_with(cache, S("k"), &del), MCRS_INVALID_ARGUMENT);
    mcrs_cache_free(cache);
    return 0;
}
