#!/usr/bin/env bash
# Puts the command line tools of Apache Kafka (kafka-topics, kafka-consumer-groups, ...) into the
# cache folder, from Maven Central, for the foreign-client tests. With arguments it runs one:
#   scripts/kafka-tools.sh org.apache.kafka.tools.TopicCommand --bootstrap-server 127.0.0.1:9092 --list
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$HOME/.cache/reelmill/kafka-tools
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/kafka-tools.pom.xml")
libs=$folder/$version

if [ ! -f "$libs/kafka-tools-$version.jar" ]; then
  for tool in java mvn; do
    command -v $tool >/dev/null || { echo "kafka-tools: $tool is missing: run scripts/setup.sh" >&2; exit 1; }
  done
  mkdir -p "$folder"
  scratch=$(mktemp -d "$folder/.download.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  cp "$here/kafka-tools.pom.xml" "$scratch/pom.xml"
  mvn --batch-mode --quiet --file "$scratch/pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$scratch/libs" -DincludeScope=runtime
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
