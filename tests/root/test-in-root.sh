#!/bin/bash
# Tests of ./in-root: what a command sees, what stays behind, and that removing roots cannot harm the host.
#
# Works on a copy of in-root in a temporary directory, with a tiny root in a cache directory of its own; the
# real roots are never touched. SPDX-License-Identifier: Apache-2.0
set -uo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd -P)

# A mount namespace of its own: whatever goes wrong below, its mounts die with this script.
if [ "${IN_ROOT_TEST:-}" != 1 ]; then
	exec env IN_ROOT_TEST=1 unshare --mount --propagation private -- "$0" "$@"
fi

tmp=$(mktemp -d) || exit 1
cleanup() {
	# Deepest mounts first; without one left, nothing but the temporary directory can be deleted.
	awk -v p="$tmp/" 'index($5, p) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r m; do
		printf -v m %b "$m"
		umount -l "$m"
	done
	rm -rf --one-file-system "$tmp"
}
trap cleanup EXIT

ok() { echo "ok - $1"; }
check() { # check DESCRIPTION CONDITION...
	local what=$1
	shift
	if "$@"; then ok "$what"; else
		echo "not ok - $what"
		sed 's/^/# /' "$tmp/out" "$tmp/err" 2>/dev/null
		failed=1
	fi
}
failed=0

# --- the stage: a project, a cache with a root of a few programs, something precious outside of it
project="$tmp/parent/project"
mkdir -p "$project" "$tmp/parent/beside" "$tmp/else where" "$tmp/precious"
cp "$top/in-root" "$top/packages" "$project"
echo gold >"$tmp/precious/file"
echo neighbour >"$tmp/parent/beside/file"

