# SPDX-License-Identifier: MIT
#
# A Perl handler for nginx as people write them, with a bug of an everyday kind: a
# global keeps what visitors said, and shows it to the next one. It must never be
# mended, nor know of lwc_rollback: the demo shows what that makes of it.
package Visitors;

use strict;
use warnings;
use nginx;

our @seen;

sub greet {
	my $r = shift;
	my ($secret) = ($r->args // '') =~ /secret=([\w-]+)/ or return 400;

	$r->send_http_header('text/plain');
	return OK if $r->header_only;

	$r->print("Hello! Your secret is safe with us: $secret\n");
	$r->print("By the way, our last visitor's was $seen[-1].\n") if @seen;

	push @seen, $secret;
	return OK;
}

# Reads where nothing is, as a faulty extension in C would.
sub crash {
	return unpack 'p', pack 'Q', 64;
}

# Waits for what never comes.
sub endless {
	1 while 1;
}

# A page of some size, to see what it costs.
sub page {
	my $r = shift;
	my $size = ($r->args // '') =~ /(\d+)/ ? $1 : 1000;
	$r->send_http_header('text/html');
	return OK if $r->header_only;
	$r->print('x' x $size);
	return OK;
}

1;
