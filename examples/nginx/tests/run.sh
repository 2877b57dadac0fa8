#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The tests of the nginx module, to be run as root in the virtual machine:
#
#	qemu/vm run -- examples/nginx/tests/run.sh [NAME...]
#
# NAME is one of the files NAME.pl beside this one; by default all but "short",
# which has a little of each, for a kernel on which all take too long. Prints
# "ok N - what" or "not ok N - what" for each test, and fails if one failed. It
# must never use anything of the machine's own nginx but its programs.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=${LWC_NGINX_BUILD:-$here/../../../build/nginx/build}

LWC_DIR=$(mktemp -d /tmp/lwc-nginx.XXXXXX)
export LWC_DIR
chmod 755 "$LWC_DIR"

# An absolute name, as nginx starts a new binary by the one it was started with.
LWC_NGINX=${LWC_NGINX:-$(command -v nginx)}
LWC_NGINX_MODULES=${LWC_NGINX_MODULES:-/usr/lib/nginx/modules}
export LWC_NGINX LWC_NGINX_MODULES LWC_NGINX_BUILD=$build

# Called by the trap.
finish() {
	[ ! -s "$LWC_DIR/nginx.pid" ] || kill "$(cat "$LWC_DIR/nginx.pid")"
	rm -rf "$LWC_DIR"
}
trap finish EXIT

# Workers are not root: what they read is put where they can.
cp "$here/Handlers.pm" "$LWC_DIR/"
for conf in nginx.conf locations.conf misbehaving.conf; do
	sed "s#@DIR@#$LWC_DIR#g; s#@BUILD@#$build#g; s#@NGINX@#$LWC_NGINX_MODULES#g" \
		"$here/$conf" >"$LWC_DIR/$conf"
done
for temp in client_body proxy fastcgi uwsgi scgi; do
	echo "${temp}_temp_path $LWC_DIR/temp_$temp;"
done >"$LWC_DIR/temp.conf"

mkdir -p "$LWC_DIR/html/dir" "$LWC_DIR/html/ssi"
seq -f 'line %g of a static file' 1 200 >"$LWC_DIR/html/static.txt"
seq -f 'line %g of a larger one' 1 6000 >"$LWC_DIR/html/large.bin"
seq 1 1000000 >"$LWC_DIR/html/huge.bin"
echo '<p>index</p>' >"$LWC_DIR/html/index.html"
echo 'declined, so here is the file' >"$LWC_DIR/html/declined.txt"
for page in /hello /perl/hello /chunked '/status?code=404' '/perl/redirect?@named' '/big?size=5000'; do
	echo "<p>$page: <!--#include virtual=\"$page\" --></p>"
done >"$LWC_DIR/html/ssi/page.html"
for page in /static.txt /hello /finalize?say=1 /static.txt '/finalize?code=404' /perl/flush; do
	echo "<p>$page: <!--#include virtual=\"$page\" wait=\"yes\" --></p>"
done >"$LWC_DIR/html/ssi/mixed.html"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
	-keyout "$LWC_DIR/key.pem" -out "$LWC_DIR/cert.pem" 2>/dev/null

if ! "$LWC_NGINX" -p "$LWC_DIR" -c "$LWC_DIR/nginx.conf"; then
	echo 'not ok 1 - nginx starts'
	exit 1
fi

if [ $# = 0 ]; then
	set -- same protocols forget hazards crash deadline hostile life config
fi

failed=0
for test; do
	# One that dies half-way may have said "ok" of all before.
	perl "$here/$test.pl" || echo "not ok - $test.pl ended with status $?"
	if [ -n "${LWC_KEEP_LOG:-}" ]; then
		cat "$LWC_DIR/error.log" >>"$LWC_KEEP_LOG"
	fi
done | perl -ne '
	BEGIN { $| = 1 }
	$bad++ if /^not ok - /;
	s/^(not )?ok\K - /" " . ++$n . " - "/e;
	print;
	END { print "1..", $n // 0, "\n"; exit($bad || !$n ? 1 : 0) }' || failed=1
exit $failed
