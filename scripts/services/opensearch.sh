# OpenSearch: one node. Its server is in Maven Central as jars only, so opensearch/Node.java starts
# it. 2.19 is the last line that runs on Java 17.
opensearch_version=$(sed -n 's:.*<opensearch.version>\(.*\)</opensearch.version>.*:\1:p' "$scripts/services/opensearch/pom.xml")
opensearch_libs=$cache/services/opensearch-$opensearch_version
opensearch_source=$scripts/services/opensearch/Node.java

opensearch_installed() { [ "$opensearch_libs/classes/Node.class" -nt "$opensearch_source" ]; }

opensearch_install() {
  scratch_in "$cache/services"
  if [ ! -d "$opensearch_libs" ]; then
    maven_jars "$scripts/services/opensearch/pom.xml" "$scripts/services/locks/opensearch.sha256" "$scratch"
    chmod 755 "$scratch"
    mv "$scratch" "$opensearch_libs"
  fi
  need javac
  javac -nowarn -proc:none -cp "$opensearch_libs/*" -d "$opensearch_libs/classes" "$opensearch_source"
}

opensearch_start() {
  mkdir -p "$home/tmp"
  launch java -Xms256m -Xmx768m -XX:+UseG1GC -Djava.awt.headless=true -Djava.io.tmpdir="$home/tmp" \
    -Dlog4j2.disable.jmx=true -Dlog4j2.configurationFile="$scripts/services/opensearch/log4j2.properties" \
    -Dio.netty.noUnsafe=true -Dio.netty.allocator.numDirectArenas=0 \
    -cp "$opensearch_libs/classes:$opensearch_libs/*" Node "$home" "$port" "$port2"
}

opensearch_ready() {
  answers "http://127.0.0.1:$port/_cluster/health?wait_for_status=yellow&timeout=1s"
}

opensearch_env() { echo "REELMILL_OPENSEARCH=http://127.0.0.1:$port"; }
