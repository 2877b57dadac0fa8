#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the selftests; inside the test machine, as root, with the module loaded.
#
#	run.sh [--long] [PROGRAM[.TEST]...]
#
# Each program runs as root and then as an ordinary user of the device's group, with
# a time limit. After each the kernel's log is searched and what may have leaked is
# counted. One line a test, and the sum at the end; fails if anything did, if a
# program crashes, and if it says not what it plans to do. It must never hide what a
# program prints when a test of it fails.
set -u
cd "$(dirname "$0")" || exit 1
here=../build/selftests
limit=${LWC_TEST_TIMEOUT:-900}

# A kernel that checks itself does a twentieth of everything in the same time.
debug=
[ -e /sys/kernel/debug/kmemleak ] && debug=1
if [ "${1-}" = --long ]; then
	shift
	export LWC_TEST_SCALE=${LWC_TEST_SCALE:-${debug:+10}}
else
	export LWC_TEST_SCALE=${LWC_TEST_SCALE:-${debug:+100}}
fi
: "${LWC_TEST_SCALE:=1}"

passed=0 failed=0 skipped=0 number=0

ok() { number=$((number + 1)); passed=$((passed + 1)); echo "ok $number - $1"; }
not_ok() { number=$((number + 1)); failed=$((failed + 1)); echo "not ok $number - $1"; }
skip() { number=$((number + 1)); skipped=$((skipped + 1)); echo "ok $number - $1 # SKIP $2"; }

