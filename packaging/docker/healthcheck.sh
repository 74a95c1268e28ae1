#!/bin/sh
# Succeeds if the server of this container answers in the text protocol, also if it asks for a login
# first. MEMCACHED_PORT is its port on loopback, 11211 by default. For a server with TLS, with SASL
# or without TCP, give `docker run` another --health-cmd, or --no-healthcheck.
set -eu

answer=$(printf 'version\r\nquit\r\n' | nc -w 2 127.0.0.1 "${MEMCACHED_PORT:-11211}")
case $answer in
VERSION* | CLIENT_ERROR*unauthenticated*) ;;
*)
    echo "healthcheck: expected VERSION, got: $answer" >&2
    exit 1
    ;;
esac
