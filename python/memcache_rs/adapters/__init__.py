"""The cache behind interfaces of other packages. Each module needs its package; nothing else does."""
