# memcache_rs::memcache_rs is the shared library, memcache_rs::static the static one. The prefix may be moved.
get_filename_component(_memcache_rs_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT TARGET memcache_rs::memcache_rs)
    add_library(memcache_rs::memcache_rs SHARED IMPORTED)
    set_target_properties(memcache_rs::memcache_rs PROPERTIES
        IMPORTED_LOCATION "${_memcache_rs_prefix}/lib/libmemcache_rs.so"
        IMPORTED_SONAME "libmemcache_rs.so.@ABI@"
        INTERFACE_INCLUDE_DIRECTORIES "${_memcache_rs_prefix}/include")
    add_library(memcache_rs::static STATIC IMPORTED)
    set_target_properties(memcache_rs::static PROPERTIES
        IMPORTED_LOCATION "${_memcache_rs_prefix}/lib/libmemcache_rs.a"
        INTERFACE_INCLUDE_DIRECTORIES "${_memcache_rs_prefix}/include"
        INTERFACE_LINK_LIBRARIES "gcc_s;util;rt;pthread;m;dl")
endif()
unset(_memcache_rs_prefix)
