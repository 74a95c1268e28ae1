/* Caches a value that is expensive to make: one caller makes it, all others read it. */
#ifndef DOGPILE_H
#define DOGPILE_H

#include <stddef.h>

#include "memcache_rs.h"

/* Makes the value of a key. Writes at most `size` bytes and returns their number. */
typedef size_t (*make_fn)(const char *key, char *value, size_t size);

/* Returns a handle of the value of `key`. Makes the value if it is missing, or if it has less than
   `soon` seconds left and no other caller is making it. Returns NULL if that fails. Free the handle
   with mcrs_item_free(). */
mcrs_item *dogpile_get(mcrs_cache *cache, const char *key, unsigned ttl, unsigned soon, make_fn make);

#endif
