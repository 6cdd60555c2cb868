#!/usr/bin/env bash
# Many tags in one repository and many repositories: how long the lists take, beside docker-registry on the same tree in the
# same run. Times fail nothing; a wrong answer does.
#
#   MANY_TAGS=20000  MANY_REPOSITORIES=5000  many.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need curl jq ss perl docker-registry

TAGS=${MANY_TAGS:-20000}
REPOSITORIES=${MANY_REPOSITORIES:-5000}
DATA_DIR=$WORK/data
MANIFEST=$WORK/manifest
MEASURED=$WORK/measured

# --- the tree ----------------------------------------------------------------------------------------------------------------------

# make_manifest TEXT: without blobs, and a blob itself.
make_manifest() {
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[],"annotations":{"n":"%s"}}' \
        "{\"mediaType\":\"application/vnd.example+json\",\"digest\":\"$(digest_of "$WORK/config")\",\"size\":2}" "$1"
}

# Writes names into $WORK/tags and $WORK/repositories, sorted as they must be listed, and the tree, all as docker-registry
# would have it. What says the same is one file with many names, up to what a file system allows.
make_tree() {
    local root=$DATA_DIR/docker/registry/v2 digest file
    printf '{}' >"$WORK/config"
    make_manifest first >"$MANIFEST"
    for file in "$WORK/config" "$MANIFEST"; do
        digest=$(sha256sum "$file" | cut -c 1-64)
        mkdir -p "$root/blobs/sha256/${digest:0:2}/$digest"
        cp "$file" "$root/blobs/sha256/${digest:0:2}/$digest/data"
    done
    perl - "$root/repositories" "$(digest_of "$MANIFEST")" "$(digest_of "$WORK/config")" "$TAGS" "$REPOSITORIES" "$WORK" <<'PERL'
use strict;
use warnings;
my ($root, $manifest, $config, $tags, $repositories, $work) = @ARGV;

sub folder {
    my ($path) = @_;
    return if -d $path;
    (my $parent = $path) =~ s{/[^/]+$}{};
    folder($parent);
    mkdir $path or die "$path: $!";
}

my %written;
sub put_link {
    my ($dir, $digest) = @_;
    folder($dir);
    my $source = $written{$digest};
    if (!$source || $source->[1]++ > 20000) {
        open(my $file, '>', "$dir/link") or die "$dir/link: $!";
        print $file $digest;
        close $file;
        $written{$digest} = ["$dir/link", 1];
    } else {
        link $source->[0], "$dir/link" or die "$dir/link: $!";
    }
}

sub repository {
    my ($name, @tags) = @_;
    my ($m) = $manifest =~ /:(.*)/;
    my ($c) = $config =~ /:(.*)/;
    put_link("$root/$name/_layers/sha256/$c", $config);
    put_link("$root/$name/_manifests/revisions/sha256/$m", $manifest);
    for my $tag (@tags) {
        put_link("$root/$name/_manifests/tags/$tag/index/sha256/$m", $manifest);
        put_link("$root/$name/_manifests/tags/$tag/current", $manifest);
    }
}

sub write_list {
    my ($file, @names) = @_;
    open(my $out, '>', "$work/$file") or die "$file: $!";
    print $out "$_\n" for @names;
}

# Upper case, digits, underscores, dots and hyphens, so that the order can be wrong.
my @form = ('v1.0.%d', 'V%d', '%d', 'main-%d', 'main_%d', '_%d', 'release.%d-rc', 'r%d');
my @tags = map { sprintf $form[$_ % @form], $_ } 1 .. $tags;
repository('many/tags', @tags);
write_list('tags', sort @tags);
# Below each other and beside each other: `a/b` is before `a-b` and before `a.b`.
@form = ('r/%d', 'r-%d', 'r/%d/x', 'r.%d', 'group%d/app', 'group%d', 'r/%d-y', 'a/b/c/%d');
my @names = map { sprintf $form[$_ % @form], int($_ / @form) } 1 .. $repositories - 1;
repository($_, 'latest') for @names;
my @keys = map { tr{/}{\x01}r } @names, 'many/tags';
write_list('repositories', map { tr{\x01}{/}r } sort @keys);
PERL
}

# --- measuring -----------------------------------------------------------------------------------------------------------------------

# measured ROW VALUE: of the program that runs.
measured() { printf '%s\t%s\t%s\n' "$WHO" "$1" "$2" >>"$MEASURED"; }

