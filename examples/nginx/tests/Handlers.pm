# SPDX-License-Identifier: MIT
#
# Perl handlers for the tests, of the kinds that people write, good ones and leaky
# ones. They know nothing of lwc_rollback, and must never need to.
package Handlers;

use strict;
use warnings;
use nginx;

our @seen;
our %cache;

sub hello {
	my $r = shift;
	$r->send_http_header('text/plain');
	return OK if $r->header_only;
	$r->print("hello from Perl\n");
	return OK;
}

# Does not look whether anybody wants a body.
sub careless {
	my $r = shift;
	$r->send_http_header('text/html');
	$r->print('a', 'b', "c\n");
	$r->print("more\n");
	return OK;
}

sub seen {
	my $r = shift;
	$r->send_http_header('text/plain');
	$r->print('before you: ', join(' ', @seen), "\n");
	push @seen, $r->args // '';
	$cache{$_} = 'x' x 1000 for 1 .. 200;
	return OK;
}

sub headers {
	my $r = shift;
	$r->header_out('X-Perl', 'yes');
	$r->header_out('Cache-Control', 'max-age=60');
	$r->header_out('Set-Cookie', "a=$_") for 1 .. 30;
	$r->header_out('Content-Length', 8);
	$r->status(202);
	$r->send_http_header('application/x-test');
	return OK if $r->header_only;
	$r->print("headers\n");
	return OK;
}

sub flush {
	my $r = shift;
	$r->send_http_header('text/plain');
	return OK if $r->header_only;
	for my $n (1 .. 5) {
		$r->print("part $n " . 'x' x 100 . "\n");
		$r->flush;
	}
	return OK;
}

sub big {
	my $r = shift;
	my $size = $r->args || 65536;
	$r->send_http_header('text/plain');
	return OK if $r->header_only;
	$r->print(substr('0123456789abcde' x ($size / 15 + 1), 0, $size));
	return OK;
}

sub ranged {
	my $r = shift;
	my $text = join '', map { "line $_\n" } 1 .. 20;
	$r->header_out('Content-Length', length $text);
	$r->allow_ranges;
	$r->send_http_header('text/plain');
	return OK if $r->header_only;
	$r->print($text);
	return OK;
}

sub status {
	my $r = shift;
	$r->header_out('X-Perl', 'status');
	return $r->args;
}

# The status is part of the answer: as an error page it says which one.
sub err {
	my $r = shift;
	$r->send_http_header('text/plain');
	return OK if $r->header_only;
	$r->print('sorry: ', $r->variable('status'), ' ', $r->variable('uri'), "\n");
	return OK;
}

sub dies {
	my $r = shift;
	die "on purpose\n";
}

sub dies_late {
	my $r = shift;
	$r->send_http_header('text/plain');
	$r->print("so far so good\n");
	die "on purpose, late\n";
}

sub nothing {
	return OK;
}

sub redirect {
	my $r = shift;
	$r->internal_redirect($r->args);
	return OK;
}

sub file {
	my $r = shift;
	$r->send_http_header('text/plain');
	return OK if $r->header_only;
	my ($name, $offset, $bytes) = split /,/, $r->args;
	my $path = $r->variable('document_root') . "/$name";
	if (defined $bytes) {
		$r->sendfile($path, $offset, $bytes);
	} else {
		$r->sendfile($path);
	}
	$r->flush;
	return OK;
}

# As a handler that puts a page together from many pieces.
sub files {
	my $r = shift;
	$r->send_http_header('text/plain');
	return OK if $r->header_only;
	$r->sendfile($r->variable('document_root') . '/large.bin', $_ * 10, 17000) for 1 .. 100;
	return OK;
}

sub post {
	my $r = shift;
	return OK if $r->has_request_body(\&posted);
	$r->send_http_header('text/plain');
	return OK if $r->header_only;
	$r->print("no body\n");
	return OK;
}

sub posted {
	my $r = shift;
	my ($where, $body) = ('memory', $r->request_body);
	if (!defined $body && defined $r->request_body_file) {
		$where = 'file';
		open my $file, '<:raw', $r->request_body_file or return 500;
		local $/;
		$body = <$file>;
	}
	$body //= '';
	$r->send_http_header('text/plain');
	$r->print(length $body, ' bytes in ', $where, ', sum ', unpack('%32C*', $body), "\n");
	return OK;
}

sub discard {
	my $r = shift;
	$r->discard_request_body;
	$r->send_http_header('text/plain');
	return OK if $r->header_only;
	$r->print("discarded\n");
	return OK;
}

sub variables {
	my $r = shift;
	$r->variable('seen_by', 'Perl');
	$r->variable('never_heard_of', 'x');
	$r->send_http_header('text/plain');
	return OK if $r->header_only;
	$r->print(join(' ', map { $_ // '-' } $r->uri, $r->args, $r->request_method,
		$r->remote_addr, $r->header_in('X-Mine'), $r->variable('seen_by'),
		$r->variable('never_heard_of'), $r->variable('server_addr'),
		$r->unescape('a%20b')), "\n");
	return OK;
}

sub numbers {
	my $r = shift;
	$r->send_http_header('text/plain');
	$r->print(join(' ', map { int rand 1e9 } 1 .. 3), "\n");
	return OK;
}

# As DBI handlers do it: no answer after a second, so give up.
sub deadline {
	my $r = shift;
	my $ended = 'in time';
	eval {
		local $SIG{ALRM} = sub { die "too late\n" };
		alarm 1;
		select undef, undef, undef, 5;
		alarm 0;
	};
	$ended = $@ if $@;
	$r->send_http_header('text/plain');
	$r->print("ended: $ended");
	return OK;
}

sub command {
	my $r = shift;
	my $said = `echo said`;
	my $status = system '/bin/sh', '-c', 'exit 3';
	$r->send_http_header('text/plain');
	$r->print($said, $status >> 8, "\n");
	return OK;
}

# A command that ends another by a signal.
sub limited {
	my $r = shift;
	my $said = `timeout 1 sleep 6`;
	my $status = $?;
	$r->send_http_header('text/plain');
	$r->print($status >> 8, "\n");
	return OK;
}

# nginx's own way to go on later.
sub later {
	my $r = shift;
	$r->sleep(100, \&hello);
	return OK;
}

sub logs {
	my $r = shift;
	$r->log_error(0, 'a word from the handler');
	$r->send_http_header('text/plain');
	return OK if $r->header_only;
	$r->print("logged\n");
	return OK;
}

# Where W itself runs Perl, as for a variable of the access log.
sub in_worker {
	my $r = shift;
	return int(rand 1e9);
}

1;
