#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# Clients have a notebook each, are served in turn, and one that crashes takes no
# other with it. Must never leave a context behind.
use v5.36;
use IO::Socket::INET;
use Test::More;

my $counter = '/sys/class/misc/lwc/contexts';

sub contexts() { open(my $f, '<', $counter) or die "$counter: $!"; return 0 + <$f> }

my $before = contexts();
my $pid = open(my $log, '-|', "$ENV{LWC_EXAMPLES}/sessions/sessions", 0) or die;
my ($port) = <$log> =~ /^port (\d+)/ or die;

sub client() { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => 60) or die "client: $@" }
sub ask($client, $line) { print $client "$line\n"; return scalar <$client> }

sub notes($client)
{
	my @lines;
	print $client "show\n";
	while (defined(my $line = <$client>)) {
		return join('', @lines) if $line eq ".\n";
		push @lines, $line;
	}
	return undef;
}

my ($one, $two) = (client(), client());
is(ask($one, 'note first of one'), "noted\n", 'a note is taken');
is(ask($two, 'note first of two'), "noted\n", 'another client takes one');
is(ask($one, 'note second of one'), "noted\n", 'and the first again');
is(notes($one), "first of one\nsecond of one\n", 'each has what it noted');
is(notes($two), "first of two\n", 'and nothing of the other');
is(contexts(), $before + 2, 'there is a context for each');

# In pieces, and many at once.
syswrite($one, 'no'); select(undef, undef, undef, 0.2);
is(ask($two, 'nonsense'), "note TEXT, show, crash or quit\n", 'who sends half a line keeps nobody waiting');
syswrite($one, "te third\nnote fourth\n");
is(<$one> . <$one>, "noted\nnoted\n", 'lines come in pieces');
is(notes($one), "first of one\nsecond of one\nthird\nfourth\n", 'and are put together');

my $three = client();
ask($three, 'note last words');
is(ask($three, 'crash'), undef, 'a client crashes, and is cut off');
is(notes($two), "first of two\n", 'the others are served');
is(notes(client()), '', 'and a new one finds an empty notebook');

my $long = client();
print $long 'x' x 2000;
is(scalar <$long>, undef, 'a line that is too long ends the session');

ask($two, 'note ' . 'y' x 1000) for 1 .. 70;
is(ask($two, 'note ' . 'y' x 1000), "full\n", 'a notebook is full one day');

my @many = map { client() } 1 .. 50;
ask($many[$_], "note $_") for 0 .. $#many;
is(join(',', map { notes($many[$_]) =~ s/\n//r } 0 .. $#many), join(',', 0 .. $#many), '50 clients');

is(ask($_, 'quit'), undef, 'one leaves') for $one, $two;
undef @many;
my $left;
for (1 .. 100) { $left = contexts(); last if $left == $before; select(undef, undef, undef, 0.1) }
is($left, $before, 'contexts go with their clients');
kill 'TERM', $pid;
close $log;
for (1 .. 100) { $left = contexts(); last if $left == $before; select(undef, undef, undef, 0.1) }
is($left, $before, 'and all with the server');
is(system("$ENV{LWC_EXAMPLES}/sessions/sessions 2>/dev/null") >> 8, 1, 'without a port it says how it is used');
done_testing();
