#!/usr/bin/env perl
# Stands between a registry and its object store, and does harm. What harm, it reads anew for each request from a file of one line:
#
#   KIND SHARE METHODS      such as `slowdown 30 GET|PUT`: three of ten requests with these methods; `none` does none
#
#   slowdown        answers 503 SlowDown itself
#   denied, skewed  answers 403 AccessDenied, RequestTimeTooSkewed itself
#   trickle         bodies of both directions come in small pieces
#   reset-upload    the connection is reset in the middle of the request's body
#   reset-download  and in the middle of the answer's
#   cut-download    the connection is closed there, as if that were all
#   reset-answer    the store has done it, and the answer is lost
#   hang            no answer, until the file says something else
#   hang-download   half of the answer's body, and no more
#   etag            answers have another ETag
#
#   object_faults.pl PORT STORE_PORT FILE      each harm done is one line on standard output
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER TCP_NODELAY IPPROTO_TCP);

my ( $port, $store_port, $file ) = @ARGV;
my $PIECE = 65536;
# Bodies of fewer bytes have no middle.
my $LARGE = 20000;

$| = 1;
$SIG{PIPE} = 'IGNORE';

# A connection, and what was read of it beyond what was asked for.
sub connection { my ($socket) = @_; setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1; return { socket => $socket, rest => '' } }

sub more {
    my ($from) = @_;
    my $got = sysread $from->{socket}, $from->{rest}, $PIECE, length $from->{rest};
    return $got;
}

# A head, with its empty line; undef at the end.
sub head {
    my ($from) = @_;
    while ( $from->{rest} !~ /\r\n\r\n/ ) { more($from) or return undef }
    $from->{rest} =~ s/^(.*?\r\n\r\n)//s;
    return $1;
}

sub line {
    my ($from) = @_;
    while ( $from->{rest} !~ /\n/ ) { more($from) or return undef }
    $from->{rest} =~ s/^(.*?\n)//s;
    return $1;
}

sub send_all {
    my ( $to, $bytes ) = @_;
    my $at = 0;
    while ( $at < length $bytes ) {
        my $sent = syswrite $to->{socket}, $bytes, length($bytes) - $at, $at;
        return 0 unless $sent;
        $at += $sent;
    }
    return 1;
}

# Passes so many bytes on, slowly if so; to nobody if undef.
sub pass {
    my ( $from, $to, $count, $slowly ) = @_;
    while ( $count > 0 ) {
        if ( $from->{rest} eq '' ) { more($from) or return 0 }
        my $size = length $from->{rest} < $count ? length $from->{rest} : $count;
        $size = 8192 if $slowly && $size > 8192;
        my $piece = substr $from->{rest}, 0, $size, '';
        select undef, undef, undef, 0.01 if $slowly;
        if ($to) { send_all( $to, $piece ) or return 0 }
        $count -= $size;
    }
    return 1;
}

sub reset_all {
    for (@_) {
        setsockopt $_->{socket}, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0;
        close $_->{socket};
    }
    exit;
}

