#!/usr/bin/env bash
# Prints the version of what is checked out, from Cargo.toml and git:
#
#   0.1.0                      at the tag v0.1.0
#   0.1.0+37.gbbf569118        37 commits after the last tag, or after the beginning where there is none
#   0.1.0+37.gbbf569118-dirty  and something was changed since
#
# What follows the plus is SemVer's build metadata: a part after a hyphen would make it older than 0.1.0.
# Without git it is Cargo's version.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo=$(sed -n '/^\[workspace.package\]/,/^\[/ s/^version = "\(.*\)"/\1/p' Cargo.toml)
[ -n "$cargo" ] || { echo "version: Cargo.toml has no version below [workspace.package]" >&2; exit 1; }

# Not the repository of somebody else, whose folder this lies in.
if [ ! -e .git ] || ! command -v git > /dev/null || ! commit=$(git rev-parse --short=9 HEAD 2> /dev/null); then
  echo "version: no git here, so it is Cargo's" >&2
  echo "$cargo"
  exit 0
fi
dirty=
if [ -n "$(git status --porcelain)" ]; then dirty=-dirty; fi
tags=$(git tag --points-at HEAD --list 'v[0-9]*')
if [ -n "$tags" ] && ! grep -qxF "v$cargo" <<< "$tags"; then
  echo "version: this commit has the tag $tags, and Cargo.toml says $cargo: change one of them" >&2
  exit 1
fi
if [ -n "$tags" ] && [ -z "$dirty" ]; then
  echo "$cargo"
  exit 0
fi
last=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2> /dev/null || true)
echo "$cargo+$(git rev-list --count "${last:+$last..}HEAD").g$commit$dirty"
