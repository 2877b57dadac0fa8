#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the selftests; inside the test machine, as root, with the module loaded.
#
#	run.sh [--long] [--root | --once] [PROGRAM[.TEST]...]
#
# Each program runs as root and then as an ordinary user of the device's group, with
# a time limit. After each the kernel's log is searched and what may have leaked is
# counted. One line a test, and the sum at the end; fails if anything did, if a
# program crashes, and if it says not what it plans to do. --root leaves the user out;
# --once leaves root what the user had to skip. It must never hide what a program prints
# when a test of it fails.
set -u
cd "$(dirname "$0")" || exit 1
here=../build/selftests

# What is done a million times is done a tenth as often, unless there is time; and a
# kernel that checks itself does a twentieth of that in the time.
debug=
[ -e /sys/kernel/debug/kmemleak ] && debug=1
long='' once='' users='root ordinary'
while :; do
	case ${1-} in
	--long) long=1 ;;
	--root) users=root ;;
	--once) users=ordinary once=1 ;;
	*) break ;;
	esac
	shift
done
limit=${LWC_TEST_TIMEOUT:-900}
if [ -n "$long" ]; then
	# Some then do a lot more, not only more often.
	export LWC_TEST_LONG=1
	limit=${LWC_TEST_TIMEOUT:-36000}
	: "${LWC_TEST_SCALE:=${debug:+20}}"
	: "${LWC_TEST_SCALE:=1}"
else
	: "${LWC_TEST_SCALE:=${debug:+200}}"
	: "${LWC_TEST_SCALE:=10}"
fi
export LWC_TEST_SCALE

passed=0 failed=0 skipped=0 number=0
# Of the last program: how many tests were to run, and which of them it skipped.
chosen=0 left=()

ok() { number=$((number + 1)); passed=$((passed + 1)); echo "ok $number - $1"; }
not_ok() { number=$((number + 1)); failed=$((failed + 1)); echo "not ok $number - $1"; }
skip() { number=$((number + 1)); skipped=$((skipped + 1)); echo "ok $number - $1 # SKIP $2"; }

