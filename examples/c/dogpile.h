/* A value that is expensive to make: one caller makes it, all others read it from a cache. */
#ifndef DOGPILE_H
#define DOGPILE_H

#include <stddef.h>

#include "memcache_rs.h"

/* Makes the value of a key. Writes at most `size` bytes and returns their number. */
typedef size_t (*make_fn)(const char *key, char *value, size_t size);

/* Returns the value of `key`, or NULL if that fails. Free it with mcrs_item_free().
 *
 * Calls `make` if the value is missing or has less than `soon` seconds left, unless another caller
 * is making it. The new value lives `ttl` seconds. */
mcrs_item *dogpile_get(mcrs_cache *cache, const char *key, unsigned ttl, unsigned soon, make_fn make);

#endif
