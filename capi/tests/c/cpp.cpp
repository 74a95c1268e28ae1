// The header is C++17, and a C++ program can own handles.
#include <memory>
#include <string>
#include <string_view>
#include <cstdio>

#include "memcache_rs.h"
#include "memcache_rs.h"

#ifdef TEST_DLOPEN
#include "by_dlopen.h"
#endif

namespace {
struct Free {
    void operator()(mcrs_cache *cache) const { mcrs_cache_free(cache); }
    void operator()(mcrs_config *config) const { mcrs_config_free(config); }
    void operator()(mcrs_item *item) const { mcrs_item_free(item); }
};
template <typename T> using Owned = std::unique_ptr<T, Free>;

int failures = 0;
void check(bool holds, const char *what) {
    if (!holds) {
        std::fprintf(stderr, "%s: %s\n", what, mcrs_error_message());
        failures++;
    }
}

bool count(void *userdata, const mcrs_slice *, const mcrs_info *) {
    ++*static_cast<int *>(userdata);
    return true;
}
} // namespace

int main() {
    static_assert(MCRS_VERSION_NUMBER >= 1000, "a version");
    mcrs_config *raw_config = nullptr;
    check(mcrs_config_new(&raw_config) == MCRS_OK, "config");
    Owned<mcrs_config> config(raw_config);
    check(mcrs_config_set_memory_limit(config.get(), 8u << 20) == MCRS_OK, "limit");
    mcrs_cache *raw_cache = nullptr;
    check(mcrs_cache_new(config.get(), &raw_cache) == MCRS_OK, "cache");
    Owned<mcrs_cache> cache(raw_cache);

    const std::string key = "key", value = "value";
    mcrs_store_options options = {};
    options.mode = MCRS_MODE_SET;
    options.ttl = 60;
    mcrs_status status = mcrs_cache_store(cache.get(), key.data(), key.size(), value.data(), value.size(), &options, nullptr);
    check(status == MCRS_OK, mcrs_status_text(status));
    mcrs_item *raw_item = nullptr;
    check(mcrs_cache_get_item(cache.get(), key.data(), key.size(), &raw_item) == MCRS_OK, "item");
    Owned<mcrs_item> item(raw_item);
    mcrs_slice slice = {};
    check(mcrs_item_value(item.get(), &slice) == MCRS_OK, "value");
    check(std::string_view(static_cast<const char *>(slice.data), slice.len) == value, "the value");
    int keys = 0;
    check(mcrs_cache_each_key(cache.get(), count, &keys) == MCRS_OK && keys == 1, "keys");
    return failures;
}
