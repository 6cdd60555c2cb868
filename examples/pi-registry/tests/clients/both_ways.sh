#!/usr/bin/env bash
# One data directory, served in turn by the real docker-registry (distribution 2.8) and by the registry under test: each
# serves what the other wrote, and docker-registry's garbage collection takes from our trees what it takes from its own.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=both_ways_lib.sh
source "$CLIENTS_DIR/both_ways_lib.sh"
need curl jq ss openssl tar gzip skopeo docker-registry

# --- who serves ---------------------------------------------------------------------------------------------------------

# serve ours|theirs DIR: not within a scenario, whose shell could not tell the others which process to stop.
serve() {
    SERVING=$1
    [[ -z $REGISTRY_PID ]] || registry_stop
    [[ -z $REGISTRY_PORT || -z $(ss -Hltn "sport = :$REGISTRY_PORT") ]] || die "somebody else listens on port $REGISTRY_PORT"
    case $1 in
    ours) registry_start "$2" REGISTRY_HTTP_SECRET="$SECRET" ;;
    theirs) REGISTRY_BIN=peer registry_start "$2" REGISTRY_HTTP_SECRET="$SECRET" ;;
    esac
}

tree() { echo "$1/docker/registry/v2"; }
remove_folder() { rm -r "${DATA:?}/docker/registry/v2/$1"; }

# --- what only a tree of files has ---------------------------------------------------------------------------------------

# Content under sha512, which 2.8 does not know what to do with.
fill_sha512() {
    local config manifest=$WORK/manifest512 digest
    printf '{"by": "sha512"}' >"$WORK/config512"
    config=sha512:$(sha512sum "$WORK/config512" | cut -d ' ' -f 1)
    expect 'blob under sha512' 201 "$(push_blob lib/sha512 "$WORK/config512" "$config")"
    expect 'blob under sha512 beside others' 201 "$(push_blob lib/oci "$WORK/config512" "$config")"
    jq -cn --arg m "$OCI_MANIFEST" --arg d "$config" --argjson s "$(stat -c %s "$WORK/config512")" '{
        schemaVersion: 2, mediaType: $m, config: {mediaType: "application/vnd.example+json", digest: $d, size: $s}, layers: []}' \
        >"$manifest"
    digest=sha512:$(sha512sum "$manifest" | cut -d ' ' -f 1)
    expect 'manifest under sha512' 201 "$(put_manifest lib/sha512 "$digest?tag=latest" "$manifest")"
    expect 'manifest under sha512 beside others' 201 "$(put_manifest lib/oci "$digest?tag=sha512" "$manifest")"
    expect 'that tag' "sha256:$(sha256sum "$manifest" | cut -d ' ' -f 1)" \
        "$(hash_of "http://$HOST/v2/lib/sha512/manifests/latest")"
}

repositories() { (cd "$(tree "$1")/repositories" && find . -name _manifests -type d -prune | sed 's/^..//; s/.[^/]*$//' | sort); }

# list_paths DIR OUT: every manifest and every blob that the tree ever had under each repository, whether it belongs there
# or not, and every tag, also those that were deleted.
list_paths() {
    local root repository digest
    root=$(tree "$1")
    find "$root/repositories" -path '*/_manifests/revisions/sha256/*' -type d -printf 'sha256:%f\n' | sort -u >"$WORK/manifests"
    find "$root/repositories" -path '*/_layers/sha256/*' -type d -printf 'sha256:%f\n' | sort -u >"$WORK/blobs"
    digest_of "$WORK/deleted" >>"$WORK/blobs"
    for repository in $(repositories "$1"); do
        while read -r digest; do echo "$repository/manifests/$digest"; done <"$WORK/manifests"
        while read -r digest; do echo "$repository/blobs/$digest"; done <"$WORK/blobs"
        {
            printf '%s\n' gone old older byhash latest
            find "$root/repositories/$repository/_manifests/tags" -mindepth 1 -maxdepth 1 -printf '%f\n' 2>/dev/null || true
        } | sed "s|^|$repository/manifests/|"
    done | sort -u >"$2"
}

