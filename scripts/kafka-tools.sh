#!/usr/bin/env bash
# Puts Apache Kafka (the broker and its command line tools) into the cache folder, from Maven
# Central, for the foreign-client tests and for scripts/services.sh. With arguments it runs a tool:
#   scripts/kafka-tools.sh org.apache.kafka.tools.TopicCommand --bootstrap-server 127.0.0.1:9092 --list
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/services/fetch.sh"
folder=$cache/kafka-tools
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/kafka-tools.pom.xml")
libs=$folder/$version

if [ ! -f "$libs/kafka-tools-$version.jar" ]; then
  scratch_in "$folder"
  mkdir "$scratch/libs"
  maven_jars "$here/kafka-tools.pom.xml" "$here/services/locks/kafka.sha256" "$scratch/libs"
  # Quiet unless something is wrong.
  cat > "$scratch/libs/log4j2.yaml" <<'Y'
Configuration:
  status: error
  Appenders:
    Console:
      name: STDERR
      target: SYSTEM_ERR
      PatternLayout: {pattern: "[%d] %p %m (%c)%n"}
  Loggers:
    Root: {level: WARN, AppenderRef: {ref: STDERR}}
Y
  rm -rf "$libs"
  mv "$scratch/libs" "$libs"
  echo "kafka-tools: installed $libs" >&2
fi

[ $# -gt 0 ] || exit 0
# Short-lived programs: the quick compiler and the small collector start them in half the time.
exec java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto \
  -Dlog4j2.configurationFile="$libs/log4j2.yaml" -cp "$libs/*" "$@"
