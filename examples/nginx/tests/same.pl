#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# The same request to both servers, without lwc_rollback and with it: the answers
# must be equal byte for byte, down to the chunks, and so must the access logs. It
# must never compare less than all that was sent.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Client;

my $then = 'Sun, 09 Sep 2001 01:46:40 GMT';

# Ways to ask. Each is a list of what text() takes.
my %ways = (
	get => [ ['GET'] ],
	few => [ ['GET'], ['HEAD'], ['GET', version => '1.0', keep => 1], ['POST', body => 'small'] ],
	plain => [
		['GET'], ['HEAD'], ['GET', version => '1.0'], ['HEAD', version => '1.0'],
		['GET', version => '1.0', keep => 1],
		['GET', headers => ['Accept-Encoding: gzip']],
		['HEAD', headers => ['Accept-Encoding: gzip']],
		['POST', body => 'small'], ['POST', body => 'large ' x 10000],
		['POST', headers => ['Transfer-Encoding: chunked'], after => "3\r\nabc\r\n0\r\n\r\n"],
		['GET', headers => ['Range: bytes=0-3']],
	],
	conditional => [
		map { ['GET', headers => [$_]], ['HEAD', headers => [$_]] }
		"If-Modified-Since: $then", 'If-Modified-Since: Mon, 10 Sep 2001 00:00:00 GMT',
		'If-Modified-Since: Thu, 01 Jan 1970 00:00:10 GMT', "If-Unmodified-Since: $then",
		'If-Unmodified-Since: Thu, 01 Jan 1970 00:00:10 GMT',
		'If-None-Match: "lwc-1"', 'If-None-Match: "other"', 'If-None-Match: *',
		'If-Match: "lwc-1"', 'If-Match: "other"'
	],
	ranges => [
		map { ['GET', headers => [@$_]], ['HEAD', headers => [@$_]] }
		['Range: bytes=0-3'], ['Range: bytes=5-'], ['Range: bytes=-5'], ['Range: bytes=0-0'],
		['Range: bytes=0-1,3-4'], ['Range: bytes=0-1, -2, 7-9'], ['Range: bytes=99999999-'],
		['Range: bytes=5-3'], ['Range: lines=1-2'],
		['Range: bytes=0-3', "If-Range: $then"], ['Range: bytes=0-3', 'If-Range: "other"'],
		['Range: bytes=0-3', 'Accept-Encoding: gzip']
	],
	bodies => [
		['GET'], ['HEAD'], ['POST', body => ''], ['POST', body => 'a'], ['POST', body => 'b' x 900],
		['POST', body => 'c' x 16384], ['POST', body => 'd' x 16385],
		['POST', body => join '', map { chr $_ % 256 } 1 .. 300000],
		['PUT', body => 'put'],
		['POST', headers => ['Transfer-Encoding: chunked'],
			after => "5\r\nhello\r\n" . sprintf("%x\r\n%s\r\n", 20000, 'y' x 20000) . "0\r\n\r\n"],
		['POST', body => 'z' x 20000, headers => ['Expect: 100-continue']],
	],
);