# The faults that 2.8 trips over: a tag without its link, a link that is not exactly a digest, an upload without its date.
tree_is_clean() {
    local dir link bad=0
    while read -r dir; do
        [[ -e $dir/current/link ]] || { echo "no current/link: $dir" && bad=1; }
    done < <(find "$(tree "$1")/repositories" -path '*/_manifests/tags/*' -prune -type d)
    while read -r link; do
        grep -qzxE 'sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}' "$link" || { echo "no digest: $link: $(head -c 200 "$link")" && bad=1; }
    done < <(find "$(tree "$1")/repositories" -name link)
    while read -r dir; do
        grep -qzxE '[0-9-]{10}T[0-9:]{8}Z' "$dir/startedat" || { echo "no date: $dir: $(head -c 200 "$dir/startedat")" && bad=1; }
    done < <(find "$(tree "$1")/repositories" -path '*/_uploads/*' -prune -type d)
    while read -r dir; do
        echo "left over: $dir" && bad=1
    done < <(find "$1" -name '*.tmp')
    ((bad == 0))
}

# --- garbage collection ------------------------------------------------------------------------------------------------------

blobs_of() { (cd "$(tree "$1")/blobs" && find . -name data | sed 's|^./\([^/]*\)/../\(.*\)/data$|\1:\2|' | sort); }
files_of() { (cd "$1" && find . -type f | sort | xargs sha256sum); }

# collect DIR [OPTION...]: docker-registry's own.
collect() {
    local dir=$1 config=$WORK/collect.yml
    shift
    printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\n' "$dir" >"$config"
    env -u REGISTRY_BIN docker-registry garbage-collect "$@" "$config" >"$WORK/collected" 2>&1 || {
        tail -n 5 "$WORK/collected" && echo "garbage-collect $* failed" && return 1
    }
}

# collect_copy NAME MODE: first dry, then for real, on a copy of the tree, which it names NAME-MODE.
collect_copy() {
    local copy=$WORK/$1-$2 options=()
    [[ $2 != untagged ]] || options=(-m)
    cp -a "$WORK/$1" "$copy"
    files_of "$copy" >"$WORK/before"
    blobs_of "$copy" >"$WORK/blobs.before"
    collect "$copy" --dry-run "${options[@]}"
    files_of "$copy" >"$WORK/after"
    same 'a dry run changed something' "$WORK/before" "$WORK/after"
    collect "$copy" "${options[@]}"
    blobs_of "$copy" >"$WORK/blobs.after"
    comm -23 "$WORK/blobs.before" "$WORK/blobs.after" >"$copy.deleted"
    echo "$(wc -l <"$copy.deleted") deleted"
    [[ -s $copy.deleted ]]
}

tags_only() { grep -v -e '/blobs/' -e '/manifests/sha256:' "$1" || true; }

# after_collection MODE: what is served now is the same as after docker-registry collected its own tree.
after_collection() {
    record "$WORK/paths" "$WORK/now"
    same 'what is served' "$WORK/theirs-$1.served" "$WORK/now"
    lists_like "theirs-$1.listed"
    # No tag is lost.
    tags_only "$WORK/mixed.served" >"$WORK/tags.before"
    tags_only "$WORK/now" >"$WORK/tags.after"
    same 'tags' "$WORK/tags.before" "$WORK/tags.after"
}

# referrers DIGEST COUNT
referrers() {
    expect "referrers of lib/oci:v1" "$1" \
        "$(curl -fsS "http://$HOST/v2/lib/oci/referrers/$(root_digest "$IMAGES/one")" | jq '.manifests | length')"
}

push_collected_again() {
    push gone1 lib/untagged:gone
    skopeo_ copy -q --preserve-digests --src-tls-verify=false "docker://$HOST/lib/untagged:gone" "dir:$WORK/again"
    expect 'what was pulled' "$(root_digest "$IMAGES/gone1")" "$(digest_of "$WORK/again/manifest.json")"
    rm -r "$WORK/again"
    push_schema2 gone3 lib/emptied:latest
    skopeo_ copy -q --preserve-digests --src-tls-verify=false "docker://$HOST/lib/emptied:latest" "dir:$WORK/again"
    rm -r "$WORK/again"
}

