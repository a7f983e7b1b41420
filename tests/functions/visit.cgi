#!/bin/sh
# A function as a shell script of busybox's httpd: what tests/functions/visit.c does.
# A process lasts for one request, so what stays in memory is a file of /dev/shm.
count() { printf x >>"$1" && wc -c <"$1"; }
printf 'Content-Type: text/plain\r\n\r\n'
case $PATH_INFO in
/echo) head -c "$CONTENT_LENGTH" ;;
/id) head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n' ;;
*) printf %s "$(echo $(count /dev/shm/visits) $(count /tmp/visits) $(count /var/visits))" ;;
esac
