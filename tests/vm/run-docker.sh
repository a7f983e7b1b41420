# shellcheck shell=bash
#
# Sourced by tests/vm/run: what docker's users type, where it takes a guest to
# see what becomes of it. Uses run(), printed() and try() of there.

# --- options --------------------------------------------------------------------
mkdir "$scratch/docker"
printf '# of a file\nFROM=file\nBOTH=file\n' >"$scratch/docker/env"
echo 'of the host' >"$scratch/docker/file"
chmod 640 "$scratch/docker/file"
digest=$(sha256sum <"$scratch/docker/file")
HERE=there run 0 "names, variables, memory and vCPUs as docker's" --name my_box.1 -e HERE -e BOTH=e \
	--env-file "$scratch/docker/env" -m 134217728 --cpus 0.5 --network none \
	--add-host db:10.9.8.7 --dns 10.1.1.1 --dns 10.1.1.2 --dns-search example.org --dns-option ndots:3 \
	--ulimit nofile=77:99 busybox sh -c 'echo $FROM $BOTH $HERE $(hostname) $(nproc)
	awk "\$2 == \"db\" { print \$1 }" /etc/hosts; cat /etc/resolv.conf; ulimit -n; ulimit -Hn'
printed "are what the command finds, and --add-host, --dns and its kind, --ulimit" "file e there my-box-1 1
10.9.8.7
nameserver 10.1.1.1
nameserver 10.1.1.2
search example.org
options ndots:3
77
99"
run 0 "--read-only, --tmpfs, --shm-size and -v of a file" --read-only --tmpfs /scratch:size=1m,mode=700 \
	--shm-size 2m -v "$scratch/docker/file:/etc/x" busybox sh -c '
	cat /etc/x; stat -c %a /etc/x
	touch /root/no 2>/dev/null || echo root is read-only
	(echo no >/etc/x) 2>/dev/null || echo file is read-only
	touch /scratch/yes && stat -c %a /scratch
	df -k /scratch /dev/shm | awk "NR > 1 { print \$2 }"'
printed "are as they should be" "of the host
640
root is read-only
file is read-only
700
1024
2048"
expect "the host's file is as it was" test "$(sha256sum <"$scratch/docker/file")" = "$digest"
run 0 "--disk gives room" --memory 64m --disk 256m busybox sh -c '
	dd if=/dev/zero of=/big bs=1M count=128 2>/dev/null && stat -c %s /big'
printed "for more than there is memory" 134217728
run 0 "without, there is less; --cap-drop ALL --cap-add, and a domain" --memory 64m --cap-drop ALL --cap-add NET_ADMIN \
	--cap-add cap_chown --hostname box.example.com busybox sh -c '
	dd if=/dev/zero of=/big bs=1M count=128 2>&1 | grep -o "No space left"; rm /big
	grep CapBnd /proc/self/status; hostname -f; grep -c "box.example.com box$" /etc/hosts'
printed "which it says; what was added is left; and hostname -f says it" $'No space left\nCapBnd:\t0000000000001001\nbox.example.com\n1'

# --- what can't be, at once and before anything is made ---------------------------
volumes=()
for i in $(seq 18); do volumes+=(-v "$scratch/docker:/d$i"); done
run 125 "18 directories are refused" "${volumes[@]}" busybox true
expect "with how many fit: $err" has "$err" 'which is 17'
run 0 "17 fit; --init and --entrypoint ''" --init --entrypoint '' "${volumes[@]:2}" busybox \
	sh -c 'cat /proc/1/comm; ls -d /d?*/file 2>/dev/null || ls /d*/file | wc -l'
expect "and are there" test "$(tail -n +2 <<<"$out" | wc -l)" = 17
first=$(head -n 1 <<<"$out")
expect "another first process than sh: $first" test -n "$first" -a "$first" != sh
run 125 "-v over / is refused" -v "$scratch/docker:/" busybox true
expect "with a sentence: $err" has "$err" "can't cover /"

