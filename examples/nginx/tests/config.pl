#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# What nginx refuses to start with, and says so: handlers that cannot work, and a
# machine that cannot keep the promise. It must never find an nginx that serves
# without protection where it was asked for.
use strict;
use warnings;
use FindBin;
use IO::Socket::UNIX;
use lib $FindBin::Bin;
use Client;
use Time::HiRes qw(sleep);

my $home = dir() . '/config';
mkdir $home;
chmod 0755, $home;
my $temp = join '', map { "${_}_temp_path $home/$_;" } qw(client_body proxy fastcgi uwsgi scgi);
my $conf = "$home/nginx.conf";

# A configuration of one server, with these words at each level.
sub configure {
	my (%at) = @_;
	$_ //= '' for @at{qw(main http server location)};
	open my $file, '>', $conf or die;
	print $file <<EOF;
$at{main}
worker_processes 1;
pid $home/nginx.pid;
error_log $home/error.log info;
load_module $ENV{LWC_NGINX_BUILD}/ngx_http_lwc_module.so;
load_module $ENV{LWC_NGINX_BUILD}/ngx_http_lwc_test_module.so;
events { }
http {
	access_log off;
	$temp
	$at{http}
	server {
		listen 8090;
		root ${\dir()}/html;
		$at{server}
		location /here { $at{location} }
		location /hello { lwc_test hello; }
		location /leaky { lwc_test leaky; }
	}
}
EOF
	close $file;
}

sub nginx {
	my ($words, $as) = @_;
	my $said = `$as $ENV{LWC_NGINX} -p $home -c $conf $words 2>&1`;
	return ($? == 0, $said);
}

sub try { configure(@_); return nginx('-t', '') }

sub stop {
	my $pid = pid("$home/nginx.pid") or return;
	signal('TERM', $pid);
	wait_for(sub { !signal(0, $pid) });
}

my ($good, $said);