# purge DIR PORT: docker-registry purges uploads in there. It first waits a random number of minutes, from 0 to 59, so it is
# started again and again until that is 0; beside the other scenarios.
purge() {
    local config=$WORK/purge.yml log=$WORK/purge.log i round pid
    printf 'version: 0.1\nstorage:\n  filesystem: {rootdirectory: %s}\n' "$1" >"$config"
    printf '  maintenance: {uploadpurging: {enabled: true, age: 1s, interval: 24h, dryrun: false}}\nhttp: {addr: "127.0.0.1:%s"}\n' \
        "$2" >>"$config"
    for ((round = 1; round <= 600; round++)); do
        env -u REGISTRY_BIN docker-registry serve "$config" >"$log" 2>&1 &
        pid=$!
        for ((i = 0; i < 250; i++)); do
            grep -q -e 'Starting upload purge in' -e panic "$log" && break
            sleep 0.02
        done
        grep -q 'Starting upload purge in 0s' "$log" && break
        kill "$pid"
        wait "$pid" 2>/dev/null || true
    done
    for ((i = 0; i < 100; i++)); do
        grep -q 'Purge uploads finished' "$log" && break
        sleep 0.1
    done
    end "$pid"
    echo "start $round"
    cut -c 1-200 "$log"
    grep -q 'Purge uploads finished' "$log"
    if grep -e 'level=error' -e panic "$log"; then return 1; fi
}

purged() {
    cat "$WORK/purging"
    expect 'status of the purge' 0 "$1"
    expect 'uploads left' '' "$(find "$WORK/mixed-purged" -path '*/_uploads/*' -prune -type d)"
    files_of "$WORK/mixed-purged" | grep -v /_uploads/ >"$WORK/after"
    files_of "$WORK/mixed" | grep -v /_uploads/ >"$WORK/before"
    same 'what is left of the rest' "$WORK/before" "$WORK/after"
}

# --- all of it ----------------------------------------------------------------------------------------------------------------

make_images

# (a) docker-registry fills the tree that both are going to use.
serve theirs "$WORK/mixed"
scenario first 'docker-registry is filled' fill_first
list_paths "$WORK/mixed" "$WORK/paths"
scenario first 'what it serves is written down' record "$WORK/paths" "$WORK/first.served"
scenario first 'so is what it lists' lists "$WORK/first.listed"
files_of "$WORK/mixed" >"$WORK/first.files"
echo "$(wc -l <"$WORK/paths") paths in $(repositories "$WORK/mixed" | wc -l) repositories, $(grep -c '^GET .* 200 ' "$WORK/first.served") of them there"

# (b) The registry under test serves it in place.
serve ours "$WORK/mixed"
scenario in-place 'every tag and digest, there or not, byte for byte' serves_like first.served
scenario in-place 'the same catalog and tags' lists_like first.listed
scenario in-place 'what was deleted is 404' gone_are_gone
scenario in-place 'a real client pulls every tag' all_tags_pull
files_of "$WORK/mixed" | grep -v '/_referrers/' >"$WORK/now.files"
scenario in-place 'reading has changed nothing' same files "$WORK/first.files" "$WORK/now.files"

# (c) and is filled further.
scenario more 'the registry is filled further' fill_more
list_paths "$WORK/mixed" "$WORK/paths"
scenario more 'what it serves is written down' record "$WORK/paths" "$WORK/mixed.served"
scenario more 'so is what it lists' lists "$WORK/mixed.listed"
scenario more 'its tree has no tag without a link, no bad link, no upload without a date' tree_is_clean "$WORK/mixed"
cp -a "$WORK/mixed" "$WORK/mixed-512"
cp -a "$WORK/mixed" "$WORK/mixed-hands"
# 1 s is the age from which uploads are purged.
sleep 2
cp -a "$WORK/mixed" "$WORK/mixed-purged"
purge "$WORK/mixed-purged" "$(free_port)" >"$WORK/purging" 2>&1 &
PURGING=$!

# (d) docker-registry again.
serve theirs "$WORK/mixed"
scenario back 'docker-registry serves all of it, byte for byte' serves_like mixed.served
scenario back 'and lists the same' lists_like mixed.listed
scenario back 'a real client pulls every tag from it' all_tags_pull
scenario back 'nothing in its log is an error' expect errors '' \
    "$(grep -a 'level=error' "$WORK/registry.log" | grep -v -e 'unknown' -e 'not found' | head -n 3 || true)"

