# SPDX-License-Identifier: MIT
#
# What the tests share: a client that shows every byte, the logs, and how a result
# is told. It must never hide a difference but those named in same_text().
package Client;

use strict;
use warnings;
use Exporter 'import';
use IO::Socket::INET;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(ok dir raw get body status text same_text log_mark logged unlogged worker other_worker
	workers wait_for slurp pid signal connect_to read_response tls http2);
our $failed = 0;

my $log_at = 0;

sub dir { return $ENV{LWC_DIR} }

# The prototype matters: a match that fails is nothing at all in a list.
sub ok($$;$) {
	my ($good, $name, $why) = @_;
	local $| = 1;
	print $good ? 'ok' : 'not ok', " - $name\n";
	if (!$good) {
		$failed++;
		$why //= '';
		$why =~ s/[^\n\t -~]/./g;
		print map { "#     $_\n" } grep { length } split /\n/, substr $why, 0, 3000;
	}
	return $good;
}

sub slurp {
	my $name = shift;
	open my $file, '<:raw', $name or return '';
	local $/;
	return <$file> // '';
}

sub connect_to {
	my $port = shift;
	my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 20)
		or return;
	$s->autoflush(1);
	binmode $s;
	return $s;
}

# All that comes back until the server closes.
sub raw {
	my ($port, $request, $timeout) = @_;
	my $s = connect_to($port) or return 'no connection';
	my $got = '';
	local $SIG{PIPE} = 'IGNORE';
	local $SIG{ALRM} = sub { die "timeout\n" };
	eval {
		alarm($timeout // 30);
		print $s $request;
		while (sysread $s, my $part, 65536) {
			$got .= $part;
		}
		alarm 0;
	};
	alarm 0;
	$got .= "\n(no end came: $@)" if $@;
	return $got;
}

sub text {
	my ($method, $path, %o) = @_;
	my $version = $o{version} // '1.1';
	my $text = "$method $path HTTP/$version\r\nHost: localhost\r\n";
	$text .= "Connection: close\r\n" unless $o{keep};
	$text .= "$_\r\n" for @{ $o{headers} // [] };
	$text .= 'Content-Length: ' . length($o{body}) . "\r\n" if defined $o{body};
	$text .= "\r\n";
	$text .= $o{body} if defined $o{body};
	return $text;
}

sub get {
	my ($path, %o) = @_;
	return raw($o{port} // 8082, text($o{method} // 'GET', $path, %o), $o{timeout});
}

# One response of known length, from a connection that stays open.
sub read_response {
	my $s = shift;
	my $got = '';
	local $SIG{ALRM} = sub { die "timeout\n" };
	eval {
		alarm 30;
		until ($got =~ /\r\n\r\n/) {
			sysread $s, my $part, 1 or die "closed\n";
			$got .= $part;
		}
		my ($length) = $got =~ /^Content-Length: (\d+)/mi;
		my $rest = $length // 0;
		while ($rest > 0) {
			my $n = sysread $s, my $part, $rest or die "closed\n";
			$got .= $part;
			$rest -= $n;
		}
		alarm 0;
	};
	alarm 0;
	return $got . ($@ ? "\n($@)" : '');
}

# All that comes back over TLS of the version that is asked for.
sub tls {
	my ($port, $version, $request) = @_;
	my $name = dir() . '/request';
	open my $file, '>:raw', $name or return 'no file';
	print $file $request;
	close $file or return 'no file';
	return scalar `timeout 60 openssl s_client -quiet -$version -connect localhost:$port <$name 2>/dev/null`;
}

# All of @paths at once on one connection. Of each stream, in the order in which it
# came: its headers, how many bytes of body, and how it ended.
sub http2 {
	my ($url, $options, @paths) = @_;
	my $urls = join ' ', map { "'$url$_'" } @paths;
	my %stream;
	for (split /\n/, `timeout 120 nghttp -nvy $options $urls 2>&1`) {
		if (/recv \(stream_id=(\d+)(?:, \w+)?\) (.*)/) {
			$stream{$1} .= $2 =~ /^date:/ ? "date: -\n" : "$2\n";
		} elsif (/recv HEADERS frame <length=\d+, flags=0x(..), stream_id=(\d+)>/) {
			$stream{$2} .= "headers $1\n";
		} elsif (/recv DATA frame <length=(\d+), flags=0x(..), stream_id=(\d+)>/) {
			my ($length, $flags, $id) = ($1, hex $2, $3);
			$length += $1 if ($stream{$id} //= '') =~ s/(\d+) bytes\n\z//;
			$stream{$id} .= "$length bytes\n" . ($flags & 1 ? "end\n" : '');
		} elsif (/recv RST_STREAM frame <length=\d+, flags=0x.., stream_id=(\d+)>/) {
			$stream{$1} .= "reset\n";
		}
	}
	delete $stream{0};
	return join '', map { "-- stream $_\n$stream{$_}" } sort { $a <=> $b } keys %stream;
}

sub status { return $_[0] =~ m{^HTTP/1\.[01] (\d+)} ? $1 : 0 }

sub body { return $_[0] =~ /\r\n\r\n(.*)/s ? $1 : '' }

# Dates differ, and so does the string between the parts of several ranges.
sub same_text {
	my $text = shift;
	$text =~ s/^Date: [^\r\n]*/Date: -/mg;
	$text =~ s/\b\d{20}\b/-boundary-/g if $text =~ /boundary=/;
	return $text;
}

sub log_mark { $log_at = -s dir() . '/error.log' }

sub logged {
	my $what = shift;
	return wait_for(sub { substr(slurp(dir() . '/error.log'), $log_at) =~ $what });
}

sub unlogged {
	my $what = shift;
	return substr(slurp(dir() . '/error.log'), $log_at) !~ $what;
}

sub wait_for {
	my ($what, $seconds) = @_;
	my $end = time + ($seconds // 10);
	while (1) {
		my $is = $what->();
		return $is if $is || time > $end;
		sleep 0.05;
	}
}

# The number in a pid file; 0 when there is none.
sub pid {
	return slurp(shift // dir() . '/nginx.pid') =~ /^(\d+)/ ? $1 : 0;
}

# As kill(), but never to a whole group of processes, which 0 would mean.
sub signal {
	my ($signal, $pid) = @_;
	return $pid ? kill $signal, $pid : 0;
}

sub workers {
	my $master = pid() or return;
	return map { $_ + 0 } grep {
		slurp("/proc/$_/cmdline") =~ /worker process(?! is shutting)/
	} split ' ', slurp("/proc/$master/task/$master/children");
}

sub worker { return (workers())[0] // 0 }

# The worker, if there is one and it is another: asked once, as one may end at any moment.
sub other_worker {
	my $before = shift;
	my $now = worker();
	return $now && $now != $before;
}

1;