my @cases = (
	# static files beside them: never in the request context
	['/static.txt', 'plain', 'conditional', 'ranges'], ['/large.bin', 'plain', 'ranges'],
	['/', 'plain'], ['/dir', 'few'], ['/missing', 'few'],
	# handlers in C
	['/hello', 'plain', 'bodies'], ['/big?size=65536', 'plain'], ['/big?size=65536&chunked=1', 'plain'],
	['/big?size=1000&parts=7&chunked=1', 'plain'], ['/big?size=1000&parts=7&flush=1', 'plain'],
	['/big?size=1048576', 'few'], ['/big?size=3000000&parts=37', 'few'],
	['/big?size=3000000&parts=37&chunked=1', 'few'], ['/big?size=70000&ranges=1', 'ranges'],
	['/big?size=1', 'few'], ['/chunked', 'plain'], ['/dated', 'plain', 'conditional', 'ranges'],
	['/headers', 'plain'], ['/empty.gif', 'plain', 'conditional'], ['/status_line', 'plain'], ['/trailers', 'plain'],
	['/file?name=/static.txt', 'plain', 'conditional', 'ranges'],
	['/file?name=/large.bin', 'plain', 'ranges'], ['/file?name=/large.bin&bytes=20000', 'plain'],
	['/file_sendfile?name=/large.bin', 'plain', 'ranges'],
	['/file_direct?name=/large.bin', 'get'], ['/file?name=/missing', 'few'],
	['/nameless', 'few'], ['/nameless_sendfile', 'few'],
	['/declined.txt', 'plain'], ['/post', 'bodies'], ['/body_file', 'bodies'], ['/close', 'few'],
	(map { ["/status?code=$_", 'few'], ["/finalize?code=$_", 'few'] }
		201, 204, 301, 302, 304, 400, 401, 403, 404, 405, 410, 413, 418, 429, 444, 499, 500, 503, 599),
	['/finalize?say=1', 'few'],
	['/redirect?to=/hello', 'plain'], ['/redirect?to=/perl/variables', 'plain'],
	['/redirect?to=/missing', 'few'], ['/redirect?to=/static.txt', 'plain', 'ranges'],
	['/redirect?to=@named', 'plain'], ['/redirect?to=@named_static', 'few'],
	['/redirect?to=@nowhere', 'few'], ['/redirect?to=/redirect?to=/x', 'get'],
	# handlers in Perl
	['/perl/hello', 'plain', 'bodies'], ['/perl/headers', 'plain'], ['/perl/flush', 'plain'],
	['/perl/big', 'plain'], ['/perl/big?1500000', 'few'], ['/perl/ranged', 'plain', 'ranges'],
	(map { ["/perl/status?$_", 'few'] } 201, 204, 302, 400, 403, 404, 444, 500, 503),
	['/perl/err', 'plain'], ['/perl/dies', 'few'], ['/perl/dies_late', 'few'],
	['/perl/redirect?/hello', 'plain'], ['/perl/redirect?/perl/variables?x=1', 'plain'],
	['/perl/redirect?@named', 'plain'], ['/perl/redirect?/../x', 'few'],
	['/perl/redirect?/missing', 'few'],
	['/perl/file?static.txt', 'plain'], ['/perl/file?large.bin', 'plain'],
	['/perl/file?large.bin,100,30000', 'plain'], ['/perl/file?large.bin,100,50', 'plain'],
	['/perl/file?missing', 'few'], ['/perl/files', 'few'],
	['/perl/post', 'bodies'], ['/perl/discard', 'bodies'], ['/perl/variables?a=b', 'plain'],
	['/perl/command', 'get'], ['/perl/logs', 'few'], ['/perl/anonymous', 'few'],
	['/perl/deadline', 'get'], ['/alarm', 'get'],
	# error pages
	(map { my $l = $_; map { ["/errors/$l$_", 'few'] } 403, 404, 410, 500, 503, 418 }
		'status?code=', 'finalize?code=', 'perl?'),
	['/errors/dies', 'few'],
	# around other modules
	['/ssi/page.html', 'plain'], ['/ssi/mixed.html', 'plain'],
	['/guarded?code=200', 'few'], ['/guarded?code=403', 'few'], ['/guarded?code=401', 'few'],
	['/mirrored', 'bodies'], ['/post_action', 'few'], ['/no_chunks', 'few'],
	['/no_keepalive', 'few'], ['/try', 'few'], ['/except', 'few'], ['/rewritten', 'few'],
	['/if', 'few'], ['/if?x=1', 'few'],
);

# Perl handlers that do not read the body leave it in the connection, to be taken
# for the next request: the request context's worker has read it. So these are
# not asked to take one. /perl/careless answers HEAD with a body.
my %no_body = map { $_ => 1 } grep { m{^/(perl|errors)/} } map { $_->[0] } @cases;
delete @no_body{'/perl/post', '/perl/discard'};

