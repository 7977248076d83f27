# Apache Kafka: one node, broker and controller at once (KRaft).
kafka_version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$scripts/kafka-tools.pom.xml")
kafka_libs=$cache/kafka-tools/$kafka_version

kafka_installed() { [ -f "$kafka_libs/kafka-tools-$kafka_version.jar" ]; }

# The same jars as the command line tools of the foreign-client tests.
kafka_install() { "$scripts/kafka-tools.sh"; }

# REELMILL_KAFKA_EXTRA names a folder for tests of TLS and logins: server.properties, in which {port} and
# {port2} are the ports given here and whose lines win; classes; and users, arguments of `format`.
kafka_extra() {
  local extra=${REELMILL_KAFKA_EXTRA:-} user
  [ -n "$extra" ] || return 0
  sed "s/{port}/$port/g; s/{port2}/$port2/g" "$extra/server.properties" >> "$home/server.properties"
  classes=:$extra/classes
  while read -r user; do users+=(--add-scram "$user"); done < "$extra/users"
}

kafka_start() {
  cat > "$home/server.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$port2
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$port2
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$home/data
# A broker that was killed is let in again only after its former session.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
num.partitions=4
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
P
  local classes='' users=()
  kafka_extra
  cat > "$home/log4j2.yaml" <<'Y'
Configuration:
  status: error
  Appenders:
    Console:
      name: STDOUT
      PatternLayout: {pattern: "[%d] %p %m (%c)%n"}
  Loggers:
    Root: {level: INFO, AppenderRef: {ref: STDOUT}}
Y
  local java=(java -Dlog4j2.configurationFile="$home/log4j2.yaml" -cp "$kafka_libs/*$classes")
  if [ ! -f "$home/data/meta.properties" ]; then
    local id
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | cut -c 1-22)
    "${java[@]}" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC kafka.tools.StorageTool format \
      --cluster-id "$id" --config "$home/server.properties" "${users[@]}" > "$home/format.log" 2>&1 ||
      { cat "$home/format.log" >&2; return 1; }
  fi
  launch "${java[@]}" -Xms128m -Xmx512m -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
    kafka.Kafka "$home/server.properties"
}

kafka_ready() { grep -q 'Kafka Server started' "$home/log"; }

kafka_env() { echo "REELMILL_KAFKA=127.0.0.1:$port"; }