# Who goes on after returning is refused, wherever the two words are said.
my $sentence = qr/cannot work with "lwc_rollback on"/;
for my $pass ('proxy_pass http://127.0.0.1:8082', 'proxy_pass http://$host$uri', 'fastcgi_pass 127.0.0.1:9000',
	'fastcgi_pass $host', 'uwsgi_pass 127.0.0.1:9000', 'scgi_pass 127.0.0.1:9000', 'memcached_pass 127.0.0.1:9000',
	'grpc_pass grpc://127.0.0.1:9000')
{
	my ($name) = split ' ', $pass;
	for my $level (qw(http server location)) {
		my %at = (location => "$pass;");
		$at{$level} = ($at{$level} // '') . ' lwc_rollback on;';
		($good, $said) = try(%at);
		ok(!$good && $said =~ /"$name" in location "\/here" $sentence/, "refused: $pass, lwc_rollback on in $level", $said);
	}
}
($good, $said) = try(http => 'lwc_rollback on;', location => 'if ($arg_x) { proxy_pass http://127.0.0.1; } lwc_test hello;');
ok(!$good && $said =~ $sentence, 'refused: proxy_pass in "if"', $said);
($good, $said) = try(http => 'lwc_rollback on;', location => 'limit_except GET { proxy_pass http://127.0.0.1; } lwc_test hello;');
ok(!$good && $said =~ $sentence, 'refused: proxy_pass in "limit_except"', $said);
($good, $said) = try(http => 'lwc_rollback on;', location => 'location /here/in { proxy_pass http://127.0.0.1; }');
ok(!$good && $said =~ $sentence, 'refused: proxy_pass in a nested location', $said);
($good, $said) = try(http => 'lwc_rollback on;', location => 'proxy_pass http://127.0.0.1; lwc_rollback off;');
ok($good, 'accepted: proxy_pass with "lwc_rollback off" in its location', $said);
($good, $said) = try(location => 'proxy_pass http://127.0.0.1:9;');
ok($good, 'accepted: proxy_pass without lwc_rollback', $said);

for my $size ('1k', '2g', '0', 'x', '-1') {
	($good, $said) = try(http => "lwc_rollback on; lwc_arena $size;");
	ok(!$good && $said =~ /lwc_arena/, "refused: lwc_arena $size", $said);
}
($good, $said) = try(http => 'lwc_rollback on;', server => 'lwc_arena 1m;');
ok(!$good && $said =~ /"lwc_arena" directive is not allowed here/, 'refused: lwc_arena in server', $said);

# At all three levels, and the nearest one counts.
my $leaks = sub { get('/leaky?secret=1', port => 8090); return get('/leaky?secret=2', port => 8090) !~ /visit 1\n/ };
for my $case (['http', { http => 'lwc_rollback on;' }, 0], ['server', { server => 'lwc_rollback on;' }, 0],
	['server off, http on', { http => 'lwc_rollback on;', server => 'lwc_rollback off;' }, 1],
	['nowhere', {}, 1], ['http, master_process off', { main => 'master_process off;', http => 'lwc_rollback on;' }, 0],
	['http, an arena of 64k', { http => 'lwc_rollback on; lwc_arena 64k;' }, 0])
{
	my ($name, $at, $expected) = @$case;
	configure(%$at);
	($good, $said) = nginx('', '');
	ok($good && wait_for(sub { get('/hello', port => 8090) =~ /hello\n/ }) && $leaks->() == $expected,
		"lwc_rollback in $name: " . ($expected ? 'requests are remembered' : 'requests are forgotten'), $said);
	stop();
	ok(slurp("$home/error.log") !~ /exited on signal/, '... and the worker ends in good order');
}

# What "lwc_arena" says is the body that fits.
for my $case (['', 1 << 20], ['lwc_arena 64k;', 1 << 16]) {
	my ($words, $size) = @$case;
	configure(http => "lwc_rollback on; $words", location => 'lwc_test big;');
	nginx('', '');
	wait_for(sub { get('/hello', port => 8090) =~ /hello\n/ });
	ok(length body(get("/here?size=$size", port => 8090)) == $size, "a body of $size bytes fits: " . ($words || 'by default'));
	my $more = $size + 70000;
	ok(status(get("/here?size=$more", port => 8090)) == 500 &&
		wait_for(sub { slurp("$home/error.log") =~ /does not fit into the arena: .*"lwc_arena" is $size\b/ }),
		"... one of $more bytes does not");
	stop();
}

# The proxy beside a protected location, in one server.
configure(http => 'lwc_rollback on;', location => 'lwc_rollback off; proxy_pass http://127.0.0.1:8082/hello;');
nginx('', '');
ok(wait_for(sub { body(get('/here', port => 8090)) eq "hello\n" }), 'a proxied location with "lwc_rollback off" works');
stop();

# A log that is a socket: it was opened by the worker, after the context was made.
my $syslog = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$home/syslog") or die "$home/syslog: $!";
chmod 0666, "$home/syslog";
configure(main => "load_module $ENV{LWC_NGINX_MODULES}/ngx_http_perl_module.so;",
	http => "lwc_rollback on; perl_modules ${\dir()}; perl_require Handlers.pm;",
	server => "error_log syslog:server=unix:$home/syslog info;", location => 'perl Handlers::logs;');
nginx('', '');
wait_for(sub { status(get('/here', port => 8090)) == 200 });
get('/here', port => 8090) for 1 .. 3;
my ($lines, $line) = (0, '');
$syslog->blocking(0);
sleep 0.5;
while (defined $syslog->recv($line, 4096)) {
	$lines++ if $line =~ /a word from the handler/;
}
ok($lines == 4, 'error_log to syslog: each line of a handler arrives', "$lines lines\n" .
	get('/here', port => 8090) . substr slurp("$home/error.log"), -2000);
stop();

# No device.
my ($dev, $away) = ('/dev/lwc', '/dev/lwc.away');
if (!-c $dev) {
	ok(1, 'without /dev/lwc: not tried, there never was one');
} else {
	configure(http => 'lwc_rollback on;');
	rename $dev, $away or die;
	($good, $said) = nginx('-t', '');
	ok(!$good && $said =~ /cannot be kept: there is no \/dev\/lwc; is the lwc kernel module loaded\?/,
		'without /dev/lwc: nginx -t refuses, with a sentence', $said);
	($good, $said) = nginx('', '');
	ok(!$good && $said =~ /there is no \/dev\/lwc/ && get('/hello', port => 8090) eq 'no connection',
		'... and nginx does not start', $said);
	configure();
	($good, $said) = nginx('-t', '');
	ok($good, '... but without lwc_rollback it would', $said);
	rename $away, $dev or die;

	# Asked for at a reload: the old configuration stays.
	configure();
	nginx('', '');
	wait_for(sub { get('/hello', port => 8090) =~ /hello\n/ });
	rename $dev, $away or die;
	configure(http => 'lwc_rollback on;');
	my $pid = pid("$home/nginx.pid");
	signal('HUP', $pid);
	ok(wait_for(sub { slurp("$home/error.log") =~ /cannot be kept: there is no/ }) && get('/hello', port => 8090) =~ /hello\n/,
		'without /dev/lwc: a reload is refused, and the old configuration goes on');
	rename $away, $dev or die;
	signal('HUP', $pid);
	ok(wait_for(sub { !$leaks->() }), '... and when it is back, a reload protects');
	stop();

	# A user who may not.
	my (undef, undef, $uid, $gid) = getpwnam 'www-data';
	my $as = "setpriv --reuid=$uid --regid=$gid --clear-groups";
	configure(http => 'lwc_rollback on;');
	chown $uid, $gid, $home, glob "$home/*";
	($good, $said) = nginx('-t', $as);
	ok(!$good && $said =~ /this user may not open \/dev\/lwc; nginx must be started by root or a member of group lwc/,
		'/dev/lwc not permitted: nginx -t refuses, with a sentence', $said);
	my $group = (stat $dev)[5];
	chown 0, $gid, $dev;
	($good, $said) = nginx('-t', $as);
	ok($good, '... and a member of its group may', $said);
	chown 0, $group, $dev;

	# The device is gone while nginx runs: it can still be told to end.
	configure(http => 'lwc_rollback on;');
	nginx('', '');
	wait_for(sub { get('/hello', port => 8090) =~ /hello\n/ });
	rename $dev, $away or die;
	($good, $said) = nginx('-s stop', '');
	ok($good && wait_for(sub { !pid("$home/nginx.pid") }), 'without /dev/lwc: nginx -s stop works', $said);
	rename $away, $dev or die;
	stop();

	# The module makes no more contexts: no handler is run, until it does again.
	my $enabled = '/sys/module/lwc/parameters/enabled';
	configure(http => 'lwc_rollback on;');
	system "echo 0 >$enabled";
	nginx('', '');
	ok(wait_for(sub { slurp("$home/error.log") =~ /no request context can be made: new contexts are switched off/ }) &&
		status(get('/hello', port => 8090)) == 500, 'no context can be made: a 500, and no handler is run');
	system "echo 1 >$enabled";
	ok(status(get('/hello', port => 8090)) == 200 && !$leaks->(), '... until one can');
	stop();
}

exit($Client::failed != 0);