# Nothing at all comes back from these, as nginx closes the connection; from the one
# of direct I/O where the file system of /tmp has none.
my %silent = map { $_ => 1 } '/file_direct?name=/large.bin', '/perl/dies_late', '/perl/file?missing', '/perl/status?444',
	map { ("/status?code=$_", "/finalize?code=$_") } 444, 499;

my $before = worker();

for my $case (@cases) {
	my ($path, @sets) = @$case;
	for my $set (@sets) {
		my ($n, $why) = (0, '');
		for my $way (@{ $ways{$set} }) {
			my ($method, %o) = @$way;
			next if $no_body{$path} && $method =~ /^P/;
			my $request = text($method, $path, %o) . ($o{after} // '');
			my ($off, $on) = map { same_text(raw($_, $request)) } 8081, 8082;
			$n++;
			next if $off eq $on && (length $off || $silent{$path});
			my ($head) = split /\r\n\r\n/, $request;
			$why .= "-- request\n$head\n-- off\n" . substr($off, 0, 800) .
				"\n-- on\n" . substr($on, 0, 800) . "\n";
		}
		ok($why eq '', "same bytes: $path, $n ways to ask ($set)", $why);
	}
}

my @together = ('/hello', '/perl/hello', '/chunked', '/perl/flush', '/status?code=404', '/big?size=100000',
	'/post', '/static.txt', '/redirect?to=/hello', '/perl/redirect?@named', '/hello');
my $pipeline = join '', map { text('GET', $_, keep => 1) } @together;
$pipeline .= text('GET', '/perl/anonymous');
my ($off, $on) = map { same_text(raw($_, $pipeline)) } 8081, 8082;
ok($off eq $on && (() = $off =~ m{HTTP/1.1 \d}g) == @together + 1,
	'same bytes: many requests at once on one connection', "-- off\n$off\n-- on\n$on");

for my $port (8081, 8082) {
	my $s = connect_to($port);
	my $got = '';
	for my $path ('/hello', '/perl/ranged', '/status?code=503', '/dated', '/hello') {
		print $s text('GET', $path, keep => 1);
		$got .= read_response($s);
	}
	close $s;
	$port == 8081 ? ($off = $got) : ($on = $got);
}
ok(same_text($off) eq same_text($on) && (() = $off =~ m{HTTP/1.1 \d}g) == 5,
	'same bytes: keep-alive, one request after the other', "-- off\n$off\n-- on\n$on");

# TLS, and HTTP/2: by curl, which decodes; the bodies and headers are compared.
for my $path ('/hello', '/chunked', '/big?size=300000', '/big?size=300000&chunked=1&parts=9', '/headers',
	'/status?code=404', '/perl/hello', '/perl/headers', '/perl/big?200000', '/file?name=/large.bin',
	'/file_sendfile?name=/large.bin', '/redirect?to=@named', '/errors/perl?404', '/trailers')
{
	for my $how ('--http1.1', '--http2', '--http2 -I', '--http2 --compressed',
		'--http2 --data-binary @' . dir() . '/html/large.bin')
	{
		next if $how =~ /data/ && $path =~ m{/perl/|/errors/};
		my ($off, $on) = map {
			same_text(scalar `curl -sk -m 30 -D - $how 'https://localhost:$_$path' 2>&1`)
		} 8443, 8444;
		s/^date: .*$/date: -/mg for $off, $on;
		ok($off eq $on && $off =~ m{^HTTP/}, "same over TLS: $path ($how)", "-- off\n$off\n-- on\n$on");
	}
}

($off, $on) = map { same_text(slurp(dir() . "/$_.log")) } 'off', 'on';
my @off = split /\n/, $off;
my @on = split /\n/, $on;
my ($differ) = grep { ($off[$_] // '') ne ($on[$_] // '') } 0 .. (@off > @on ? $#off : $#on);
ok(!defined $differ && @off > 100, 'same lines in the access logs, ' . @off . ' of them',
	defined $differ ? "line $differ\n-- off\n$off[$differ]\n-- on\n$on[$differ]" : '');

ok(worker() == $before && $before, 'the worker is the same as at the start');

exit($Client::failed != 0);
