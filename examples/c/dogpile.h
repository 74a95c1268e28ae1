/* A value that is dear to make, kept in a cache: one caller makes it, all others read it. */
#ifndef DOGPILE_H
#define DOGPILE_H

#include <stddef.h>

#include "memcache_rs.h"

/* Makes the value of a key: writes at most `size` bytes and returns how many. */
typedef size_t (*make_fn)(const char *key, char *value, size_t size);

/* A handle of the value of `key`, made anew if it is missing or has less than `soon` seconds left and nobody else is at
   it. NULL if that fails. Free it with mcrs_item_free(). */
mcrs_item *dogpile_get(mcrs_cache *cache, const char *key, unsigned ttl, unsigned soon, make_fn make);

#endif
