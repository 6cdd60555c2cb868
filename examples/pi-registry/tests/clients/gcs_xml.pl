#!/usr/bin/env perl
# Google's XML API in front of fake-gcs-server, which has it for downloads only. Objects, their generations and the conditions on
# them are fake-gcs-server's, by its JSON API; lists are cut into pages here, and parts are kept in a folder until an upload of
# several parts is complete.
#
#   gcs_xml.pl PORT SERVER_PORT FOLDER
use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;

my ( $port, $server_port, $folder ) = @ARGV;
my $SERVER = "http://127.0.0.1:$server_port";
my $http   = HTTP::Tiny->new( timeout => 120, keep_alive => 1 );
my $client;

sub encoded { my ($text) = @_; $text =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ge; return $text }
sub decoded { my ($text) = @_; $text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge; return $text }

sub answer {
    my ( $status, $headers, $body ) = @_;
    my $text = "HTTP/1.1 $status So\r\n";
    $text .= "$_: $headers->{$_}\r\n" for sort keys %$headers;
    $text .= 'Content-Length: ' . length($body) . "\r\n" unless exists $headers->{'Content-Length'} || $status == 204;
    print $client "$text\r\n$body";
}

sub failed {
    my ( $status, $method ) = @_;
    my %codes = ( 404 => 'NoSuchKey', 412 => 'PreconditionFailed' );
    my $code = $codes{$status} // 'InternalError';
    my $body = $status < 400 || ( $method // '' ) eq 'HEAD' ? '' : "<?xml version='1.0'?><Error><Code>$code</Code><Message>so it goes</Message></Error>";
    answer( $status, { 'Content-Type' => 'application/xml' }, $body );
}

# What came of a JSON request that made an object.
sub made {
    my ( $response, $body ) = @_;
    return failed( $response->{status} ) unless $response->{success};
    my $object = decode_json $response->{content};
    $object = $object->{resource} if $object->{resource};
    my $etag = $object->{etag} // $object->{md5Hash};
    $etag =~ tr/"//d;
    answer( 200, { 'ETag' => qq("$etag"), 'x-goog-generation' => $object->{generation} }, $body ? $body->($etag) : '' );
}

# put_object BUCKET NAME HEADERS LENGTH CONTENT: the content may be a function that gives pieces.
sub put_object {
    my ( $bucket, $name, $headers, $length, $content, $body ) = @_;
    my $url = "$SERVER/upload/storage/v1/b/$bucket/o?uploadType=media&name=" . encoded($name);
    my $match = $headers->{'x-goog-if-generation-match'};
    $url .= "&ifGenerationMatch=$match" if defined $match;
    made(
        $http->request(
            'POST', $url,
            { headers => { 'Content-Type' => $headers->{'content-type'} // 'application/octet-stream', 'Content-Length' => $length }, content => $content }
        ),
        $body
    );
}

sub parts { my ($id) = @_; return sort { ( $a =~ /(\d+)$/ )[0] <=> ( $b =~ /(\d+)$/ )[0] } glob "$folder/$id.*" }

# Those that the client names, in its order; their ETags are looked at.
sub complete {
    my ( $bucket, $name, $headers, $id, $list ) = @_;
    my ( @files, $length );
    while ( $list =~ m{<Part>(.*?)</Part>}gs ) {
        my $part = $1;
        my ($number) = $part =~ m{<PartNumber>(\d+)<} or return failed(400);
        my ($etag)   = $part =~ m{<ETag>(?:"|&quot;|&#34;)?([0-9a-f]+)} or return failed(400);
        my $file = "$folder/$id.$number";
        open my $handle, '<:raw', $file or return failed(400);
        return failed(400) unless Digest::MD5->new->addfile($handle)->hexdigest eq $etag;
        push @files, $file;
        $length += -s $file;
    }
    return failed(400) unless @files;
    my @left = @files;
    my $handle;
    my $piece = sub {
        while (1) {
            unless ($handle) {
                my $file = shift @left // return undef;
                open $handle, '<:raw', $file or die "$file: $!\n";
            }
            my $bytes;
            return $bytes if read $handle, $bytes, 1 << 20;
            undef $handle;
        }
    };
    put_object( $bucket, $name, $headers, $length, $piece,
        sub { "<?xml version='1.0'?><CompleteMultipartUploadResult><Bucket>$bucket</Bucket><ETag>\"$_[0]\"</ETag></CompleteMultipartUploadResult>" } );
    unlink parts($id);
}

sub xml { my ($text) = @_; $text =~ s/([&<>"])/sprintf '&#%d;', ord $1/ge; return $text }

sub list {
    my ( $bucket, %query ) = @_;
    my ( $prefix, $delimiter, $most ) = ( $query{prefix} // '', $query{delimiter} // '', $query{'max-keys'} // 1000 );
    my $after    = $query{'continuation-token'} // $query{'start-after'} // '';
    my $response = $http->get( "$SERVER/storage/v1/b/$bucket/o?prefix=" . encoded($prefix) );
    return failed( $response->{status} ) unless $response->{success};
    my ( @entries, %seen );
    for my $object ( sort { $a->{name} cmp $b->{name} } @{ decode_json( $response->{content} )->{items} // [] } ) {
        my $key    = $object->{name};
        my $common = '';
        if ( $delimiter ne '' && ( my $at = index $key, $delimiter, length $prefix ) >= 0 ) { $common = substr $key, 0, $at + length $delimiter }
        # A common prefix is at its end as soon as one of its keys was named.
        next if $key le $after || ( $common ne '' && ( $seen{$common}++ || $common le $after && index( $after, $common ) == 0 ) );
        push @entries, [ $common ne '' ? $common : $key, $common ne '', $object ];
    }
    my $truncated = @entries > $most;
    splice @entries, $most if $truncated;
    my $xml = "<?xml version='1.0'?><ListBucketResult><Name>$bucket</Name><IsTruncated>" . ( $truncated ? 'true' : 'false' ) . '</IsTruncated>';
    $xml .= '<NextContinuationToken>' . xml( $entries[-1][0] ) . '</NextContinuationToken>' if $truncated && @entries;
    for (@entries) {
        my ( $name, $is_prefix, $object ) = @$_;
        $xml .=
            $is_prefix
            ? '<CommonPrefixes><Prefix>' . xml($name) . '</Prefix></CommonPrefixes>'
            : sprintf '<Contents><Key>%s</Key><Generation>%s</Generation><LastModified>%s</LastModified><ETag>"%s"</ETag><Size>%s</Size></Contents>',
            xml($name), $object->{generation}, $object->{updated}, ( $object->{etag} =~ tr/"//dr ), $object->{size};
    }
    answer( 200, { 'Content-Type' => 'application/xml' }, "$xml</ListBucketResult>" );
}

# GET and HEAD, with what fake-gcs-server answers.
sub download {
    my ( $method, $bucket, $name, $headers ) = @_;
    my %wanted  = map { $_ => $headers->{$_} } grep { defined $headers->{$_} } qw(range if-match if-none-match if-modified-since);
    my $started = 0;
    my $start   = sub {
        my ($response) = @_;
        return if $started++;
        my %kept;
        for my $header (qw(content-length content-range content-type etag last-modified x-goog-generation)) {
            $kept{ $header eq 'content-length' ? 'Content-Length' : $header } = $response->{headers}{$header} if defined $response->{headers}{$header};
        }
        answer( $response->{status}, \%kept, '' );
    };
    my $response = $http->request(
        $method,
        "$SERVER/storage/v1/b/$bucket/o/" . encoded($name) . '?alt=media',
        { headers => \%wanted, data_callback => sub { $start->( $_[1] ); print $client $_[0] } }
    );
    # The function has not seen what is empty, nor what is no success.
    if   ( $response->{success} ) { $start->($response) }
    else                          { failed( $response->{status}, $method ) }
}

sub request {
    my ( $method, $target ) = ( <$client> // return 0 ) =~ /^(\S+) (\S+)/ or return 0;
    my %headers;
    while ( defined( my $line = <$client> ) ) {
        $line =~ s/\r?\n$//;
        last if $line eq '';
        $headers{ lc $1 } = $2 if $line =~ /^([^:]+): *(.*)$/;
    }
    my $content = '';
    read $client, $content, $headers{'content-length'} if $headers{'content-length'};
    my ( $path, $query ) = split /\?/, $target, 2;
    my ( $bucket, $name ) = map { decoded($_) } $path =~ m{^/([^/]+)/?(.*)$} or return failed(400);
    my %query = map { my ( $key, $value ) = split /=/, $_, 2; ( $key => decoded( ( $value // '' ) =~ tr/+/ /r ) ) } split /&/, $query // '';
    my $id = $query{uploadId};

    if    ( $name eq '' ) { list( $bucket, %query ) }
    elsif ( $method eq 'POST' && exists $query{uploads} ) {
        $id = sprintf '%d-%d-%06d', $$, time, rand 1e6;
        answer( 200, {}, "<?xml version='1.0'?><InitiateMultipartUploadResult><UploadId>$id</UploadId></InitiateMultipartUploadResult>" );
    }
    elsif ( $method eq 'PUT' && defined $id ) {
        my $file = "$folder/$id.$query{partNumber}";
        open my $handle, '>:raw', "$file" or die "$file: $!\n";
        print $handle $content;
        close $handle or die "$file: $!\n";
        answer( 200, { ETag => '"' . md5_hex($content) . '"' }, '' );
    }
    elsif ( $method eq 'POST' && defined $id )   { complete( $bucket, $name, \%headers, $id, $content ) }
    elsif ( $method eq 'DELETE' && defined $id ) { unlink parts($id); answer( 204, {}, '' ) }
    elsif ( $method eq 'PUT' && defined $headers{'x-goog-copy-source'} ) {
        my ( $from, $source ) = map { decoded($_) } $headers{'x-goog-copy-source'} =~ m{^/?([^/]+)/(.+)$};
        made( $http->post( "$SERVER/storage/v1/b/$from/o/" . encoded($source) . "/rewriteTo/b/$bucket/o/" . encoded($name),
                { headers => { 'Content-Type' => 'application/json' }, content => '{}' } ) );
    }
    elsif ( $method eq 'PUT' ) { put_object( $bucket, $name, \%headers, length $content, $content ) }
    elsif ( $method eq 'DELETE' ) {
        my $response = $http->delete( "$SERVER/storage/v1/b/$bucket/o/" . encoded($name) );
        if ( $response->{success} ) { answer( 204, {}, '' ) }
        else                        { failed( $response->{status} ) }
    }
    else { download( $method, $bucket, $name, \%headers ) }
    return 1;
}

my $listener = IO::Socket::INET->new( LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 64, ReuseAddr => 1 ) or die "port $port: $!\n";
$SIG{CHLD} = 'IGNORE';
while (1) {
    $client = $listener->accept or next;
    next if fork;
    $SIG{CHLD} = 'DEFAULT';
    alarm 600;
    binmode $client;
    $client->autoflush(0);
    while ( request() ) { $client->flush }
    $client->flush;
    exit;
}
