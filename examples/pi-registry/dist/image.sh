#!/usr/bin/env bash
# A container image of the programs that build.sh made, without a container engine: `image.sh [amd64|arm64|armhf]...`
#
# It has nothing in it but the program, a configuration and the CAs of Debian. In DIST_OUT it leaves
#
#   image/                 an OCI layout: `oras cp -r --from-oci-layout image:latest HOST/pi-registry:latest` takes the SBOMs along
#   pi-registry-image.tar  the same as an archive, for `k3s ctr images import`, `podman load`, `docker load` (since 25)
#
# The same programs and CAs give the same bytes.
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

declare -A PLATFORM=(
    [amd64]='{"os":"linux","architecture":"amd64"}'
    [arm64]='{"os":"linux","architecture":"arm64","variant":"v8"}'
    [armhf]='{"os":"linux","architecture":"arm","variant":"v7"}'
)
MANIFEST=application/vnd.oci.image.manifest.v1+json
INDEX=application/vnd.oci.image.index.v1+json
CREATED=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
LAYOUT=$OUT/image
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT

# alike DIRECTORY: a tar archive that does not tell when and by whom it was made.
alike() {
    tar --sort=name --format=ustar --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$1" -c .
}

# blob FILE TYPE: moves the file into the layout and prints its descriptor.
blob() {
    local hex size
    hex=$(sha256sum "$1" | cut -d ' ' -f 1)
    size=$(stat -c %s "$1")
    mv "$1" "$LAYOUT/blobs/sha256/$hex"
    jq -nc --arg type "$2" --arg digest "sha256:$hex" --argjson size "$size" '{mediaType: $type, digest: $digest, size: $size}'
}

# document TYPE: the same for what comes on standard input.
document() {
    cat >"$SCRATCH/document"
    blob "$SCRATCH/document" "$1"
}

labels() {
    local source revision
    source=$(sed -n 's/^repository = "\(.*\)"$/\1/p' "$REPO_DIR/Cargo.toml")
    revision=$(git -C "$REPO_DIR" rev-parse HEAD)
    jq -nc --arg created "$CREATED" --arg version "$VERSION" --arg source "$source" --arg revision "$revision" '{
        title: "pi-registry", description: "A container registry for small private clusters, in place of registry:2",
        licenses: "MIT OR Apache-2.0", $created, $version, $source, $revision
    } | with_entries(.key |= "org.opencontainers.image." + .)'
}

# root ARCHITECTURE: prints the directory that becomes the image's root.
root() {
    local root=$SCRATCH/root-$1
    install -D -m 755 "$(program "$1")" "$root/bin/pi-registry"
    # It behaves as what it is called.
    ln -s pi-registry "$root/bin/registry"
    ln -s pi-registry "$root/bin/htpasswd"
    # registry:2 has its configuration here, later versions at the other place. A file that is mounted at either is the one.
    install -D -m 644 "$DIST_DIR/../container/config.yml" "$root/etc/docker/registry/config.yml"
    mkdir -p "$root/etc/distribution" "$root/var/lib/registry"
    ln -s ../docker/registry/config.yml "$root/etc/distribution/config.yml"
    install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    # Any user may write to a new volume, which takes the mode of this directory.
    chmod 777 "$root/var/lib/registry"
    echo "$root"
}

