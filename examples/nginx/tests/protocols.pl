#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# HTTP/2 over TLS and in clear text, TLS 1.2 and 1.3, pipelines, and many streams at
# once, without lwc_rollback and with it: headers, bodies and the order of all of a
# stream must be equal. It must never pass because nothing came.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Client;

my $before = worker();
my ($off, $on);

sub same {
	my ($name, $expected, $off, $on) = @_;
	my $why = "-- off\n" . substr($off, 0, 1200) . "\n-- on\n" . substr($on, 0, 1200);
	ok($off eq $on && $off =~ $expected && $off !~ /\[ERROR\]|not processed/, $name, $why);
}

# TLS: to the last byte, many requests at once on one connection.
my @pages = ('/hello', '/perl/hello', '/chunked', '/perl/flush', '/status?code=404', '/big?size=300000',
	'/perl/big?200000', '/dated', '/headers', '/perl/headers', '/static.txt',
	'/redirect?to=/hello', '/perl/redirect?@named', '/errors/perl?404', '/trailers');
my $pipeline = join '', (map { text('GET', $_, keep => 1) } @pages), (map { text('HEAD', $_, keep => 1) } @pages),
	text('POST', '/post', keep => 1, body => 'small'), text('POST', '/perl/post', keep => 1, body => 'x' x 100000),
	text('GET', '/perl/anonymous');
for my $version ('tls1_2', 'tls1_3') {
	my $brief = `openssl s_client -brief -$version -connect localhost:8444 </dev/null 2>&1`;
	(my $wanted = $version) =~ s/tls1_/TLSv1./;
	ok($brief =~ /Protocol version: $wanted\b/, "$wanted is spoken", $brief);
	($off, $on) = map { same_text(tls($_, $version, $pipeline)) } 8443, 8444;
	my $answers = () = $off =~ m{HTTP/1.1 \d}g;
	same("same bytes over $wanted: a pipeline of $answers requests", qr/^HTTP/, $off, $on);
	ok($answers == 2 * @pages + 3, '... and none is missing', $answers);
	same("same bytes over $wanted: a body in a file", qr/100000 bytes in file/,
		map { same_text(tls($_, $version, text('POST', '/perl/post', body => 'y' x 100000))) } 8443, 8444);
}

# HTTP/2, one request a connection: bodies to the last byte. To begin with TLS takes
# long in an emulated machine: all of them in clear text, and over TLS those that are
# sent in several parts.
my $large = dir() . '/html/large.bin';
my @large = ('/big?size=3000000&parts=37', '/perl/big?1500000', '/file?name=/large.bin', '/ssi/page.html');
my @headers = (q(-H'accept-encoding: identity'), q(-H':method: HEAD'), q(-H'range: bytes=0-3'), '');
for my $how (['in clear text', 'http://localhost', [8091, 8092], [@pages, '/nameless', @large], \@headers,
		['/post', '/perl/post', '/body_file']],
	['over TLS', 'https://localhost', [8443, 8444], \@large, [''], ['/perl/post']]) {
	my ($name, $host, $ports, $bodies, $headers, $posts) = @$how;
	my @ports = @$ports;
	for my $path (@$bodies) {
		same("same by HTTP/2 $name: body of $path", qr/./s, map { scalar `timeout 60 nghttp -y '$host:$_$path' 2>&1` } @ports);
	}
	for my $options (@$headers) {
		($off, $on) = map { http2("$host:$_", $options, @pages) } @ports;
		my $streams = () = $off =~ /^-- stream \d+\n:status: \d+\n/mg;
		same("same by HTTP/2 $name: headers of $streams streams $options", qr/end|headers .[57d]/, $off, $on);
		ok($streams == @pages, '... and none is missing', $streams);
	}
	for my $path (@$posts) {
		same("same by HTTP/2 $name: POST $path", qr/\d/, map { scalar `timeout 60 nghttp -y -d $large '$host:$_$path' 2>&1` } @ports);
		same("same by HTTP/2 $name: headers of POST $path", qr/:status: 200\n.*end/s,
			map { http2("$host:$_", "-d $large", $path) } @ports);
	}

	# Many streams at once, of all kinds, and large ones that wait for each other.
	my @many = (@pages) x 5;
	($off, $on) = map { http2("$host:$_", '', map { $many[$_] . ($many[$_] =~ /\?/ ? '&' : '?') . "n=$_" } 0 .. $#many) } @ports;
	my $streams = () = $off =~ /^-- stream/mg;
	same("same by HTTP/2 $name: $streams streams at once", qr/end/, $off, $on);
	ok($streams == @many, '... and none is missing', $streams);
	($off, $on) = map { http2("$host:$_", q(-m 10 -w 16 -H'accept-encoding: identity'), '/big?size=200000', '/perl/big?200000') } @ports;
	$streams = () = $off =~ /^200000 bytes\nend/mg;
	same("same by HTTP/2 $name: $streams large bodies at once, by small windows", qr/end/, $off, $on);
	ok($streams == 20, '... and none is missing', $streams);

	for my $path ('/hello', '/perl/hello', '/perl/big?20000') {
		my @load = map {
			my $said = `timeout 300 h2load -n 120 -c 3 -m 40 '$host:$_$path' 2>&1`;
			my @facts = map { $said =~ $_ ? $1 : () } qr/^requests: .*(done, .*)$/m, qr/^(status codes: .*)$/m,
				qr/(\d+\) data)$/m;
			"@facts";
		} @ports;
		same("same by HTTP/2 $name: 120 requests at once: $path", qr/120 succeeded, 0 failed.* 120 2xx.* \d+\) data/, @load);
	}
}

my %seen;
for my $port (8444, 8092) {
	my $scheme = $port == 8444 ? 'https' : 'http';
	$seen{$_}++ for map { `nghttp -y '$scheme://localhost:$port/perl/seen?protocols$_' 2>&1` } 1 .. 3;
}
ok(keys %seen == 1 && $seen{"before you: \n"}, 'HTTP/2: the handler forgets', join '', %seen);
ok(worker() == $before && $before, 'the worker is the same as at the start');

exit($Client::failed != 0);
