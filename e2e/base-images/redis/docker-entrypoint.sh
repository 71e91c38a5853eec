#!/bin/sh
# Runs redis-server, as its own user if started as root; arguments as the official image takes them.
set -eu
case ${1:-} in
  -* | *.conf) set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
  chown -R redis:redis .
  exec setpriv --reuid=redis --regid=redis --init-groups "$0" "$@"
fi
if [ "$1" = redis-server ]; then
  # Clients come from other pods; who may come is for a password or a NetworkPolicy to say.
  set -- "$@" --protected-mode no
fi
exec "$@"