# image ARCHITECTURE: prints the descriptor of its manifest.
image() {
    local layer diff config
    alike "$(root "$1")" >"$SCRATCH/layer"
    diff=sha256:$(sha256sum "$SCRATCH/layer" | cut -d ' ' -f 1)
    gzip -9n "$SCRATCH/layer"
    layer=$(blob "$SCRATCH/layer.gz" application/vnd.oci.image.layer.v1.tar+gzip)
    # distribution's entry point is a script; what it decides, the program decides by its arguments. Its allocator is told to
    # give memory that is free back at once.
    config=$(jq -nc --argjson platform "${PLATFORM[$1]}" --arg created "$CREATED" --arg diff "$diff" --argjson labels "$LABELS" '
        $platform + {
            $created,
            config: {
                User: "65532:65532", ExposedPorts: {"5000/tcp": {}}, Volumes: {"/var/lib/registry": {}},
                Env: ["PATH=/bin", "MIMALLOC_PURGE_DELAY=0"], Entrypoint: ["/bin/registry"], Cmd: ["serve", "/etc/distribution/config.yml"], Labels: $labels
            },
            rootfs: {type: "layers", diff_ids: [$diff]},
            history: [{$created, created_by: "dist/image.sh"}]
        }' | document application/vnd.oci.image.config.v1+json)
    jq -nc --arg type "$MANIFEST" --argjson config "$config" --argjson layer "$layer" --argjson labels "$LABELS" '
        {schemaVersion: 2, mediaType: $type, $config, layers: [$layer], annotations: $labels}' |
        document "$MANIFEST" | jq -c --argjson platform "${PLATFORM[$1]}" '. + {$platform}'
}

# crates ARCHITECTURE: what is linked into its program, by name, version, licence and package URL.
crates() {
    cargo tree --manifest-path "$REPO_DIR/Cargo.toml" --locked -p pi-registry --target "${RUST_TARGET[$1]}" -e normal,no-proc-macro \
        --prefix none --format $'{p}\t{l}' | sed 's/ (\*)$//' | sort -u |
        awk -F '\t' -v OFS='\t' '{ split($1, p, " "); sub(/^v/, "", p[2]); print p[1], p[2], $2, "pkg:cargo/" p[1] "@" p[2] }'
}

# libraries: the same of what no crate brings.
libraries() {
    local rust musl
    rust=$(rustc --version | cut -d ' ' -f 2)
    musl=$(sed -n 's/^#define VERSION "\(.*\)"$/\1/p' "$ZIG_TOOLS"/lib/python*/site-packages/ziglang/lib/libc/musl/src/internal/version.h)
    printf '%s\t%s\t%s\t%s\n' rust-std "$rust" 'MIT OR Apache-2.0' "pkg:github/rust-lang/rust@$rust" \
        musl "$musl" MIT "pkg:generic/musl@$musl"
}

# sbom ARCHITECTURE DESCRIPTOR: SPDX, as a referrer of the image; prints the descriptor of that.
sbom() {
    local layer empty hex type=application/spdx+json
    hex=$(sha256sum "$(program "$1")" | cut -d ' ' -f 1)
    layer=$({ crates "$1" && libraries; } | jq -Rnc --arg created "$CREATED" --arg version "$VERSION" --arg architecture "$1" --arg hex "$hex" '
        [inputs | split("\t") | {name: .[0], version: .[1], license: .[2], purl: .[3]}] as $linked |
        ("pi-registry-" + $version + "-" + $architecture) as $name |
        {
            spdxVersion: "SPDX-2.3", dataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT", $name,
            documentNamespace: ("https://spdx.org/spdxdocs/" + $name + "-" + $hex),
            creationInfo: {$created, creators: ["Tool: pi-registry-dist"]},
            packages: [$linked[] | {
                name, versionInfo: .version, SPDXID: ("SPDXRef-" + (.name | gsub("_"; "-")) + "-" + (.version | gsub("[^A-Za-z0-9.-]"; "-"))),
                downloadLocation: "NOASSERTION", filesAnalyzed: false,
                licenseConcluded: "NOASSERTION", licenseDeclared: (.license | gsub(" */ *"; " OR ") | if . == "" then "NOASSERTION" else . end),
                externalRefs: [{referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: .purl}]
            }]
        } |
        (.packages[] | select(.name == "pi-registry").SPDXID) as $program |
        .relationships = [{spdxElementId: .SPDXID, relationshipType: "DESCRIBES", relatedSpdxElement: $program}] +
            [.packages[].SPDXID | select(. != $program) |
                {spdxElementId: $program, relationshipType: "DEPENDS_ON", relatedSpdxElement: .}]' | document "$type")
    empty=$(printf '{}' | document application/vnd.oci.empty.v1+json)
    jq -nc --arg type "$MANIFEST" --arg artifact "$type" --argjson config "$empty" --argjson layer "$layer" --argjson subject "$2" \
        --arg created "$CREATED" '{
            schemaVersion: 2, mediaType: $type, artifactType: $artifact, $config, layers: [$layer],
            subject: ($subject | del(.platform)), annotations: {"org.opencontainers.image.created": $created}
        }' | document "$MANIFEST" | jq -c --arg artifact "$type" '. + {artifactType: $artifact}'
}

need_programs
need_debian jq ca-certificates
rm -rf "$LAYOUT"
mkdir -p "$LAYOUT/blobs/sha256"
printf '{"imageLayoutVersion":"1.0.0"}' >"$LAYOUT/oci-layout"
LABELS=$(labels)
for architecture in "${ARCHITECTURES[@]}"; do
    image "$architecture" >"$SCRATCH/descriptor"
    cat "$SCRATCH/descriptor" >>"$SCRATCH/images"
    sbom "$architecture" "$(cat "$SCRATCH/descriptor")" >>"$SCRATCH/sboms"
done
index=$(jq -sc --arg type "$INDEX" --argjson labels "$LABELS" '{schemaVersion: 2, mediaType: $type, manifests: ., annotations: $labels}' \
    "$SCRATCH/images" | document "$INDEX")
# The name is what containerd calls the image after an import.
jq -sc --arg type "$INDEX" --argjson index "$index" '{
    schemaVersion: 2, mediaType: $type, manifests: ([$index + {annotations: {
        "org.opencontainers.image.ref.name": "latest", "io.containerd.image.name": "docker.io/library/pi-registry:latest"
    }}] + .)}' "$SCRATCH/sboms" >"$LAYOUT/index.json"
alike "$LAYOUT" >"$OUT/pi-registry-image.tar"
jq -r .digest <<<"$index"
wc -c "$OUT/pi-registry-image.tar"
