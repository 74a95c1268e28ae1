"""Adapters to the cache interfaces of other packages. Each module needs its package installed."""