serve ours "$WORK/mixed-512"
scenario sha512 'content under sha512 is pushed beside it' fill_sha512
lists "$WORK/512.listed"
serve theirs "$WORK/mixed-512"
scenario sha512 'docker-registry serves the rest byte for byte' serves_like mixed.served
scenario sha512 'and lists the same' lists_like 512.listed
for path in lib/sha512/manifests/latest lib/oci/manifests/sha512 \
    "lib/sha512/blobs/sha512:$(sha512sum <"$WORK/config512" | cut -d ' ' -f 1)"; do
    echo "docker-registry answers $(status_of "http://$HOST/v2/$path") to ${path:0:40}"
done

# (e) Garbage collection by docker-registry, of its own tree, of ours, and of the mixed one: the content is the same.
serve theirs "$WORK/theirs"
scenario collect 'all of it through docker-registry alone' fill_first
scenario collect 'the second part too' fill_more
serve ours "$WORK/ours"
scenario collect 'all of it through the registry alone' fill_first
scenario collect 'the second part too' fill_more
scenario collect 'which serves the same as from the mixed tree' serves_like mixed.served
scenario collect 'and leaves a clean tree' tree_is_clean "$WORK/ours"
registry_stop
for mode in plain untagged; do
    how=${mode/plain/without -m} how=${how/untagged/with -m}
    scenario collect "$how: docker-registry's own tree" collect_copy theirs "$mode"
    serve ours "$WORK/theirs-$mode"
    record "$WORK/paths" "$WORK/theirs-$mode.served"
    lists "$WORK/theirs-$mode.listed"
    for name in ours mixed; do
        scenario collect "$how: the tree '$name'" collect_copy "$name" "$mode"
        scenario collect "$how: the same blobs fall in '$name'" \
            same deleted "$WORK/theirs-$mode.deleted" "$WORK/$name-$mode.deleted"
        serve ours "$WORK/$name-$mode"
        scenario collect "$how: '$name' serves the same after it, and every tag" after_collection "$mode"
        case $mode in
        plain) scenario collect "$how: every tag of '$name' pulls" all_tags_pull ;;
        # Platforms of an index have no tags of their own: 2.8 deletes them with -m, in its own trees too.
        untagged)
            scenario collect "$how: every tag of '$name' pulls that is no index" all_tags_pull \
                '.*/(oci|schema2|moved|mounted|untagged|deleted|later)|a.*'
            ;;
        esac
        scenario collect "$how: the referrers are what is left in '$name'" referrers "$([[ $mode == plain ]] && echo 1 || echo 0)"
        scenario collect "$how: what fell from '$name' can be pushed again" push_collected_again
    done
    echo "$how: $(wc -l <"$WORK/theirs-$mode.deleted") of $(blobs_of "$WORK/theirs" | wc -l) blobs fall"
done
for mode in plain untagged; do
    how=${mode/plain/without -m} how=${how/untagged/with -m}
    scenario sha512 "$how: garbage collection with sha512 in the tree" collect_copy mixed-512 "$mode"
    grep -v '^sha512:' "$WORK/mixed-512-$mode.deleted" >"$WORK/deleted.256" || true
    scenario sha512 "$how: of sha256 the same blobs fall" same deleted "$WORK/mixed-$mode.deleted" "$WORK/deleted.256"
    echo "$how: 2.8 takes $(grep -c '^sha512:' "$WORK/mixed-512-$mode.deleted" || true) of" \
        "$(blobs_of "$WORK/mixed-512" | grep -c '^sha512:') blobs under sha512"
done

# (f) Uploads.
for from in theirs ours; do
    to=ours who="docker-registry's, gone on with by the registry"
    [[ $from == theirs ]] || to=theirs who="the registry's, gone on with by docker-registry"
    serve "$from" "$WORK/mixed-hands"
    begin_uploads "$from"
    serve "$to" "$WORK/mixed-hands"
    : >"$WORK/hands"
    for style in "${STYLES[@]}"; do
        scenario uploads "$who: $style" go_on "$style"
    done
    paste -s -d ' ' "$WORK/hands"
done
registry_stop
purging=0
wait "$PURGING" || purging=$?
scenario uploads 'docker-registry purges unfinished uploads of both' purged "$purging"
summary