# --- -itd, and copies -----------------------------------------------------------------
try 0 "run -itd" run -itd --name c_1 --disk 64m busybox sh
try 0 "leaves a shell that waits" exec c_1 sh -c 'sleep 1; cat /proc/1/comm'
printed "as the first process" sh
try 0 "exec -d" exec -d -e "A=of exec" c_1 sh -c 'echo $A >/tmp/detached'
timeout 300 sh -c "until '$mayctl' exec c_1 grep -q exec /tmp/detached 2>/dev/null; do sleep 0.2; done"
expect "runs on its own" test $? = 0
(
	cd "$scratch/docker" || exit
	ln -s file lnk
	mkdir -p src/d/sub
	echo one >src/d/f
	ln src/d/f src/d/g
	ln -s ../../file src/d/up
)
at=$scratch/docker
try 0 "cp of a link" cp "$at/lnk" c_1:/tmp/
try 0 "cp of a directory with hard links" cp "$at/src/d" c_1:/hard
try 0 "a directory" exec c_1 mkdir /app /into
try 0 "cp of its contents" cp "$at/src/d/." c_1:/app
try 0 "cp into a directory, without a / before" cp "$at/src/d" c_1:into
try 0 "cp -L of a link" cp -L "$at/lnk" c_1:/tmp/plain
try 0 "a look" exec c_1 sh -c 'readlink /tmp/lnk; cat /hard/f /hard/g /app/f /into/d/f; readlink /into/d/up
	test /hard/f -ef /hard/g && echo one file; ls -d /app/sub; cat /tmp/plain'
printed "has all of it as docker would" "file
one
one
one
one
../../file
one file
/app/sub
of the host"
try 1 "cp of a file to what is no directory" cp "$at/file" c_1:/new/
expect "is refused: $err" has "$err" 'no directory /new/'
try 1 "cp of what is not there" cp "$at/none" c_1:/new
expect "is refused: $err" has "$err" 'none: No such file'
try 1 "cp out of what is not there" cp c_1:/none "$at/"
expect "is refused: $err" has "$err" 'c_1 has no /none'
try 1 "cp of a directory over a file" cp "$at/src/d" c_1:/hard/f
expect "is refused: $err" has "$err" 'no directory'
try 0 "nothing of that" exec c_1 sh -c 'ls -d /new 2>/dev/null; cat /hard/f'
printed "has left anything" one
try 0 "cp out" cp c_1:/etc "$at/out"
echo mine >"$at/out/mine"
try 0 "cp out of contents, into what is there" cp c_1:/etc/. "$at/out"
try 0 "cp out into what is there" cp c_1:/etc "$at/out"
expect "merge with it" sh -c "test -f '$at/out/passwd' -a -f '$at/out/mine' -a -f '$at/out/etc/passwd'"
try 0 "cp out of a link" cp c_1:/tmp/lnk "$at/back"
expect "is a link" test "$(readlink "$at/back")" = file
try 0 "cp out through it" cp c_1:/tmp/plain "$at/back"
expect "goes where it leads" sh -c "test -L '$at/back' && cmp '$at/back' '$at/file'"
timeout 300 "$mayctl" cp c_1:/hard - </dev/null | tar -tf - 2>/dev/null | sort >"$scratch/list"
expect "cp to - is an archive: $(echo $(cat "$scratch/list"))" grep -qx hard/g "$scratch/list"
tar -C "$at/src" -cf - d | timeout 300 "$mayctl" cp - c_1:/tmp
expect "cp from - unpacks one" test "${PIPESTATUS[1]}" = 0
try 0 "it" exec c_1 cat /tmp/d/f
printed "is there" one
try 0 "ps -q" ps -q
printed "prints names" c_1
try 0 "run -d" run -d --name talk --stop-signal USR1 busybox \
	sh -c 'trap "echo told; exit 3" USR1; for i in 1 2 3 4; do echo line $i; done; while :; do sleep 0.1; done'
timeout 300 sh -c "until '$mayctl' logs talk | grep -q 'line 4'; do sleep 0.2; done"
try 0 "logs -n" logs -n2 talk
printed "prints the last lines" $'line 3\nline 4'
try 0 "logs --since" logs --since 2100-01-01 talk
printed "prints none of what was before" ""
try 0 "stop" stop talk -t 20
try 0 "sends --stop-signal" logs --tail=1 talk
printed "to the command" told
try 0 "rm -fv" rm -fv c_1 talk
