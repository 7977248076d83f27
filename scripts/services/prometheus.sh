# Prometheus and promtool. What it scrapes is in targets.json in its folder, which it watches.
prometheus_home=$cache/services/prometheus

prometheus_installed() { [ -x "$prometheus_home/promtool" ]; }

prometheus_install() {
  scratch_in "$cache/services"
  debian_files "$scratch" prometheus
  mkdir "$scratch/prometheus"
  mv "$scratch/usr/bin/prometheus" "$scratch/usr/bin/promtool" "$scratch/prometheus"
  rm -rf "$prometheus_home"
  mv "$scratch/prometheus" "$prometheus_home"
}

prometheus_start() {
  cat > "$home/prometheus.yml" <<P
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: ['$home/rules/*.yml']
scrape_configs:
  - job_name: reelmill
    file_sd_configs: [{files: ['$home/targets.json'], refresh_interval: 1s}]
P
  mkdir -p "$home/rules"
  [ -f "$home/targets.json" ] || echo "[{\"targets\": [\"127.0.0.1:$port\"]}]" > "$home/targets.json"
  launch "$prometheus_home/prometheus" --config.file="$home/prometheus.yml" \
    --storage.tsdb.path="$home/data" --web.listen-address="127.0.0.1:$port" --web.enable-lifecycle
}

prometheus_ready() { answers "http://127.0.0.1:$port/-/ready"; }

prometheus_env() { echo "REELMILL_PROMETHEUS=http://127.0.0.1:$port"; }
