# Apicurio Registry, through the API it shares with Confluent's. 3.0 is the last line that runs on
# Java 17.
registry_version=3.0.9
registry_sha256=2b28181501a20cbf6efcd77f9b7153908fc01f3d3a7c32024c0bd9e1b04c8a43
registry_home=$cache/services/apicurio-$registry_version

registry_installed() { [ -d "$registry_home" ]; }

registry_install() {
  scratch_in "$cache/services"
  maven_file "io.apicurio:apicurio-registry-app:$registry_version:tar.gz:all" "$registry_sha256" \
    "$scratch/apicurio.tar.gz"
  mkdir "$scratch/apicurio"
  tar --extract --gzip --file "$scratch/apicurio.tar.gz" --directory "$scratch/apicurio"
  mv "$scratch/apicurio" "$registry_home"
}

registry_start() {
  local runner
  runner=$(find "$registry_home" -maxdepth 1 -name quarkus-run.jar -o -maxdepth 1 -name '*-runner.jar')
  # On disk, so that schemas outlive a restart.
  launch env \
    QUARKUS_HTTP_HOST=127.0.0.1 QUARKUS_HTTP_PORT="$port" \
    QUARKUS_MANAGEMENT_HOST=127.0.0.1 QUARKUS_MANAGEMENT_PORT="$port2" \
    APICURIO_STORAGE_SQL_KIND=h2 \
    APICURIO_DATASOURCE_URL="jdbc:h2:file:$home/data/registry;AUTO_SERVER=FALSE" \
    java -Xmx384m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -jar "$runner"
}

registry_ready() { answers "http://127.0.0.1:$port/apis/ccompat/v7/subjects"; }

# Confluent's default; Apicurio's own is to accept anything.
registry_prepare() {
  curl --silent --fail --show-error --noproxy '*' --output "$home/compatibility.json" --request PUT \
    --header 'content-type: application/json' --data '{"compatibility": "BACKWARD"}' \
    "http://127.0.0.1:$port/apis/ccompat/v7/config"
}

registry_env() { echo "REELMILL_REGISTRY=http://127.0.0.1:$port/apis/ccompat/v7"; }