make_tiny_root() { # make_tiny_root DIRECTORY
	local program lib
	mkdir -p "$1"/{usr/bin,etc,proc,sys,dev,tmp,run,root,home}
	ln -s usr/bin "$1/bin"
	for lib in lib lib64; do ln -s usr/$lib "$1/$lib"; done
	for program in bash cat env mountpoint readlink sleep stat true umount; do
		cp "$(type -P $program)" "$1/usr/bin/"
	done
	ldd "$1"/usr/bin/* | grep -oE '/[^ ]+\.so[^ ]*' | sort -u | while read -r lib; do
		mkdir -p "$1/usr${lib%/*}"
		[ -e "$1/usr$lib" ] || cp "$lib" "$1/usr$lib"
	done
	# Where libraries are named by their path below /usr.
	[ ! -d "$1/usr/usr" ] || cp -rn "$1/usr/usr/." "$1/usr/"
}

export HUISCLOS_FORCE_ROOT=1
use_cache() { # use_cache DIRECTORY: roots live there from now on
	export XDG_CACHE_HOME=$1
	root=$("$project/in-root" --path)
}
in_root() { "$project/in-root" "$@" >"$tmp/out" 2>"$tmp/err"; }
out_is() { [ "$(cat "$tmp/out")" = "$1" ]; }
err_has() { grep -q -- "$1" "$tmp/err"; }

use_cache "$tmp/my cache"
check "the root's path is in the cache directory" test "${root#"$tmp/my cache"/huisclos/root-}" != "$root"
make_tiny_root "$root"

# --- what a command sees
cd "$project" || exit 1
in_root bash -c 'exit 7'
check "exit status is kept" test $? = 7
in_root no-such-program
check "exit status 127 of a missing program" test $? = 127
in_root bash -c 'kill -TERM $$'
check "death by a signal is kept" test $? = 143
WORDS='two  words' in_root bash -c 'echo "$WORDS"'
check "environment is kept" out_is 'two  words'
in_root bash -c 'printf "<%s>" "$@"' - 'a b' '' '*'
check "arguments are kept" out_is '<a b><><*>'
echo typed | in_root cat
check "standard input is kept" out_is typed
in_root bash -c 'pwd; cat ../beside/file'
check "same directory; the project's parent is there" out_is "$project"$'\n'neighbour
(cd "$tmp/else where" && in_root bash -c 'pwd; echo new >made')
check "a caller elsewhere is at the same path" out_is "$tmp/else where"
check "what it wrote there is outside too" test "$(cat "$tmp/else where/made")" = new
in_root readlink /proc/self/ns/net
check "network namespace is kept" out_is "$(readlink /proc/self/ns/net)"
in_root bash -c 'for m in / /proc /sys /dev /dev/pts /sys/fs/cgroup; do mountpoint -q $m || echo "$m"; done'
check "/ and the kernel's file systems are mount points" out_is ''
in_root bash -c '[ ! -e /precious ] && [ ! -e /.host/etc ] && echo hidden'
check "the host's tree is not in the root" out_is hidden
in_root bash -c 'echo below >/run/x; echo below >/tmp/x'
in_root bash -c '[ -e /run/x ] || [ -e /tmp/x ] || echo fresh'
check "/run and /tmp are fresh for each command" out_is fresh
(cd / && in_root bash -c pwd)
check "a caller in / is in the root's /" out_is /

# --- what stays behind
before=$(cat /proc/self/mountinfo)
in_root true
check "no mount outlives the command" test "$(cat /proc/self/mountinfo)" = "$before"
"$project/in-root" sleep 60 &
sleeper=$!
for _ in {1..100}; do # until it stands in the root
	[ "$(stat -Lc %d:%i /proc/$sleeper/root/. 2>/dev/null)" = "$(stat -c %d:%i "$root")" ] && break
	sleep 0.05
done
check "nor is one seen from outside while it runs" test "$(cat /proc/self/mountinfo)" = "$before"

# --- removing roots
in_root --clean
check "--clean fails while a command runs in the root" test $? = 125
check "... and names the process" err_has "process $sleeper runs in it"
check "... and deletes nothing" test -x "$root/usr/bin/bash"
kill "$sleeper"
wait "$sleeper" 2>/dev/null

refuses_mount() { # refuses_mount WHAT: with something mounted below the root
	in_root --clean
	check "--clean fails: $1" test $? = 125
	check "... saying why" err_has "mounted below it"
	check "... and the mounted files live" test "$(cat "$tmp/precious/file")" = gold
	check "... and the root too" test -x "$root/usr/bin/bash"
}
mkdir "$root/victim"
mount --bind "$tmp/precious" "$root/victim"
refuses_mount "a bind mount of the same file system below the root"
umount "$root/victim"
mkdir "$root/a b"
mount --bind "$tmp/precious" "$root/a b"
refuses_mount "a mount point with a space in its name"
umount "$root/a b"
mount --bind "$root" "$root"
refuses_mount "the root itself is a mount point"
umount "$root"

mount --bind "$tmp/precious" "$root/victim"
ln -s "$tmp/my cache" "$tmp/link"
XDG_CACHE_HOME=$tmp/link refuses_mount "the cache directory reached by a symbolic link"
mount -t tmpfs tmpfs /proc
in_root --clean
check "--clean fails where it cannot see mounts" test $? = 125
umount /proc
check "... and the mounted files live" test "$(cat "$tmp/precious/file")" = gold
umount "$root/victim"

exec 9>"$XDG_CACHE_HOME/huisclos/lock"
flock 9
in_root --clean
check "--clean fails while a root is being made" test $? = 125
exec 9>&-
exec 8<"$root"
flock -s 8
in_root --clean
check "--clean fails while a command is entering" test $? = 125
exec 8<&-

# The second lock alone: without the look at mounts, deletion still stays on its file system.
mount -t tmpfs tmpfs "$root/victim"
echo device >"$root/victim/node"
sed 's/^mounts_below() {/mounts_below() { return/' "$project/in-root" >"$project/blind"
chmod +x "$project/blind"
check "(the blind copy differs)" test "$(cmp -s "$project/in-root" "$project/blind" || echo differs)" = differs
"$project/blind" --clean >"$tmp/out" 2>"$tmp/err"
check "deletion does not leave the root's file system" test "$(cat "$root/victim/node")" = device
umount "$root/victim"

mkdir -p "$XDG_CACHE_HOME/huisclos/root-old/usr" "$XDG_CACHE_HOME/huisclos/other"
ln -s "$tmp/precious" "$XDG_CACHE_HOME/huisclos/root-old/link"
in_root --clean
check "--clean succeeds when nothing is in use" test $? = 0
check "... and removes every root" test -z "$(ls -d "$XDG_CACHE_HOME"/huisclos/root-* 2>/dev/null)"
check "... nothing else" test -d "$XDG_CACHE_HOME/huisclos/other"
check "... and follows no symbolic link" test "$(cat "$tmp/precious/file")" = gold
in_root --clean
check "--clean with nothing to remove succeeds" test $? = 0
use_cache "$tmp/never made"
in_root --clean
check "--clean without a cache directory succeeds" test $? = 0

# --- wrong use
in_root --frobnicate
check "an unknown option fails" test $? = 125
check "... in one line" test "$(wc -l <"$tmp/err")" = 1
in_root --help
check "--help succeeds" test $? = 0

use_cache "$tmp/my cache"
make_tiny_root "$root"
chmod 755 "$tmp"
setpriv --reuid 65534 --regid 65534 --clear-groups env XDG_CACHE_HOME="$XDG_CACHE_HOME" HOME=/nonexistent \
	"$project/in-root" true >"$tmp/out" 2>"$tmp/err"
check "other users than root are told" err_has "must be root"

unset HUISCLOS_FORCE_ROOT
in_root readlink /proc/self/ns/mnt
check "where Debian 13 has all packages, commands run directly" out_is "$(readlink /proc/self/ns/mnt)"
exit $failed
