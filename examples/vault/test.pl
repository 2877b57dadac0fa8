#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# Signatures are right, and the key is nowhere in the process but in the vault. The
# same search must find it where there is no vault, or it would prove nothing.
use v5.36;
no warnings "portable";	# Addresses have 64 bits.
use IPC::Open2;
use Test::More;

my $vault = "$ENV{LWC_EXAMPLES}/vault/vault";
chomp(my $dir = `mktemp -d /tmp/vault.XXXXXX`);
END { system('rm', '-rf', $dir) if $dir }

system("openssl genpkey -algorithm ed25519 -out $dir/key && openssl pkey -in $dir/key -pubout -out $dir/public");
# The last 32 bytes of the key's DER are the secret itself.
my $secret = substr(`openssl pkey -in $dir/key -outform DER`, -32);
is(length $secret, 32, 'there is a key');

sub verifies($text, $hex)
{
	open(my $f, '>', "$dir/text") or die; print $f $text; close $f;
	open($f, '>', "$dir/signature") or die; print $f pack('H*', $hex); close $f;
	return !system("openssl pkeyutl -verify -pubin -inkey $dir/public -rawin -in $dir/text -sigfile $dir/signature >/dev/null");
}

# How often the secret is in a process's memory.
sub found($pid)
{
	my $n = 0;
	open(my $mem, '<:raw', "/proc/$pid/mem") or return "memory: $!";
	open(my $maps, '<', "/proc/$pid/maps") or die;
	while (<$maps>) {
		my ($start, $end) = /^(\w+)-(\w+) r/ or next;
		next if /\[v/;
		sysseek($mem, hex $start, 0);
		my $size = hex($end) - hex($start);
		sysread($mem, my $bytes, $size) or next;
		$n++ while $bytes =~ /\Q$secret\E/g;
	}
	return $n;
}

for my $open ('', '--open') {
	my @words = ($open || (), "$dir/key");
	my $pid = open2(my $out, my $in, $vault, @words);
	for my $line ('a line', '.', 'x' x 4096) {
		print $in "$line\n";
		my ($hex, $text) = <$out> =~ /^(\w{128}) (.*)/;
		is($text, $line, 'a line comes back');
		ok(verifies($line, $hex), 'with a signature of it');
	}
	my $n = found($pid);
	$open ? cmp_ok($n, '>', 0, 'without a vault the key is found') :
		is($n, 0, 'with a vault it is nowhere');
	close $in;
	waitpid($pid, 0);
	is($?, 0, 'and it ends well');
}

ok(!verifies('another line', '0' x 128), 'a wrong signature is found out');
is(system("$vault /etc/passwd </dev/null 2>/dev/null") >> 8, 1, 'what is no key is refused');
is(system("$vault $dir/none </dev/null 2>/dev/null") >> 8, 1, 'as is what is not there');
is(system("head -c 5000 /dev/zero | tr '\\0' x | $vault $dir/key >/dev/null 2>&1") >> 8, 1, 'and a line that is too long');
is(system("$vault >/dev/null") >> 8, 1, 'and no key at all');

SKIP: {
	skip 'only root can become someone else', 2 if $>;
	chmod 0600, "$dir/key";
	my $pid = open2(my $out, my $in, $vault, "$dir/key", 'nobody');
	print $in "a line\n";
	my ($hex) = <$out> =~ /^(\w{128}) /;
	ok(verifies('a line', $hex), 'as another user, who may not read the key');
	like(`cat /proc/$pid/status`, qr/^Uid:\s+65534\s+65534\s+65534\s+65534$/m, 'and it has become that user');
	close $in;
	waitpid($pid, 0);
}
done_testing();