# ask ROW PATH: the median of five, in milliseconds; keeps the last answer in $WORK/answer.
ask() {
    local i times=()
    for i in 1 2 3 4 5; do
        times+=("$(curl -sS -o "$WORK/answer" -w '%{time_total}' "http://$HOST/v2/$2")")
    done
    measured "$1" "$(printf '%s\n' "${times[@]}" | sort -n | sed -n 3p | awk '{ printf "%.1f", $1 * 1000 }')"
}

# once ROW CURL-ARGUMENT...: a single request, in milliseconds; sets STATUS.
once() {
    local row=$1 took
    shift
    read -r STATUS took < <(curl -sS -o /dev/null -w '%{http_code} %{time_total}\n' "$@")
    measured "$row" "$(awk -v t="$took" 'BEGIN { printf "%.1f", t * 1000 }')"
}

# start: how long until /v2/ answers, asked without a pause.
start() {
    local began asking
    began=$(date +%s%N)
    (
        until [[ $(status_of "http://127.0.0.1:$REGISTRY_PORT/v2/") == 200 ]]; do :; done
        date +%s%N >"$WORK/first"
    ) &
    asking=$!
    if [[ $WHO == docker-registry ]]; then REGISTRY_BIN=peer registry_start "$DATA_DIR"; else registry_start "$DATA_DIR"; fi
    wait "$asking"
    measured 'start to the first 200' "$((($(cat "$WORK/first") - began) / 1000000))"
}

measure() {
    local other
    start
    ask 'tags/list, n=100, first' "many/tags/tags/list?n=100"
    ask 'tags/list, n=100, last' "many/tags/tags/list?n=100&last=$(tail -n 101 "$WORK/tags" | head -n 1)"
    ask '_catalog, n=100, first' '_catalog?n=100'
    ask '_catalog, n=100, last' "_catalog?n=100&last=$(tail -n 101 "$WORK/repositories" | head -n 1)"
    ask 'manifest by tag' "many/tags/manifests/$(tail -n 1 "$WORK/tags")"
    other=$WORK/manifest.$WHO
    make_manifest "$WHO" >"$other"
    once 'push of one more tag' -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary "@$other" \
        "http://$HOST/v2/many/tags/manifests/new"
    PUT_STATUS=$STATUS
    once 'delete by digest' -X DELETE "http://$HOST/v2/many/tags/manifests/$(digest_of "$other")"
    DELETE_STATUS=$STATUS
    measured 'most memory, MiB' "$(awk '/^VmHWM:/ { printf "%.1f", $2 / 1024 }' "/proc/$REGISTRY_PID/status")"
}

# --- right or wrong ---------------------------------------------------------------------------------------------------------------------

# walk PATH KEY N: follows Link from page to page and prints everything. Every page but the last has N entries.
walk() {
    local url="http://$HOST/v2/$1?n=$3" count pages=0
    while [[ -n $url ]]; do
        curl -fsS -D "$WORK/headers" -o "$WORK/page" "$url"
        jq -r ".$2[]" "$WORK/page"
        count=$(jq ".$2 | length" "$WORK/page")
        url=$(tr -d '\r' <"$WORK/headers" | sed -n 's/^link: <\(.*\)>; *rel="\{0,1\}next.*/\1/Ip')
        [[ -z $url ]] || expect "entries of page $pages" "$3" "$count" >&2
        [[ $url != /* ]] || url=http://$HOST$url
        pages=$((pages + 1))
        ((pages <= 1000)) || { echo 'no end' >&2 && return 1; }
    done
}

# walked PATH KEY N LIST
walked() {
    walk "$1" "$2" "$3" >"$WORK/walked"
    expect 'entries' "$(wc -l <"$4")" "$(wc -l <"$WORK/walked")"
    cmp "$4" "$WORK/walked"
}

# page PATH KEY LIST FIRST COUNT: what is asked for after entry FIRST of the list.
page() {
    local last
    last=$(sed -n "$4p" "$3")
    curl -fsS "http://$HOST/v2/$1?n=$5&last=$last" | jq -r ".$2[]" >"$WORK/walked"
    sed -n "$(($4 + 1)),$(($4 + $5))p" "$3" | diff - "$WORK/walked"
}

# Without n it is the server's choice how much comes at once, as long as the rest is announced.
without_n() {
    curl -fsS -D "$WORK/headers" "http://$HOST/v2/many/tags/tags/list" | jq -r '.tags[]' >"$WORK/walked"
    head -n "$(wc -l <"$WORK/walked")" "$WORK/tags" | cmp - "$WORK/walked"
    cmp -s "$WORK/tags" "$WORK/walked" || grep -i '^link:' "$WORK/headers"
}

# --- all of it -----------------------------------------------------------------------------------------------------------------------------

began=$SECONDS
make_tree
echo "$TAGS tags and $REPOSITORIES repositories made in $((SECONDS - began)) s"
REGISTRY_PORT=$(free_port)
WHO='the registry'
measure
scenario many 'one more tag is pushed' expect status 201 "$PUT_STATUS"
scenario many 'and deleted by its digest' expect status 202 "$DELETE_STATUS"
for n in 100 1000; do
    scenario many "all tags, in order, by pages of $n" walked many/tags/tags/list tags "$n" "$WORK/tags"
    scenario many "the whole catalog, in order, by pages of $n" walked _catalog repositories "$n" "$WORK/repositories"
done
scenario many 'a page in the middle of the tags' page many/tags/tags/list tags "$WORK/tags" $((TAGS / 2)) 50
scenario many 'a page in the middle of the catalog' page _catalog repositories "$WORK/repositories" $((REPOSITORIES / 2)) 50
scenario many 'the last page of the tags, shorter than asked' page many/tags/tags/list tags "$WORK/tags" $((TAGS - 7)) 50
scenario many 'the last page of the catalog, shorter than asked' page _catalog repositories "$WORK/repositories" $((REPOSITORIES - 7)) 50
scenario many 'the tags without a number' without_n
registry_stop
WHO=docker-registry
measure
registry_stop
echo
awk -F '\t' '
    !($2 in ours) { rows[++n] = $2 }
    $1 == "the registry" { ours[$2] = $3; next }
    { theirs[$2] = $3 }
    END {
        printf "%-30s %14s %16s\n", "milliseconds", "the registry", "docker-registry"
        for (i = 1; i <= n; i++) printf "%-30s %14s %16s\n", rows[i], ours[rows[i]], theirs[rows[i]]
    }' "$MEASURED"
echo 'docker-registry 2.8 has no pages of tags: it always sends all of them'
echo
summary