# What the kernel's log has gained since this was last called, in lines.
mark=0
messages=()
new_messages() {
	local i
	mapfile -t messages < <(dmesg)
	# Where the ring has dropped the mark, all that it has is new.
	for ((i = ${#messages[@]} - 1; i >= 0; i--)); do
		[[ ${messages[i]} == *"lwc selftests: mark $mark." ]] && break
	done
	messages=("${messages[@]:i + 1}")
	mark=$((mark + 1))
	echo "lwc selftests: mark $mark." >/dev/kmsg
}

trouble='WARNING|BUG|Oops|KASAN|UBSAN|possible (recursive|circular)|inconsistent lock|'
trouble+='suspicious RCU|Bad rss-counter|Bad page|memory leak|unreferenced object|sleeping function|hung task|'
trouble+='blocked for more than|soft lockup|general protection|unable to handle|'
trouble+='page_table_check|list_(add|del) corruption|refcount_t'

# A sleep that starts no process.
exec {never}<> <(:)
nap() { read -rt "$1" -u "$never" _ || true; }

# A processor that idles keeps the memory of the last process that it ran, though
# that is dead. So on each there is one that never dies, and runs now and then.
tickers=()
for cpu in /sys/devices/system/cpu/cpu[0-9]*; do
	# shellcheck disable=SC2016 # it is the other shell that expands it
	taskset -c "${cpu##*cpu}" bash -c 'exec {f}<> <(:); while :; do read -rt 0.05 -u $f; done' \
		</dev/null >/dev/null 2>&1 &
	tickers+=($!)
done

# What most systems let an ordinary user do to its own processes: Debian is stricter.
[ ! -w /proc/sys/kernel/perf_event_paranoid ] || echo 2 >/proc/sys/kernel/perf_event_paranoid

# So does the thread that makes huge pages, until it looks at the next.
khugepaged=/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs
[ ! -w $khugepaged ] || echo 200 >$khugepaged

# Objects of the kernel that a context is made of, counted exactly: what lies unused
# in the allocator's own lists is given back first. No process may be started for
# that (each is made of such objects itself), so the answers are in variables.
caches=(mm_struct files_cache cred_jar)
# Threads of the kernel come and go, and have credentials of their own.
spare=(0 0 8)
objects=()
count_objects() {
	local cache n
	objects=()
	for cache in "${caches[@]}"; do
		n=0
		if [ -e "/sys/kernel/slab/$cache/objects" ]; then
			echo 1 >"/sys/kernel/slab/$cache/shrink"
			read -r n _ <"/sys/kernel/slab/$cache/objects"
		fi
		objects+=("$n")
	done
}

# What is in use, and by whom as far as the kernel says, in kB.
used=0
declare -A memory memory_before
count_memory() {
	local name n rest
	while read -r name n rest; do
		memory[${name%:}]=$n
	done </proc/meminfo
	# Free as well is what each processor has at hand: an eighth of all, since 6.7.
	memory[AtHand]=0
	while read -r name n rest; do
		[ "$name" != count: ] || memory[AtHand]=$((memory[AtHand] + 4 * n))
	done </proc/zoneinfo
	used=$((memory[MemTotal] - memory[MemFree] - memory[AtHand] - memory[Buffers] -
		memory[Cached] - memory[SReclaimable]))
}

contexts=0
count_contexts() { read -r contexts </sys/class/misc/lwc/contexts; }

# Everything that is freed late is freed within seconds, or it is lost: what
# became of the objects and of the memory that there were before the program.
leaks=() objects_before=() used_before=0
check_leaks() {
	local i j
	for i in {1..60}; do
		leaks=()
		count_contexts
		[ "$contexts" = 0 ] || leaks+=("$contexts contexts are left")
		count_objects
		for j in "${!caches[@]}"; do
			[ "${objects[j]}" -le $((objects_before[j] + spare[j])) ] ||
				leaks+=("${caches[j]}: ${objects[j]} after ${objects_before[j]}")
		done
		[ ${#leaks[@]} != 0 ] || break
		nap 0.1
	done
	count_memory
	# Other users of memory come and go; a leak of one page a switch would be gigabytes.
	i=$((used - used_before))
	[ $i -gt 96000 ] || return 0
	leaks+=("$i kB of memory are left, of which")
	for j in AnonPages SUnreclaim KernelStack PageTables Percpu VmallocUsed Shmem; do
		leaks+=("  $j: ${memory[$j]} after ${memory_before[$j]}")
	done
}

# Collects the processes of this name that are not gone. (pgrep takes seconds where each
# access to memory is checked, and would be started for each program.)
left_behind=()
find_processes() {
	local file comm
	left_behind=()
	for file in /proc/[0-9]*/comm; do
		{ read -r comm <"$file"; } 2>/dev/null || continue
		[ "$comm" != "${1:0:15}" ] || left_behind+=("${file//[!0-9]/}")
	done
}

# What has been killed may be about to go.
processes_left() {
	local i
	for i in {1..10}; do
		find_processes "$1"
		[ ${#left_behind[@]} != 0 ] || return 1
		nap 0.1
	done
}

ordinary=(setpriv --reuid 65534 --regid 65534 --groups "$(stat -c %g /dev/lwc)" --inh-caps=-all)

# run NAME USER: what it says goes to a file first, so that a program which fails
# can be shown in full.
out=$(mktemp /dev/shm/lwc-selftest.XXXXXX)
trap 'rm -f "$out"; kill "${tickers[@]}"' EXIT
chmod 644 "$out"

run() {
	local name=${1%%.*} user=$2 as=() status line planned='' seen=0 others=0 what=${1%%.*}
	export LWC_TEST_ONLY=${1#"$name"}
	LWC_TEST_ONLY=${LWC_TEST_ONLY#.}
	[ -n "$LWC_TEST_ONLY" ] || unset LWC_TEST_ONLY
	[ "$user" = root ] || { as=("${ordinary[@]}"); what="$name(user)"; }
	left=()
	nap 0.2
	count_objects
	objects_before=("${objects[@]}")
	count_memory
	used_before=$used
	for line in "${!memory[@]}"; do
		memory_before[$line]=${memory[$line]}
	done
	echo "# $what"
	# In a directory where anyone may write; in a session of its own, to be ended as one.
	(cd /dev/shm && HOME=/dev/shm setsid timeout -k 10 "$limit" "${as[@]}" "$dir/$name" >"$out" 2>&1 </dev/null {never}>&-)
	status=$?
	while IFS= read -r line; do
		case $line in
		1..*) planned=${line#1..} ;;
		"ok "*"# SKIP not chosen"*) seen=$((seen + 1)) others=$((others + 1)) ;;
		"ok "*"# SKIP"*)
			seen=$((seen + 1))
			left+=("${names[seen]:-}")
			skip "$what.${names[seen]:-$seen}" "${line#*# SKIP }" ;;
		"ok "*) seen=$((seen + 1)); ok "$what.${line##*global.}" ;;
		"not ok "*) seen=$((seen + 1)); not_ok "$what.${line##*global.}" ;;
		# What one wants to know of a test that passed, too.
		"#: "*) echo "#   ${line#"#: "}" ;;
		"#  RUN "*)
			names[seen + 1]=${line##*global.}
			names[seen + 1]=${names[seen + 1]% ...} ;;
		esac
	done <"$out"
	chosen=$((seen - others))
	if [ -z "$planned" ]; then
		not_ok "$what: no plan (status $status)"
	elif [ "$planned" != "$seen" ]; then
		not_ok "$what: stopped after $seen of $planned tests, ${names[seen + 1]:-none} was running (status $status)"
	elif [ $status != 0 ] && ! grep -q '^not ok' "$out"; then
		not_ok "$what: status $status"
	fi
	if [ $status != 0 ]; then
		# Of those that passed, and were not chosen, nothing is to be said.
		grep -vE '^#  RUN |^# +OK |^ok |not chosen$' "$out" |
			sed 's/^not ok/# not ok/; s/^#* */#   /'
	fi
	names=()

	new_messages
	if [[ "${messages[*]}" =~ $trouble ]]; then
		not_ok "$what: kernel log"
		printf '#   %s\n' "${messages[@]}" | head -n 200
	else
		ok "$what: kernel log"
	fi
	check_leaks
	if [ ${#leaks[@]} != 0 ]; then
		not_ok "$what: leak check"
		printf '#   %s\n' "${leaks[@]}"
	elif processes_left "$name"; then
		not_ok "$what: processes are left"
		echo "#   ${left_behind[*]}"
		kill -KILL "${left_behind[@]}"
	else
		ok "$what: leak check"
	fi
}

# One by one, unless it is all of them.
run_left_as_root() {
	local test tests=("${left[@]}")
	if [ "${#tests[@]}" = "$chosen" ]; then
		run "$1" root
		return
	fi
	for test in "${tests[@]}"; do
		run "${1%%.*}.$test" root
	done
}

names=()
dir=$(cd "$here" && pwd) || exit 1
[ -e /dev/lwc ] || { echo "# the module is not loaded"; exit 1; }

programs=()
for source in *.c; do
	programs+=("${source%.c}")
done
[ $# = 0 ] || programs=("$@")

# What was said before is not the first program's.
new_messages

# Once, so that what the kernel makes at first use is there before it is counted.
"$dir/specs" >/dev/null 2>&1

for program in "${programs[@]}"; do
	if ! [ -x "$dir/${program%%.*}" ]; then
		not_ok "$program: not built"
		continue
	fi
	for user in $users; do
		run "$program" "$user"
	done
	[ -z "$once" ] || [ ${#left[@]} = 0 ] || run_left_as_root "$program"
done

echo "1..$number"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
