#!/bin/sh
# Starts memcached-rs in a container: the flags of `docker run IMAGE FLAGS` are its own. Any other
# command is run as it is.
set -eu

case ${1:--} in
-*) set -- memcached "$@" ;;
esac

# The daemon listens on loopback unless it is asked otherwise, where no other container reaches it.
case $1 in
memcached | memcached-rs)
    chosen=false
    for argument; do
        case $argument in
        -l* | --listen* | -s* | --unix-socket* | --config* | --options-file*) chosen=true ;;
        esac
    done
    if [ "$chosen" = false ]; then
        program=$1
        shift
        set -- "$program" -l '*' "$@"
    fi
    ;;
esac

exec "$@"
