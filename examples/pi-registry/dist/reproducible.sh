#!/usr/bin/env bash
# Whether another build of this commit is what build.sh made, byte for byte: `reproducible.sh [amd64|arm64|armhf]...`, all three
# without arguments. What is checked out is cloned into another folder, and built there with a target folder and crates of its own.
#
#   DIST_OUT=target/dist   where the programs are that build.sh made
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT

need_programs
# build.sh took what is there, a clone has what is committed.
[[ -z $(git -C "$REPO_DIR" status --porcelain) ]] || { echo 'what is changed here must be committed first' >&2 && exit 1; }
git clone -q "$REPO_DIR" "$SCRATCH/again"
git -C "$SCRATCH/again" checkout -q "$(git -C "$REPO_DIR" rev-parse HEAD)"
env CARGO_HOME="$SCRATCH/crates" CARGO_TARGET_DIR="$SCRATCH/target" DIST_OUT="$SCRATCH/out" \
    "$SCRATCH/again/examples/pi-registry/dist/build.sh" "${ARCHITECTURES[@]}"
for architecture in "${ARCHITECTURES[@]}"; do
    cmp "$(program "$architecture")" "$SCRATCH/out/pi-registry-$architecture"
    echo "$architecture: the same again"
done
