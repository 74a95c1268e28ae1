//! memcached's proxy in Lua: its programs run unmodified.
