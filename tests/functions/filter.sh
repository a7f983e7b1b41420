#!/bin/sh
# A function that is no server: counts as tests/functions/visit.cgi, then its input.
count() { printf x >>"$1" && wc -c <"$1"; }
[ "$REQUEST_METHOD" = GET ] || exec cat
printf %s "$(echo $(count /dev/shm/visits) $(count /tmp/visits) $(count /var/visits))"