# The kernel's log since the last time that this was called.
mark=0
new_messages() {
	local all
	mapfile -t all < <(dmesg)
	# What the ring has dropped meanwhile does not matter: it held the mark.
	local i n=${#all[@]}
	for ((i = n - 1; i >= 0; i--)); do
		[[ ${all[i]} == *"lwc selftest mark $mark"* ]] && break
	done
	for ((i++; i < n; i++)); do
		printf '%s\n' "${all[i]}"
	done
	mark=$((mark + 1))
	echo "lwc selftest mark $mark" >/dev/kmsg
}

trouble='WARNING|BUG|Oops|KASAN|UBSAN|possible (recursive|circular)|inconsistent lock|'
trouble+='suspicious RCU|Bad rss-counter|Bad page|leak|sleeping function|hung task|'
trouble+='blocked for more than|soft lockup|general protection|unable to handle|'
trouble+='page_table_check|list_(add|del) corruption|refcount_t'

# Objects of the kernel that a context is made of, counted exactly: what lies unused
# in the allocator's own lists is given back first.
caches="mm_struct files_cache cred_jar"
objects() {
	local cache n sum=
	for cache in $caches; do
		[ -e "/sys/kernel/slab/$cache/objects" ] || continue
		echo 1 >"/sys/kernel/slab/$cache/shrink" 2>/dev/null
		read -r n _ <"/sys/kernel/slab/$cache/objects"
		sum+="$cache=$n "
	done
	echo "$sum"
}

# grown BEFORE AFTER: names of what there is more of.
grown() {
	local pair name
	for pair in $2; do
		name=${pair%%=*}
		[[ $1 =~ (^| )$name=([0-9]+) ]] || continue
		[ "${pair##*=}" -le "${BASH_REMATCH[2]}" ] || echo "$name ${BASH_REMATCH[2]} -> ${pair##*=}"
	done
}

memory_used() {
	awk '/^(MemFree|Buffers|Cached|SReclaimable|Shmem|KReclaimable):/ { v[$1] = $2 }
	     /^MemTotal:/ { t = $2 }
	     END { print t - v["MemFree:"] - v["Buffers:"] - v["Cached:"] - v["SReclaimable:"] }' \
		/proc/meminfo
}

contexts() { local n; read -r n </sys/class/misc/lwc/contexts && echo "$n"; }

# Everything that is freed late is freed within seconds, or it is lost.
check_leaks() {
	local before=$1 used=$2 i now more=
	for i in {1..60}; do
		now=$(objects)
		more=$(grown "$before" "$now")
		[ "$(contexts)" = 0 ] && [ -z "$more" ] && break
		sleep 0.1
	done
	[ "$(contexts)" = 0 ] || echo "$(contexts) contexts are left"
	[ -z "$more" ] || echo "kernel objects are left: $more"
	i=$(($(memory_used) - used))
	# Other users of memory come and go; a leak of one page a switch would be gigabytes.
	[ $i -le 24000 ] || echo "$i kB of memory are left"
	pgrep -x "$3" >/dev/null && echo "a process of it is left: $(pgrep -lx "$3")"
}

ordinary=(setpriv --reuid 65534 --regid 65534 --groups "$(stat -c %g /dev/lwc)" --inh-caps=-all)

# run NAME USER: what it says goes to a file first, so that a program which fails
# can be shown in full.
out=$(mktemp /dev/shm/lwc-selftest.XXXXXX)
trap 'rm -f "$out"' EXIT
chmod 644 "$out"

run() {
	local name=${1%%.*} user=$2 as=() status line planned='' seen=0 before used what=${1%%.*}
	export LWC_TEST_ONLY=${1#"$name"}
	LWC_TEST_ONLY=${LWC_TEST_ONLY#.}
	[ -n "$LWC_TEST_ONLY" ] || unset LWC_TEST_ONLY
	[ "$user" = root ] || { as=("${ordinary[@]}"); what="$name(user)"; }
	before=$(objects)
	used=$(memory_used)
	new_messages >/dev/null
	echo "# $what"
	# In a directory where anyone may write; in a session of its own, to be ended as one.
	(cd /dev/shm && HOME=/dev/shm setsid timeout -k 10 "$limit" "${as[@]}" "$dir/$name" >"$out" 2>&1 </dev/null)
	status=$?
	while IFS= read -r line; do
		case $line in
		1..*) planned=${line#1..} ;;
		"ok "*"# SKIP not chosen"*) seen=$((seen + 1)) ;;
		"ok "*"# SKIP"*)
			seen=$((seen + 1))
			skip "$what.${names[seen]:-$seen}" "${line#*# SKIP }" ;;
		"ok "*) seen=$((seen + 1)); ok "$what.${line##*global.}" ;;
		"not ok "*) seen=$((seen + 1)); not_ok "$what.${line##*global.}" ;;
		"#  RUN "*)
			names[seen + 1]=${line##*global.}
			names[seen + 1]=${names[seen + 1]% ...} ;;
		esac
	done <"$out"
	if [ -z "$planned" ]; then
		not_ok "$what: no plan (status $status)"
	elif [ "$planned" != "$seen" ]; then
		not_ok "$what: stopped after $seen of $planned tests, ${names[seen + 1]:-none} was running (status $status)"
	elif [ $status != 0 ] && ! grep -q '^not ok' "$out"; then
		not_ok "$what: status $status"
	fi
	if [ $status != 0 ]; then
		sed 's/^not ok/# not ok/; s/^ok/# ok/; s/^#* */#   /' "$out"
	fi
	names=()

	line=$(new_messages | grep -E "$trouble")
	if [ -n "$line" ]; then
		not_ok "$what: kernel log"
		dmesg | tail -n 80 | sed 's/^/#   /'
	else
		ok "$what: kernel log"
	fi
	line=$(check_leaks "$before" "$used" "$name")
	if [ -n "$line" ]; then
		not_ok "$what: leak check"
		echo "#   ${line//$'\n'/$'\n'#   }"
	else
		ok "$what: leak check"
	fi
}

names=()
dir=$(cd "$here" && pwd) || exit 1
[ -e /dev/lwc ] || { echo "# the module is not loaded"; exit 1; }

programs=()
for source in *.c; do
	programs+=("${source%.c}")
done
[ $# = 0 ] || programs=("$@")

# Once, so that what the kernel makes at first use is there before it is counted.
"$dir/specs" >/dev/null 2>&1

for program in "${programs[@]}"; do
	if ! [ -x "$dir/${program%%.*}" ]; then
		not_ok "$program: not built"
		continue
	fi
	run "$program" root
	run "$program" ordinary
done

# Memory that nothing points to any more. What was there at boot is not ours.
if [ -n "$debug" ]; then
	echo scan >/sys/kernel/debug/kmemleak
	sleep 6
	echo scan >/sys/kernel/debug/kmemleak
	if grep -q 'lwc' /sys/kernel/debug/kmemleak; then
		not_ok "kmemleak"
		sed 's/^/#   /' /sys/kernel/debug/kmemleak | head -n 100
	else
		ok "kmemleak"
	fi
fi

echo "1..$number"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
