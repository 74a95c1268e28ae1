#include "dogpile.h"

#include <string.h>

mcrs_item *dogpile_get(mcrs_cache *cache, const char *key, unsigned ttl, unsigned soon, make_fn make) {
    mcrs_item *item = NULL;
    mcrs_info info;
    mcrs_meta_get_options get = {0};
    get.bits = MCRS_META_CREATE;
    get.create_ttl = ttl;
    get.recache = soon;
    if (mcrs_cache_meta_get(cache, key, strlen(key), &get, &item, &info) != MCRS_OK) {
        return NULL;
    }
    if (!(info.bits & MCRS_INFO_WON)) {
        return item; /* Fresh, or good enough while another caller makes a new one. */
    }
    char value[4096];
    mcrs_store_options store = {0};
    store.ttl = ttl;
    store.compare_cas = info.cas;
    size_t length = make(key, value, sizeof value);
    mcrs_item_free(item);
    item = NULL;
    /* MCRS_EXISTS, MCRS_NOT_FOUND: another caller has changed or deleted it. That is newer. */
    mcrs_cache_store(cache, key, strlen(key), value, length, &store, NULL);
    return mcrs_cache_get_item(cache, key, strlen(key), &item) == MCRS_OK ? item : NULL;
}
