#!/usr/bin/env bash
# Builds the Kafka Streams side of benches/events.py into ~/.cache/reelmill/bench-streams and prints where
# it is: streams.sh [JAVA OPTION...]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../scripts/services/fetch.sh"
folder=$cache/bench-streams
libs=$folder/$(sha256sum < "$here/streams/pom.xml" | cut -c 1-16)
if [ ! -d "$libs" ]; then
  scratch_in "$folder"
  mkdir "$scratch/libs"
  maven_jars "$here/streams/pom.xml" "$here/streams.sha256" "$scratch/libs"
  mv "$scratch/libs" "$libs"
fi
if [ "$here/streams/Map.java" -nt "$folder/classes/Map.class" ]; then
  mkdir -p "$folder/classes"
  javac -d "$folder/classes" -cp "$libs/*" "$here/streams/Map.java"
fi
echo "$folder/classes:$libs/*"