sub fault {
    open my $handle, '<', $file or return ( 'none', 0, '' );
    my ( $kind, $share, $methods ) = split ' ', <$handle> // '';
    return ( $kind // 'none', $share // 0, $methods // '.*' );
}

# Until the fault is another one, or the other side gives up.
sub hang {
    my ( $kind, @connections ) = @_;
    my $all = IO::Select->new( map { $_->{socket} } @connections );
    while ( ( fault() )[0] eq $kind ) {
        # What can be read now is the end, since nobody sends a request before the last one is answered.
        last if $all->can_read(0.1);
    }
    reset_all(@connections);
}

sub answer {
    my ( $client, $method, $status, $code ) = @_;
    my $body = qq(<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>$code</Code><Message>so it goes</Message></Error>);
    send_all( $client, sprintf "HTTP/1.1 %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s",
        $status, length $body, $method eq 'HEAD' ? '' : $body );
}

my %ANSWERS = (
    slowdown => [ '503 Service Unavailable', 'SlowDown' ],
    denied   => [ '403 Forbidden',           'AccessDenied' ],
    skewed   => [ '403 Forbidden',           'RequestTimeTooSkewed' ],
);

# One request and its answer; false when the connection is at its end.
sub request {
    my ( $client, $store ) = @_;
    my $head = head($client) // return 0;
    my ( $method, $path ) = $head =~ /^(\S+) (\S+)/ or return 0;
    my $length  = $head =~ /^content-length: *(\d+)/im ? $1 : 0;
    my $expects = $head =~ /^expect: *100-continue/im;
    my ( $kind, $share, $methods ) = fault();
    $kind = 'none' unless $method =~ /^(?:$methods)$/ && rand(100) < $share;
    my $does = sub { printf "%s %s %s\n", $kind, $method, $path; };

    if ( my $answer = $ANSWERS{$kind} ) {
        $does->();
        send_all( $client, "HTTP/1.1 100 Continue\r\n\r\n" ) if $expects;
        pass( $client, undef, $length ) or return 0;
        return answer( $client, $method, @$answer );
    }
    if ( $kind eq 'hang' ) {
        $does->();
        send_all( $client, "HTTP/1.1 100 Continue\r\n\r\n" ) if $expects;
        pass( $client, undef, $length ) or return 0;
        hang( $kind, $client, $store );
    }

    send_all( $store, $head ) or return 0;
    my $response;
    if ($expects) {
        $response = head($store) // return 0;
        send_all( $client, $response );
        undef $response if $response =~ /^HTTP\S+ 100/;
    }
    unless ( defined $response ) {
        if ( $kind eq 'reset-upload' && $length > $LARGE ) {
            $does->();
            pass( $client, $store, int $length / 2 );
            reset_all( $client, $store );
        }
        $does->() if $kind eq 'trickle' && $length > $LARGE;
        pass( $client, $store, $length, $kind eq 'trickle' ) or return 0;
        do { $response = head($store) // return 0 } while $response =~ /^HTTP\S+ 1/;
        if ( $kind eq 'reset-answer' ) {
            $does->();
            reset_all( $client, $store );
        }
        if ( $kind eq 'etag' && $response =~ s/^(etag: *"?)([0-9a-f]{8})/$1 . sprintf '%08x', rand 0xffffffff/ime ) { $does->() }
        send_all( $client, $response ) or return 0;
    }

    return 1 if $method eq 'HEAD' || $response =~ /^HTTP\S+ (?:204|304)/;
    if ( $response =~ /^content-length: *(\d+)/im ) {
        my $size = $1;
        if ( $size > $LARGE && $kind =~ /-download$/ ) {
            $does->();
            pass( $store, $client, int $size / 2 );
            hang( $kind, $client, $store ) if $kind eq 'hang-download';
            reset_all( $client, $store )   if $kind eq 'reset-download';
            return 0;
        }
        $does->() if $kind eq 'trickle' && $size > $LARGE;
        return pass( $store, $client, $size, $kind eq 'trickle' );
    }
    if ( $response =~ /^transfer-encoding: *chunked/im ) {
        while ( defined( my $size = line($store) ) ) {
            send_all( $client, $size ) or return 0;
            my $bytes = hex( $size =~ s/[;\s].*//sr );
            pass( $store, $client, $bytes + 2 ) or return 0;
            return 1 if $bytes == 0;
        }
        return 0;
    }
    while ( $store->{rest} ne '' || more($store) ) { send_all( $client, substr $store->{rest}, 0, $PIECE, '' ) or return 0 }
    return 0;
}

my $listener = IO::Socket::INET->new( LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 256, ReuseAddr => 1 )
    or die "port $port: $!\n";
$SIG{CHLD} = 'IGNORE';
my $number = 0;
while (1) {
    my $socket = $listener->accept or next;
    $number++;
    if (fork) { close $socket; next }
    srand $number;
    alarm 600;
    close $listener;
    my $client = connection($socket);
    my $upstream = IO::Socket::INET->new( PeerAddr => '127.0.0.1', PeerPort => $store_port ) or exit;
    my $store = connection($upstream);
    1 while request( $client, $store );
    exit;
}
