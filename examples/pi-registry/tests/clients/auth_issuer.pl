#!/usr/bin/env perl
# Somebody else's token server, as small as it can be: one user who may do everything, and everybody may pull. openssl signs.
#
#   auth_issuer.pl PORT KEY KID ISSUER SERVICE USER PASSWORD
use strict;
use warnings;
use IO::Socket::INET;
use IPC::Open2;
use MIME::Base64 qw(decode_base64 encode_base64url);
use POSIX qw(strftime);

my ( $port, $key, $kid, $issuer, $service, $user, $password ) = @ARGV;

sub sign {
    my ($text) = @_;
    my $pid = open2( my $out, my $in, qw(openssl dgst -sha256 -sign), $key );
    binmode $out;
    print $in $text;
    close $in;
    local $/;
    my $signature = <$out>;
    waitpid $pid, 0;
    return $signature;
}

sub quoted { join ',', map { qq("$_") } @_ }

# Of the scopes `repository:NAME:ACTIONS` what is allowed; the rest is left out, and is no mistake.
sub granted {
    my ( $who, @scopes ) = @_;
    my @access;
    for ( map { split / / } @scopes ) {
        my ( $type, $name, $actions ) = /^(repository|registry):([a-z0-9.\/_-]+):([a-z,*]+)$/ or next;
        my @allowed = grep { $who ne '' || ( $type eq 'repository' && $_ eq 'pull' ) } split /,/, $actions;
        push @access, sprintf '{"type":"%s","name":"%s","actions":[%s]}', $type, $name, quoted(@allowed) if @allowed;
    }
    return '[' . join( ',', @access ) . ']';
}

sub token {
    my ( $who, @scopes ) = @_;
    my $now    = time;
    my $header = qq({"typ":"JWT","alg":"RS256","kid":"$kid"});
    my $claims = sprintf '{"iss":"%s","sub":"%s","aud":"%s","exp":%d,"nbf":%d,"iat":%d,"jti":"%d-%d","access":%s}',
        $issuer, $who, $service, $now + 300, $now - 10, $now, $now, $$, granted( $who, @scopes );
    my $signed = encode_base64url($header) . '.' . encode_base64url($claims);
    return $signed . '.' . encode_base64url( sign($signed) );
}

sub decoded {
    my ($text) = @_;
    $text =~ tr/+/ /;
    $text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
    return $text;
}

sub answer {
    my ( $method, $query, $authorization, $form ) = @_;
    my ( %parameters, @scopes );
    for ( split /&/, "$query&$form" ) {
        my ( $name, $value ) = map { decoded($_) } split /=/, $_, 2;
        next unless defined $value;
        if ( $name eq 'scope' ) { push @scopes, $value }
        else                    { $parameters{$name} = $value }
    }
    my ( $who, $word ) = ( '', '' );
    if ( $method eq 'POST' ) { ( $who, $word ) = @parameters{ 'username', 'password' } }
    elsif ( $authorization =~ /^Basic (\S+)/i ) { ( $who, $word ) = split /:/, decode_base64($1), 2 }
    $who  = '' unless defined $who;
    $word = '' unless defined $word;
    return ( '401 Unauthorized', '{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}' )
        if $who ne '' && ( $who ne $user || $word ne $password );
    my $token = token( $who, @scopes );
    my $at    = strftime '%Y-%m-%dT%H:%M:%SZ', gmtime;
    return ( '200 OK', qq({"token":"$token","access_token":"$token","expires_in":300,"issued_at":"$at"}) );
}

my $listener = IO::Socket::INET->new( LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 64, ReuseAddr => 1 )
    or die "port $port: $!\n";
$SIG{CHLD} = 'IGNORE';
while ( my $client = $listener->accept ) {
    next if fork;
    local $SIG{CHLD} = 'DEFAULT';
    $SIG{ALRM} = 'DEFAULT';
    alarm 20;
    my ( $method, $query ) = ( <$client> // '' ) =~ /^(\S+) [^? ]*\??(\S*)/ or exit;
    my ( $authorization, $length, $form ) = ( '', 0, '' );
    while ( my $line = <$client> ) {
        $line =~ s/\r?\n$//;
        last if $line eq '';
        $authorization = $1 if $line =~ /^authorization: *(.*)/i;
        $length        = $1 if $line =~ /^content-length: *(\d+)/i;
    }
    read $client, $form, $length if $length;
    my ( $status, $body ) = answer( $method, $query, $authorization, $form );
    printf $client "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n%s\r\n%s",
        $status, length $body, $status =~ /^401/ ? "WWW-Authenticate: Basic realm=\"elsewhere\"\r\n" : '', $body;
    exit;
}
