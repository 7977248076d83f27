import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.opensearch.analysis.common.CommonAnalysisPlugin;
import org.opensearch.cluster.service.ClusterService;
import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.index.mapper.MapperExtrasPlugin;
import org.opensearch.index.reindex.ReindexPlugin;
import org.opensearch.ingest.common.IngestCommonPlugin;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.painless.PainlessPlugin;
import org.opensearch.plugins.Plugin;
import org.opensearch.transport.Netty4Plugin;

/** A node of OpenSearch with the modules of a distribution, from jars alone: Node HOME HTTP_PORT TRANSPORT_PORT. */
public final class Node extends org.opensearch.node.Node {
  private static final List<Class<? extends Plugin>> MODULES = List.of(
      CommonAnalysisPlugin.class, IngestCommonPlugin.class, MapperExtrasPlugin.class,
      Netty4Plugin.class, PainlessPlugin.class, ReindexPlugin.class);

  private Node(Settings settings, Path config) {
    super(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), config, () -> "node"), MODULES, true);
  }

  @Override
  protected void configureNodeAndClusterIdStateListener(ClusterService cluster) {
    // It would name the node in log lines, which needs a distribution's logging set-up.
  }

  public static void main(String[] arguments) throws Exception {
    Path home = Path.of(arguments[0]).toAbsolutePath();
    Path config = Files.createDirectories(home.resolve("config"));
    Settings settings = Settings.builder()
        .put("path.home", home.toString())
        .put("path.data", home.resolve("data").toString())
        .put("path.logs", home.resolve("logs").toString())
        .put("cluster.name", "reelmill")
        .put("node.name", "node")
        .put("discovery.type", "single-node")
        .put("network.host", "127.0.0.1")
        .put("http.port", arguments[1])
        .put("transport.port", arguments[2])
        .put("http.type", "netty4")
        .put("transport.type", "netty4")
        // A full disk of the machine must not make indexes read-only in the midst of a test.
        .put("cluster.routing.allocation.disk.threshold_enabled", false)
        .build();
    LogConfigurator.registerErrorListener();
    Node node = new Node(settings, config);
    CountDownLatch stopped = new CountDownLatch(1);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      try {
        node.close();
      } catch (Exception error) {
        error.printStackTrace();
      }
      stopped.countDown();
    }));
    node.start();
    stopped.await();
  }
}
